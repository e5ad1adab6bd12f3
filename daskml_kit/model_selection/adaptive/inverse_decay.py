"""A search that gives models up in the inverse of the time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from daskml_kit.linear_model.model import check_number
from daskml_kit.model_selection.adaptive.checks import check_integer, check_patience
from daskml_kit.model_selection.adaptive.policies.decay import decay
from daskml_kit.model_selection.adaptive.policies.orders import Policy, in_rounds
from daskml_kit.model_selection.adaptive.policies.patience import patiently
from daskml_kit.model_selection.adaptive.search import AdaptiveSearch, numbered
from daskml_kit.model_selection.adaptive.visits import Candidate


class InverseDecaySearchCV(AdaptiveSearch):
    """Train models drawn at random block by block, and keep a share of them that falls in the inverse of the time.

    After ``k`` calls a share of ``1 / (1 + k) ** decay_rate`` of the models is left, the best; the search ends with
    one. Parameters, attributes and the way of working are those of `IncrementalSearchCV`, but for one.

    Parameters
    ----------
    estimator, parameters, n_initial_parameters, test_size, patience, tol, max_iter, random_state, scoring, verbose, \
prefix, predict_meta, predict_proba_meta, transform_meta, error_score
        As in `IncrementalSearchCV`.
    fits_per_score : int, default 1
        With ``patience``, or where ``decay_rate`` is 0, the calls between scores at the most.
    decay_rate : float, default 1.0

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import SGDClassifier
    >>> X = np.random.default_rng(0).normal(size=(2_000, 3))
    >>> search = InverseDecaySearchCV(SGDClassifier(random_state=0), {"alpha": np.logspace(-4, 2, 100)}, random_state=0)
    >>> search = search.fit(X, X[:, 0] > 0, classes=[False, True])
    >>> np.bincount(search.cv_results_["partial_fit_calls"])
    array([0, 8, 2])
    """

    def __init__(
        self,
        estimator: Any,
        parameters: Any,
        n_initial_parameters: Any = 10,
        test_size: Any = None,
        patience: Any = False,
        tol: float | None = 0.001,
        fits_per_score: int = 1,
        max_iter: int = 100,
        random_state: Any = None,
        scoring: Any = None,
        verbose: Any = False,
        prefix: str = "",
        decay_rate: float = 1.0,
        predict_meta: Any = None,
        predict_proba_meta: Any = None,
        transform_meta: Any = None,
        error_score: Any = np.nan,
    ) -> None:
        self.estimator = estimator
        self.parameters = parameters
        self.n_initial_parameters = n_initial_parameters
        self.test_size = test_size
        self.patience = patience
        self.tol = tol
        self.fits_per_score = fits_per_score
        self.max_iter = max_iter
        self.random_state = random_state
        self.scoring = scoring
        self.verbose = verbose
        self.prefix = prefix
        self.decay_rate = decay_rate
        self.predict_meta = predict_meta
        self.predict_proba_meta = predict_proba_meta
        self.transform_meta = transform_meta
        self.error_score = error_score

    def _plan(self, seed: int) -> dict[Any, Candidate]:
        check_integer("max_iter", self.max_iter, 1)
        check_integer("fits_per_score", self.fits_per_score, 1)
        check_patience(self.patience)
        check_number("decay_rate", self.decay_rate, low=0)
        return numbered(self.parameters, self.n_initial_parameters, seed)

    def _policy(self, models: Mapping[Any, Candidate], slots: int) -> Policy:
        patience = check_patience(self.patience)
        longest = self.fits_per_score if patience or not self.decay_rate else None
        rounds = decay(list(models), self.decay_rate, self.max_iter, longest)
        return in_rounds(patiently(rounds, patience, self.tol) if patience else rounds)
