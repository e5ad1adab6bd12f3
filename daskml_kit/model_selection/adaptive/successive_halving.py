"""Successive halving, in rounds (SHA) and asynchronous (ASHA)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sklearn.model_selection import ParameterGrid

from daskml_kit.linear_model.base import check_number
from daskml_kit.model_selection.adaptive.base import (
    AdaptiveSearchCV,
    EarlyStoppingSearchCV,
    check_integer,
    check_patience,
    draw_candidates,
)
from daskml_kit.model_selection.adaptive.partial_fit import Candidate
from daskml_kit.model_selection.adaptive.policies import (
    Policy,
    Rung,
    calls_on,
    levels,
    promote,
    rungs,
    successive_halving,
)


@dataclass(eq=False, repr=False)
class SuccessiveHalvingSearchCV(EarlyStoppingSearchCV):
    """Train models for a few calls, the best share of them for more, and so on until one is left.

    The algorithm is that of Jamieson and Talwalkar [1]_. Attributes and the way of working are those of
    `IncrementalSearchCV`.

    Parameters
    ----------
    estimator : estimator with ``partial_fit``
        Cloned, never changed.
    parameters : dict of lists or distributions, or list of such dicts
        Space that candidates are drawn from.
    n_initial_parameters : int or "grid", default 10
        Number of candidates; ``"grid"`` makes one of each combination.
    n_initial_iter : int
        Calls of ``partial_fit`` before the first decision. It has to be given.
    max_iter : int, optional
        Calls of each model at the most; by default the search ends where one model is left.
    aggressiveness : float of at least 2, default 3
        Its inverse is the share of the models that is kept each time, and they get so many times the calls.
    test_size : float, int or None, default None
        Share or number of the rows held out to score on, by default one block's worth. They are joined on a worker,
        which needs room for them.
    random_state : int, RandomState or None, default None
        Seed of the candidates, of the rows held out, and of the order of the blocks.
    scoring : str, callable or None, default None
        As in scikit-learn; None is the estimator's own ``score``.
    verbose : bool or float from 0 to 1, default False
        True prints each score, a float such a share of them.
    prefix : str, default ""
        Part of what is logged.
    predict_meta : array, Series or DataFrame without rows, optional
        Type of predictions on Dask input, where a try on a row of zeros does not tell it.
    predict_proba_meta : array, Series or DataFrame without rows, optional
        Type of probabilities and of their logarithms.
    transform_meta : array, Series or DataFrame without rows, optional
        Type of transformed rows.
    error_score : float or "raise", default nan
        The score of a model whose ``partial_fit`` or scoring raises. It is trained no further, ranks last, and a
        `FitFailedWarning` tells how many there are.
    patience : int or False, default False
        A model whose score has not risen by more than ``tol`` in so many calls is not trained further.
    tol : float or None, default 0.001
        Rise of the score that counts; None turns ``patience`` off.

    See Also
    --------
    ASHASearchCV : Does not wait for a rung to be full.
    HyperbandSearchCV : Runs several successive halvings side by side.

    References
    ----------
    .. [1] K. Jamieson, A. Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization",
       AISTATS 2016.

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

    n_initial_parameters: Any = 10
    n_initial_iter: int | None = None
    max_iter: int | None = None
    aggressiveness: float = 3

    @property
    def metadata(self) -> dict[str, int]:
        """Plan: ``n_models``, ``partial_fit_calls`` of all together and ``max_iter`` of the longest trained."""
        grid = isinstance(self.n_initial_parameters, str)
        n_models = len(ParameterGrid(self.parameters)) if grid else self.n_initial_parameters
        ladder = self._ladder(n_models)
        return {"partial_fit_calls": calls_on(ladder), "n_models": n_models, "max_iter": ladder[-1].calls}

    @property
    def metadata_(self) -> dict[str, int]:
        """Work done, as in ``metadata``; it may be less with ``patience``."""
        return self._totals()

    def _ladder(self, n_models: Any) -> list[Rung]:
        check_number("aggressiveness", self.aggressiveness, low=2)
        if self.max_iter is not None:
            check_integer("max_iter", self.max_iter, 1)
        n_models = check_integer("n_initial_parameters", n_models, 1)
        n_calls = check_integer("n_initial_iter", self.n_initial_iter, 1, self.max_iter)
        return rungs(n_models, n_calls, self.aggressiveness, self.max_iter)

    def _plan(self, seed: int) -> dict[Any, Candidate]:
        check_patience(self.patience)
        candidates = draw_candidates(self.parameters, self.n_initial_parameters, seed)
        self._ladder(len(candidates))
        return candidates

    def _policy(self, candidates: Mapping[Any, Candidate], slots: int) -> Policy:
        rounds = successive_halving(list(candidates), self._ladder(len(candidates)))
        return self._in_rounds(rounds, check_patience(self.patience))


