"""Adaptive searches over models drawn at random: incremental, by inverse decay, and by successive halving."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any

from sklearn.model_selection import ParameterGrid

from daskml_kit.arguments import check_number
from daskml_kit.documentation import with_inherited_docs
from daskml_kit.model_selection.adaptive.base import (
    AdaptiveSearchCV,
    EarlyStoppingSearchCV,
    check_patience,
    draw_candidates,
)
from daskml_kit.model_selection.adaptive.partial_fit import Candidate
from daskml_kit.model_selection.adaptive.policies import (
    Policy,
    Rung,
    calls_on,
    inverse_decay,
    levels,
    promote,
    rungs,
    successive_halving,
    train_to_plateau,
)


@with_inherited_docs
@dataclass(eq=False, repr=False)
class IncrementalSearchCV(EarlyStoppingSearchCV):
    """Train models drawn at random block by block, each until it does not improve any more.

    Parameters are dask-ml's. A model's state moves to the blocks, which stay where they are; on a cluster they are
    persisted where they fit, else computed while models visit them. Each model visits the blocks in a random order
    that follows from ``random_state``, so that any number of workers gives the same result, provided that the
    estimator itself has a fixed ``random_state``. Data in memory is searched by threads of this process.

    Parameters
    ----------
    fits_per_score : int, default 1
        Calls of ``partial_fit`` between scores, at most ``patience`` of them.
    decay_rate : None
        `InverseDecaySearchCV` has it; here it is refused.

    Attributes
    ----------
    best_estimator_ : estimator
        Model whose last score is the highest.
    best_score_ : float
        Its last score.
    best_params_ : dict
        Its parameters.
    best_index_ : int
        Its row in ``cv_results_``.
    cv_results_ : dict of arrays
        A row for each model: last ``test_score`` and rank, times, ``model_id``, ``partial_fit_calls``, parameters.
    history_ : list of dict
        Each score as it came, with ``model_id``, ``params``, ``partial_fit_calls``, ``partial_fit_time`` (the mean of
        the calls since the score before), ``score``, ``score_time`` and ``elapsed_wall_time``; times in seconds.
    model_history_ : dict of lists
        The same by model.
    scorer_, n_splits_, multimetric_
        As in scikit-learn.

    See Also
    --------
    InverseDecaySearchCV : Drops most of the models on the way.
    HyperbandSearchCV : Needs no choice between many models and long training.

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

    n_initial_parameters: Any = 10
    _: KW_ONLY
    fits_per_score: int = 1
    max_iter: int = 100
    decay_rate: float | None = None
    scores_per_fit: None = None

    def _plan(self, seed: int) -> dict[Any, Candidate]:
        self._check_decay_rate()
        if self.scores_per_fit is not None:
            raise ValueError(f"scores_per_fit: it is called fits_per_score now, got {self.scores_per_fit!r}")
        check_number("max_iter", self.max_iter, low=1, integer=True)
        check_number("fits_per_score", self.fits_per_score, low=1, integer=True)
        check_patience(self.patience)
        return draw_candidates(self.parameters, self.n_initial_parameters, seed)

    def _check_decay_rate(self) -> None:
        if self.decay_rate is not None:
            raise ValueError(f"decay_rate: InverseDecaySearchCV has it, here it must be None, got {self.decay_rate!r}")

    def _policy(self, candidates: Mapping[Any, Candidate], slots: int) -> Policy:
        patience = check_patience(self.patience)
        step = min(self.fits_per_score, patience or self.max_iter)
        return train_to_plateau(list(candidates), step, self.max_iter, patience, self.tol)


