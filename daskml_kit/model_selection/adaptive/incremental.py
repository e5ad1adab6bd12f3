"""A search that trains all models to the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from daskml_kit.linear_model.base import check_number
from daskml_kit.model_selection.adaptive.base import AdaptiveSearch, check_integer, check_patience, numbered
from daskml_kit.model_selection.adaptive.partial_fit import Candidate
from daskml_kit.model_selection.adaptive.policies import Policy, decay, in_rounds, patiently, steadily


class IncrementalSearchCV(AdaptiveSearch):
    """Train models drawn at random block by block, each until it does not improve any more.

    Parameters are dask-ml's. A model's state moves to the blocks, which stay where they are; on a cluster they are
    persisted where they fit, else computed while models visit them. Each model visits the blocks in a random order
    that follows from ``random_state``, so that any number of workers gives the same result, provided that the
    estimator itself has a fixed ``random_state``. Data in memory is searched by threads of this process.

    Parameters
    ----------
    estimator : estimator with ``partial_fit``
        Cloned, never changed.
    parameters : dict of lists or distributions, or list of such dicts
    n_initial_parameters : int or "grid", default 10
        Models to draw; ``"grid"`` makes one of each combination.
    decay_rate : None
        `InverseDecaySearchCV` has it; here it is refused.
    test_size : float, int or None
        Share or number of the rows held out to score on, by default one block's worth. They are joined on a worker,
        which needs room for them.
    patience : int or False
        A model whose score has not risen by more than ``tol`` in so many calls is not trained further.
    tol : float or None
        None turns ``patience`` off.
    fits_per_score : int, default 1
        Calls of ``partial_fit`` between scores, at most ``patience`` of them.
    max_iter : int, default 100
        Calls of each model at the most.
    random_state : int, RandomState or None
    scoring : str, callable or None
        As in scikit-learn; None is the estimator's own ``score``.
    verbose : bool or float from 0 to 1
        True prints each score, a float such a share of them.
    prefix : str
        Part of what is logged.
    scores_per_fit : None
        dask-ml's former name of ``fits_per_score``; refused.
    predict_meta, predict_proba_meta, transform_meta : array, Series or DataFrame without rows, optional
        Types of the results on Dask input, where a try on a row of zeros does not tell them.
    error_score : float or "raise", default nan
        The score of a model whose ``partial_fit`` or scoring raises. It is trained no further, ranks last, and a
        `FitFailedWarning` tells how many there are.

    Attributes
    ----------
    best_estimator_, best_score_, best_params_, best_index_
        Of the model whose last score is the highest; the index is its row in ``cv_results_``.
    cv_results_ : dict of arrays
        A row for each model: last ``test_score`` and rank, times, ``model_id``, ``partial_fit_calls``, parameters.
    history_ : list of dict
        Each score as it came, with ``model_id``, ``params``, ``partial_fit_calls``, ``partial_fit_time`` (the mean of
        the calls since the score before), ``score``, ``score_time`` and ``elapsed_wall_time``; times in seconds.
    model_history_ : dict of lists
        The same by model.
    scorer_, n_splits_, multimetric_
        As in scikit-learn.

    Examples
    --------
    >>> import dask.array as da
    >>> from sklearn.linear_model import SGDClassifier
    >>> X = da.random.default_rng(0).normal(size=(2_000, 3), chunks=(500, 3))
    >>> y = (X[:, 0] > 0).astype(int)
    >>> models = SGDClassifier(random_state=0)
    >>> search = IncrementalSearchCV(models, {"alpha": [1e-4, 1e2]}, n_initial_parameters="grid", max_iter=3)
    >>> search.fit(X, y, classes=[0, 1]).best_params_
    {'alpha': 0.0001}
    >>> search.predict(X).chunks
    ((500, 500, 500, 500),)
    """

    def __init__(
        self,
        estimator: Any,
        parameters: Any,
        n_initial_parameters: Any = 10,
        decay_rate: None = None,
        test_size: Any = None,
        patience: Any = False,
        tol: float | None = 0.001,
        fits_per_score: int = 1,
        max_iter: int = 100,
        random_state: Any = None,
        scoring: Any = None,
        verbose: Any = False,
        prefix: str = "",
        scores_per_fit: None = None,
        predict_meta: Any = None,
        predict_proba_meta: Any = None,
        transform_meta: Any = None,
        error_score: Any = np.nan,
    ) -> None:
        self.estimator = estimator
        self.parameters = parameters
        self.n_initial_parameters = n_initial_parameters
        self.decay_rate = decay_rate
        self.test_size = test_size
        self.patience = patience
        self.tol = tol
        self.fits_per_score = fits_per_score
        self.max_iter = max_iter
        self.random_state = random_state
        self.scoring = scoring
        self.verbose = verbose
        self.prefix = prefix
        self.scores_per_fit = scores_per_fit
        self.predict_meta = predict_meta
        self.predict_proba_meta = predict_proba_meta
        self.transform_meta = transform_meta
        self.error_score = error_score

    def _plan(self, seed: int) -> dict[Any, Candidate]:
        if self.decay_rate is not None:
            raise ValueError(f"decay_rate: InverseDecaySearchCV has it, here it must be None, got {self.decay_rate!r}")
        if self.scores_per_fit is not None:
            raise ValueError(f"scores_per_fit: it is called fits_per_score now, got {self.scores_per_fit!r}")
        check_integer("max_iter", self.max_iter, 1)
        check_integer("fits_per_score", self.fits_per_score, 1)
        check_patience(self.patience)
        return numbered(self.parameters, self.n_initial_parameters, seed)

    def _policy(self, models: Mapping[Any, Candidate], slots: int) -> Policy:
        patience = check_patience(self.patience)
        step = min(self.fits_per_score, patience or self.max_iter)
        return steadily(list(models), step, self.max_iter, patience, self.tol)


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