@dataclass(eq=False, repr=False)
class ASHASearchCV(AdaptiveSearchCV):
    """Asynchronous successive halving, in which no worker ever waits for a rung to be full.

    As soon as a model is among the best of those that have had as many calls, it gets more; else a new model is
    begun [1]_. The promoted models depend on which are done first: unlike those of the other searches, results differ
    from one run to the next, but for one thread, as under ``dask.config.set(scheduler="sync")``. Attributes and the way
    of working are those of `IncrementalSearchCV`.

    Parameters
    ----------
    estimator : estimator with ``partial_fit``
        Cloned, never changed.
    parameters : dict of lists or distributions, or list of such dicts
        Space that candidates are drawn from.
    n_initial_parameters : int or "grid", default 81
        Number of candidates in all.
    n_initial_iter : int, default 1
        Calls of ``partial_fit`` before a model is first compared.
    max_iter : int, default 81
        Calls of each model at the most; the longest trained have the greatest ``n_initial_iter * aggressiveness ** k``
        that is not above.
    aggressiveness : float of at least 2, default 3
        Its inverse is the share of a rung that gets more calls, so many times as many.
    test_size : float, int or None, default None
        Share or number of the rows held out to score on, by default one block's worth. They are joined on a worker,
        which needs room for them.
    random_state : int, RandomState or None, default None
        Seed of the candidates, of the rows held out, and of the order of the blocks.
    scoring : str, callable or None, default None
        As in scikit-learn; None is the estimator's own ``score``.
    verbose : bool or float from 0 to 1, default False
        True prints each score, a float such a share of them.
    prefix : str, default ""
        Part of what is logged.
    predict_meta : array, Series or DataFrame without rows, optional
        Type of predictions on Dask input, where a try on a row of zeros does not tell it.
    predict_proba_meta : array, Series or DataFrame without rows, optional
        Type of probabilities and of their logarithms.
    transform_meta : array, Series or DataFrame without rows, optional
        Type of transformed rows.
    error_score : float or "raise", default nan
        The score of a model whose ``partial_fit`` or scoring raises. It is trained no further, ranks last, and a
        `FitFailedWarning` tells how many there are.

    See Also
    --------
    SuccessiveHalvingSearchCV : The same in rounds, whose results do not depend on the workers.

    References
    ----------
    .. [1] L. Li et al., "A system for massively parallel hyperparameter tuning", MLSys 2020.

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

    n_initial_parameters: Any = 81
    n_initial_iter: int = 1
    max_iter: int = 81
    aggressiveness: float = 3

    @property
    def metadata_(self) -> dict[str, int]:
        """Work done: ``n_models``, ``partial_fit_calls`` of all together, and ``max_iter`` of the longest trained."""
        return self._totals()

    def _plan(self, seed: int) -> dict[Any, Candidate]:
        check_number("aggressiveness", self.aggressiveness, low=2)
        check_integer("n_initial_iter", self.n_initial_iter, 1, check_integer("max_iter", self.max_iter, 1))
        return draw_candidates(self.parameters, self.n_initial_parameters, seed)

    def _policy(self, candidates: Mapping[Any, Candidate], slots: int) -> Policy:
        calls = levels(self.n_initial_iter, self.aggressiveness, self.max_iter)
        return promote(list(candidates), calls, self.aggressiveness, slots)