@with_inherited_docs
@dataclass(eq=False, repr=False)
class InverseDecaySearchCV(IncrementalSearchCV):
    """Train models drawn at random block by block, and keep a share of them that falls in the inverse of the time.

    After ``k`` calls a share of ``1 / (1 + k) ** decay_rate`` of the models is left, the best; the search ends with
    one. Attributes and the way of working are those of `IncrementalSearchCV`.

    Parameters
    ----------
    fits_per_score : int, default 1
        With ``patience``, or where ``decay_rate`` is 0, the calls between scores at the most.
    decay_rate : float, default 1.0
        Exponent of the decay; with 0 all models are kept.

    See Also
    --------
    IncrementalSearchCV : Trains all models to the end.
    SuccessiveHalvingSearchCV : Keeps a fixed share of the models each time.

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

    _: KW_ONLY
    decay_rate: float | None = 1.0

    def _check_decay_rate(self) -> None:
        check_number("decay_rate", self.decay_rate, low=0)

    def _policy(self, candidates: Mapping[Any, Candidate], slots: int) -> Policy:
        patience, rate = check_patience(self.patience), float(self.decay_rate or 0)
        longest = self.fits_per_score if patience or not rate else None
        return self._in_rounds(inverse_decay(list(candidates), rate, self.max_iter, longest), patience)


@with_inherited_docs
@dataclass(eq=False, repr=False)
class SuccessiveHalvingSearchCV(EarlyStoppingSearchCV):
    """Train models for a few calls, the best share of them for more, and so on until one is left.

    The algorithm is that of Jamieson and Talwalkar [1]_. Attributes and the way of working are those of
    `IncrementalSearchCV`.

    Parameters
    ----------
    n_initial_iter : int
        Calls of ``partial_fit`` before the first decision. It has to be given.
    max_iter : int, optional
        Calls of each model at the most; by default the search ends where one model is left.
    aggressiveness : float of at least 2, default 3
        Its inverse is the share of the models that is kept each time, and they get so many times the calls.

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

    def _ladder(self, n_models: Any) -> list[Rung]:
        check_number("aggressiveness", self.aggressiveness, low=2)
        if self.max_iter is not None:
            check_number("max_iter", self.max_iter, low=1, integer=True)
        check_number("n_initial_parameters", n_models, low=1, integer=True)
        check_number("n_initial_iter", self.n_initial_iter, low=1, high=self.max_iter, integer=True)
        return rungs(int(n_models), int(self.n_initial_iter or 1), self.aggressiveness, self.max_iter)

    def _plan(self, seed: int) -> dict[Any, Candidate]:
        check_patience(self.patience)
        candidates = draw_candidates(self.parameters, self.n_initial_parameters, seed)
        self._ladder(len(candidates))
        return candidates

    def _policy(self, candidates: Mapping[Any, Candidate], slots: int) -> Policy:
        rounds = successive_halving(list(candidates), self._ladder(len(candidates)))
        return self._in_rounds(rounds, check_patience(self.patience))


@with_inherited_docs
@dataclass(eq=False, repr=False)
class ASHASearchCV(AdaptiveSearchCV):
    """Asynchronous successive halving, in which no worker ever waits for a rung to be full.

    As soon as a model is among the best of those that have had as many calls, it gets more; else a new model is
    begun [1]_. The promoted models depend on which are done first: unlike those of the other searches, results differ
    from one run to the next, but for one thread, as under ``dask.config.set(scheduler="sync")``. Attributes and the way
    of working are those of `IncrementalSearchCV`.

    Parameters
    ----------
    n_initial_parameters : int or "grid", default 81
        Number of candidates in all.
    n_initial_iter : int, default 1
        Calls of ``partial_fit`` before a model is first compared.
    max_iter : int, default 81
        Calls of each model at the most; the longest trained have the greatest ``n_initial_iter * aggressiveness ** k``
        that is not above.
    aggressiveness : float of at least 2, default 3
        Its inverse is the share of a rung that gets more calls, so many times as many.

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

    def _plan(self, seed: int) -> dict[Any, Candidate]:
        check_number("aggressiveness", self.aggressiveness, low=2)
        check_number("max_iter", self.max_iter, low=1, integer=True)
        check_number("n_initial_iter", self.n_initial_iter, low=1, high=self.max_iter, integer=True)
        return draw_candidates(self.parameters, self.n_initial_parameters, seed)

    def _policy(self, candidates: Mapping[Any, Candidate], slots: int) -> Policy:
        calls = levels(self.n_initial_iter, self.aggressiveness, self.max_iter)
        return promote(list(candidates), calls, self.aggressiveness, slots)
