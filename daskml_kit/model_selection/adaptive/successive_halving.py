"""Successive halving."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.model_selection import ParameterGrid
from sklearn.utils.validation import check_is_fitted

from daskml_kit.model_selection.adaptive.base import (
    AdaptiveSearch,
    check_aggressiveness,
    check_integer,
    check_patience,
    numbered,
)
from daskml_kit.model_selection.adaptive.partial_fit import Candidate
from daskml_kit.model_selection.adaptive.policies import Policy, Rung, calls_on, halve, in_rounds, patiently, rungs
from daskml_kit.model_selection.adaptive.results import totals


class SuccessiveHalvingSearchCV(AdaptiveSearch):
    """Train models for a few calls, the best share of them for more, and so on until one is left.

    The algorithm is that of Jamieson and Talwalkar (2016). Attributes and the way of working are those of
    `IncrementalSearchCV`.

    Parameters
    ----------
    estimator, parameters, n_initial_parameters, test_size, patience, tol, random_state, scoring, verbose, prefix, \
predict_meta, predict_proba_meta, transform_meta, error_score
        As in `IncrementalSearchCV`.
    n_initial_iter : int
        Calls of ``partial_fit`` before the first decision. It has to be given.
    max_iter : int, optional
        Calls of each model at the most; by default the search ends where one model is left.
    aggressiveness : float of at least 2, default 3
        Its inverse is the share of the models that is kept each time, and they get so many times the calls.

    Attributes
    ----------
    metadata, metadata_ : dict
        ``n_models``, ``partial_fit_calls`` of all together and ``max_iter`` of the longest trained: as planned, and
        as done, which may be less with ``patience``.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import SGDClassifier
    >>> X = np.random.default_rng(0).normal(size=(2_000, 3))
    >>> models = SGDClassifier(random_state=0)
    >>> search = SuccessiveHalvingSearchCV(models, {"alpha": np.logspace(-4, 2, 100)}, 9, n_initial_iter=1)
    >>> search.metadata
    {'partial_fit_calls': 21, 'n_models': 9, 'max_iter': 9}
    >>> search.fit(X, X[:, 0] > 0, classes=[False, True]).metadata_ == search.metadata
    True
    """

    def __init__(
        self,
        estimator: Any,
        parameters: Any,
        n_initial_parameters: Any = 10,
        n_initial_iter: int | None = None,
        max_iter: int | None = None,
        aggressiveness: float = 3,
        test_size: Any = None,
        patience: Any = False,
        tol: float | None = 0.001,
        random_state: Any = None,
        scoring: Any = None,
        verbose: Any = False,
        prefix: str = "",
        predict_meta: Any = None,
        predict_proba_meta: Any = None,
        transform_meta: Any = None,
        error_score: Any = np.nan,
    ) -> None:
        self.estimator = estimator
        self.parameters = parameters
        self.n_initial_parameters = n_initial_parameters
        self.n_initial_iter = n_initial_iter
        self.max_iter = max_iter
        self.aggressiveness = aggressiveness
        self.test_size = test_size
        self.patience = patience
        self.tol = tol
        self.random_state = random_state
        self.scoring = scoring
        self.verbose = verbose
        self.prefix = prefix
        self.predict_meta = predict_meta
        self.predict_proba_meta = predict_proba_meta
        self.transform_meta = transform_meta
        self.error_score = error_score

    @property
    def metadata(self) -> dict[str, int]:
        """What the search is going to do."""
        grid = isinstance(self.n_initial_parameters, str)
        n_models = len(ParameterGrid(self.parameters)) if grid else self.n_initial_parameters
        ladder = self._ladder(n_models)
        return {"partial_fit_calls": calls_on(ladder), "n_models": n_models, "max_iter": ladder[-1].calls}

    @property
    def metadata_(self) -> dict[str, int]:
        """What the search has done."""
        check_is_fitted(self)
        return totals(self.model_history_)

    def _ladder(self, n_models: Any) -> list[Rung]:
        check_aggressiveness(self.aggressiveness)
        if self.max_iter is not None:
            check_integer("max_iter", self.max_iter, 1)
        n_models = check_integer("n_initial_parameters", n_models, 1)
        n_calls = check_integer("n_initial_iter", self.n_initial_iter, 1, self.max_iter)
        return rungs(n_models, n_calls, self.aggressiveness, self.max_iter)

    def _plan(self, seed: int) -> dict[Any, Candidate]:
        check_patience(self.patience)
        models = numbered(self.parameters, self.n_initial_parameters, seed)
        self._ladder(len(models))
        return models

    def _policy(self, models: Mapping[Any, Candidate], slots: int) -> Policy:
        patience = check_patience(self.patience)
        rounds = halve(list(models), self._ladder(len(models)))
        return in_rounds(patiently(rounds, patience, self.tol) if patience else rounds)
