"""Asynchronous successive halving."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from daskml_kit.model_selection.adaptive.base import AdaptiveSearch, check_aggressiveness, check_integer, numbered
from daskml_kit.model_selection.adaptive.partial_fit import Candidate
from daskml_kit.model_selection.adaptive.policies import Policy, levels, promote
from daskml_kit.model_selection.adaptive.results import totals


class ASHASearchCV(AdaptiveSearch):
    """Successive halving in which no worker ever waits for a rung to be full.

    As soon as a model is among the best of those that have had as many calls, it gets more; else a new model is
    begun (Li et al., MLSys 2020). Which models get more depends on which are done first: unlike those of the other
    searches, results differ from one run to the next, but for one thread, as under
    ``dask.config.set(scheduler="sync")``. Attributes and the way of
    working are those of `IncrementalSearchCV`.

    Parameters
    ----------
    estimator, parameters, test_size, random_state, scoring, verbose, prefix, predict_meta, predict_proba_meta, \
transform_meta, error_score
        As in `IncrementalSearchCV`.
    n_initial_parameters : int or "grid", default 81
        Models to begin with in all.
    n_initial_iter : int, default 1
        Calls of ``partial_fit`` before a model is first compared.
    max_iter : int, default 81
        Calls of each model at the most; the longest trained have the greatest ``n_initial_iter * aggressiveness ** k``
        that is not above.
    aggressiveness : float of at least 2, default 3
        Its inverse is the share of a rung that gets more calls, so many times as many.

    Attributes
    ----------
    metadata_ : dict
        ``n_models``, ``partial_fit_calls`` of all together, and ``max_iter`` of the longest trained.

    Examples
    --------
    >>> import dask.array as da
    >>> import numpy as np
    >>> from sklearn.linear_model import SGDClassifier
    >>> X = da.random.default_rng(0).normal(size=(2_000, 3), chunks=(500, 3))
    >>> y = (X[:, 0] > 0).astype(int)
    >>> models, parameters = SGDClassifier(random_state=0), {"alpha": np.logspace(-4, 2, 100)}
    >>> search = ASHASearchCV(models, parameters, 9, max_iter=9, random_state=0).fit(X, y, classes=[0, 1])
    >>> search.metadata_["n_models"], search.metadata_["max_iter"]
    (9, 9)
    """

    def __init__(
        self,
        estimator: Any,
        parameters: Any,
        n_initial_parameters: Any = 81,
        n_initial_iter: int = 1,
        max_iter: int = 81,
        aggressiveness: float = 3,
        test_size: Any = None,
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
        self.random_state = random_state
        self.scoring = scoring
        self.verbose = verbose
        self.prefix = prefix
        self.predict_meta = predict_meta
        self.predict_proba_meta = predict_proba_meta
        self.transform_meta = transform_meta
        self.error_score = error_score

    @property
    def metadata_(self) -> dict[str, int]:
        """What the search has done."""
        check_is_fitted(self)
        return totals(self.model_history_)

    def _plan(self, seed: int) -> dict[Any, Candidate]:
        check_aggressiveness(self.aggressiveness)
        check_integer("n_initial_iter", self.n_initial_iter, 1, check_integer("max_iter", self.max_iter, 1))
        return numbered(self.parameters, self.n_initial_parameters, seed)

    def _policy(self, models: Mapping[Any, Candidate], slots: int) -> Policy:
        calls = levels(self.n_initial_iter, self.aggressiveness, self.max_iter)
        return promote(list(models), calls, self.aggressiveness, slots)
