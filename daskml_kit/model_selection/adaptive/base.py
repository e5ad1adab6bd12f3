"""Base class of adaptive searches: parameters, the fit, and its results."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import KW_ONLY, dataclass
from inspect import signature
from typing import Any, Self

import dask
import numpy as np
from scipy.stats import rankdata
from sklearn.base import BaseEstimator, MetaEstimatorMixin, is_classifier
from sklearn.metrics import check_scoring
from sklearn.model_selection import ParameterGrid, ParameterSampler
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from daskml_kit.arguments import check_number, naming
from daskml_kit.base import restored
from daskml_kit.composition import without_dask
from daskml_kit.data.collections import is_dask
from daskml_kit.model_selection.adaptive.holdout import hold_out
from daskml_kit.model_selection.adaptive.model_pool import open_model_pool
from daskml_kit.model_selection.adaptive.partial_fit import Candidate, ModelPool, ModelScore, TrainingSpec, run_policy
from daskml_kit.model_selection.adaptive.policies import Policy, Record, Rounds, comparable, in_rounds, with_patience
from daskml_kit.model_selection.search.best_estimator import BestEstimatorMethods, score_joined
from daskml_kit.model_selection.search.cv_results import parameter_columns, warn_failures
from daskml_kit.model_selection.search.progress import FitProgress, notify
from daskml_kit.model_selection.search.scoring import check_error_score
from daskml_kit.model_selection.splits.base import drawn_seed
from daskml_kit.model_selection.splits.folds import labels_of
from daskml_kit.workers.connection import released_task_thread, telling_lost_scheduler

SEEDS = 2**32
logger = logging.getLogger("daskml_kit.model_selection")


@dataclass(eq=False, repr=False)
class AdaptiveSearchCV(BestEstimatorMethods, MetaEstimatorMixin, BaseEstimator):  # type: ignore[misc]
    """Base of the adaptive searches: they differ in the candidates that they draw, and in the policy of training them.

    The constructor is made of the annotated parameters below and those of the subclass.

    Parameters
    ----------
    estimator : estimator with ``partial_fit``
        Cloned, never changed.
    parameters : dict of lists or distributions, or list of such dicts
        Space that candidates are drawn from.
    n_initial_parameters : int or "grid", default 10
        Number of candidates; ``"grid"`` makes one of each combination.
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
    max_iter : int, default 100
        Calls of each model at the most.
    scores_per_fit : None
        Former name of ``fits_per_score`` in dask-ml; refused.
    """

    estimator: Any
    parameters: Any
    _: KW_ONLY
    test_size: Any = None
    random_state: Any = None
    scoring: Any = None
    verbose: Any = False
    prefix: str = ""
    predict_meta: Any = None
    predict_proba_meta: Any = None
    transform_meta: Any = None
    error_score: Any = np.nan

    def _plan(self, seed: int) -> dict[Any, Candidate]:
        """Return the candidates to train, after a check of the parameters that say how many."""
        raise NotImplementedError

    def _policy(self, candidates: Mapping[Any, Candidate], slots: int) -> Policy:
        """Return the policy of training them, ``slots`` at a time."""
        raise NotImplementedError

    def fit(self, X: Any, y: Any = None, **fit_params: Any) -> Self:
        """Train candidates block by block, as far as they do well on rows held out.

        Interrupted by the keyboard, the search keeps the scores so far and the best model.

        Parameters
        ----------
        X : Dask array or DataFrame, or an array, CSR matrix or data frame in memory, of shape (n_samples, n_features)
            Each block that a model visits is one call of its ``partial_fit``; in memory blocks are of some megabytes.
        y : as X, of shape (n_samples,) or (n_samples, n_outputs), optional
            Target.
        **fit_params : dict
            For each call of ``partial_fit``, the same. ``classes``, which classifiers need, are found by a pass over y
            where they are not given.

        Returns
        -------
        self : object
            The fitted search.

        Raises
        ------
        ValueError
            Where parameters are out of range, scoring is not known, or all models fail.
        TypeError
            Where the estimator has no ``partial_fit``.
        """
        with restored(self):
            interruption = self._train(X, y, fit_params)
        if interruption is not None:  # what is scored is kept
            raise interruption
        return self

    def score(self, X: Any, y: Any = None) -> float:
        """Return the score of the best model by ``scoring``.

        Parameters
        ----------
        X : as in `fit`
            Rows; on Dask input one worker has to have room for them.
        y : as in `fit`, optional
            Target.

        Returns
        -------
        float
            Score, higher is better.
        """
        check_is_fitted(self)
        return score_joined(self.scorer_, self.best_estimator_, X, y)

    def to_sklearn(self) -> Any:
        """Return the best model, free of Dask.

        Returns
        -------
        estimator
            ``best_estimator_``.
        """
        check_is_fitted(self)
        return without_dask(self.best_estimator_)

    @property
    def classes_(self) -> Any:
        """Classes of the best model."""
        return self._fitted().classes_

    @property
    def n_features_in_(self) -> int:
        """Number of features of the best model."""
        return int(self._fitted().n_features_in_)

    @property
    def feature_names_in_(self) -> Any:
        """Names of the features of the best model, where it was trained on data frames."""
        return self._fitted().feature_names_in_

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "best_estimator_")

    def __sklearn_tags__(self) -> Any:
        tags, inner = super().__sklearn_tags__(), get_tags(self.estimator)
        tags.estimator_type, tags.classifier_tags = inner.estimator_type, inner.classifier_tags
        tags.regressor_tags = inner.regressor_tags
        return tags

    def _fitted(self) -> Any:
        if not self.__sklearn_is_fitted__():
            raise AttributeError(f"{type(self).__name__} is not fitted yet")
        return self.best_estimator_

    def _train(self, X: Any, y: Any, fit_params: Mapping[str, Any]) -> KeyboardInterrupt | None:
        """Set the fitted attributes; return an interruption from the keyboard that leaves results."""
        share = check_verbose(self.verbose)
        if not isinstance(self.prefix, str):
            raise ValueError(f"prefix: expected a str, got {self.prefix!r}")
        check_estimator(self.estimator)
        check_error_score(self.error_score)
        if "sample_weight" in fit_params:
            raise ValueError("sample_weight: not supported by adaptive searches, which cut X and y only into blocks")
        tol = getattr(self, "tol", None)  # of the searches that stop models on a plateau
        if tol is not None:
            check_number("tol", tol, low=0)
        seed = integer_seed(self.random_state)
        candidates, self.scorer_ = self._plan(seed), scorer_for(self.estimator, self.scoring)
        log, on_dask = ProgressLogger(share, self.prefix), is_dask(X) or is_dask(y)
        with telling_lost_scheduler(), released_task_thread(on_dask), printed_log(bool(self.verbose)):
            params = {**dask.compute(fit_params)[0], **_missing_classes(self.estimator, y, fit_params)}
            spec = TrainingSpec(self.estimator, params, self.scorer_, self.error_score)
            split = hold_out(X, y, self.test_size, seed)
            with closing(open_model_pool(spec, candidates, split, on_dask)) as pool:
                return self._search(candidates, pool, log)

    def _search(
        self, candidates: Mapping[Any, Candidate], pool: ModelPool, log: ProgressLogger
    ) -> KeyboardInterrupt | None:
        history: list[Record] = []
        errors: dict[Any, str] = {}
        started = time.perf_counter()
        before: dict[Any, ModelScore] = {}

        def record_score(score: ModelScore) -> Record:
            last = before.get(score.model, ModelScore(score.model, 0, 0.0))
            fit_time = (score.seconds - last.seconds) / (score.calls - last.calls)
            before[score.model] = score
            record = _record(score, candidates[score.model], fit_time, time.perf_counter() - started)
            history.append(record)
            if score.error is not None:
                errors[score.model] = score.error
            log.add(record if score.error is None else {**record, "score": np.nan})
            return record

        try:
            run_policy(self._policy(candidates, pool.slots), pool, record_score)
        except KeyboardInterrupt as interruption:
            if any(record["model_id"] not in errors for record in history):
                self._set_results(history, candidates, pool, errors)
                return interruption
            raise
        self._set_results(history, candidates, pool, errors)
        return None

    def _set_results(
        self, history: list[Record], models: Iterable[Hashable], pool: ModelPool, errors: Mapping[Any, str]
    ) -> None:
        """Set the fitted attributes; the best model is, of those that did not fail, that of the highest last score."""
        by_model: dict[Any, list[Record]] = {model: [] for model in models}
        for record in history:
            by_model[record["model_id"]].append(record)
        self.history_ = history
        self.model_history_ = {model: records for model, records in by_model.items() if records}
        warn_failures(list(errors.values()), len(self.model_history_), self.error_score, stacklevel=5)
        self.cv_results_ = results_table(self.model_history_, errors)
        failed = [model in errors for model in self.model_history_]
        self.best_index_ = int(np.lexsort((failed, self.cv_results_["rank_test_score"]))[0])
        self.best_score_ = float(self.cv_results_["test_score"][self.best_index_])
        self.best_params_ = self.cv_results_["params"][self.best_index_]
        self.best_estimator_ = pool.trained(list(self.model_history_)[self.best_index_])
        self.n_splits_ = 1
        self.multimetric_ = False

    @property
    def metadata_(self) -> dict[str, Any]:
        """Work done: ``n_models``, ``partial_fit_calls`` of all together, and ``max_iter`` of the longest trained."""
        check_is_fitted(self)
        calls = [int(records[-1]["partial_fit_calls"]) for records in self.model_history_.values()]
        return {"partial_fit_calls": sum(calls), "n_models": len(calls), "max_iter": max(calls)}


def _missing_classes(estimator: Any, y: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the classes that ``partial_fit`` of a classifier needs and that were not given."""
    if y is None or "classes" in given or not is_classifier(estimator):
        return {}
    return {"classes": labels_of(y)} if "classes" in signature(estimator.partial_fit).parameters else {}


@dataclass(eq=False, repr=False)
class EarlyStoppingSearchCV(AdaptiveSearchCV):
    """Base of the adaptive searches that can stop models on a plateau."""

    _: KW_ONLY
    patience: Any = False
    tol: float | None = 0.001

    def _in_rounds(self, rounds: Rounds, patience: int) -> Policy:
        return in_rounds(with_patience(rounds, patience, self.tol) if patience else rounds)


def _record(score: ModelScore, candidate: Candidate, fit_time: float, elapsed: float) -> Record:
    record = {
        "model_id": score.model,
        "params": dict(candidate.params),
        "partial_fit_calls": score.calls,
        "partial_fit_time": fit_time,
        "score": score.score,
        "score_time": score.score_time,
        "elapsed_wall_time": elapsed,
    }
    return record if candidate.bracket is None else {**record, "bracket": candidate.bracket}


def results_table(histories: Mapping[Any, Sequence[Record]], failed: Collection[Hashable] = ()) -> dict[str, Any]:
    """Return ``cv_results_``, a row for each model; those that failed rank last.

    Examples
    --------
    >>> record = {"model_id": 0, "params": {"a": 1}, "partial_fit_calls": 3, "score": 0.5}
    >>> table = results_table({0: [{**record, "partial_fit_time": 1.0, "score_time": 2.0}]})
    >>> int(table["param_a"][0]), table["test_score"], table["rank_test_score"]
    (1, array([0.5]), array([1]))
    """
    last = [records[-1] for records in histories.values()]
    table: dict[str, Any] = {}
    for name in ("partial_fit_time", "score_time"):
        times = [[record[name] for record in records] for records in histories.values()]
        table[f"mean_{name}"] = np.array([np.mean(each) for each in times])
        table[f"std_{name}"] = np.array([np.std(each) for each in times])
    scores = np.array([-np.inf if r["model_id"] in failed else comparable(r["score"]) for r in last])
    table["test_score"] = np.array([record["score"] for record in last])
    table["rank_test_score"] = rankdata(-scores, method="min").astype(int)
    for name in ("model_id", "partial_fit_calls", "bracket"):
        if name in last[0]:
            table[name] = np.array([record[name] for record in last])
    table["params"] = np.fromiter((record["params"] for record in last), object, len(last))
    return {**table, **parameter_columns(table["params"])}


class ProgressLogger:
    """Logs a share of the scores as they come, and the best so far; listeners to progress are told each.

    Parameters
    ----------
    share : float from 0 to 1
    prefix : str
    """

    def __init__(self, share: float, prefix: str) -> None:
        self._every, self._prefix = round(1 / share) if share else 0, prefix
        self._n, self._best = 0, -float("inf")

    def add(self, record: Record) -> None:
        self._n += 1
        score, calls = record["score"], record["partial_fit_calls"]
        self._best = max(self._best, comparable(score))
        if self._every and self._n % self._every == 0:
            text = "[CV%s] validation score of %0.4f received after %d partial_fit calls (best so far %0.4f)"
            logger.info(text, self._prefix, score, calls, self._best)
        notify(FitProgress(self._n, best=self._best if self._best > -float("inf") else None))


@contextmanager
def printed_log(verbose: bool) -> Iterator[None]:
    """Print what is logged inside, if ``verbose``."""
    if not verbose:
        yield
        return
    handler, before = logging.StreamHandler(sys.stdout), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


def draw_candidates(parameters: Any, n_models: Any, seed: int) -> dict[Any, Candidate]:
    """Return so many candidates with parameters drawn at random, or with ``"grid"`` all of the grid.

    Raises
    ------
    ValueError
        Where ``n_models`` is neither.
    """
    if isinstance(n_models, str) and n_models == "grid":
        with naming("parameters"):
            drawn = list(ParameterGrid(parameters))
    elif isinstance(n_models, str):
        raise ValueError(f"n_initial_parameters: expected an integer of at least 1 or 'grid', got {n_models!r}")
    else:
        check_number("n_initial_parameters", n_models, low=1, integer=True)
        drawn = draw_parameters(parameters, n_models, seed)
    return {number: Candidate(params, (seed, number)) for number, params in enumerate(drawn)}


def draw_parameters(parameters: Any, n_models: int, seed: int) -> list[dict[str, Any]]:
    """Return so many draws of parameters.

    Raises
    ------
    TypeError, ValueError
        Where they are not ``parameters`` of scikit-learn's kind.
    """
    with naming("parameters"):
        return list(ParameterSampler(parameters, int(n_models), random_state=seed))


def integer_seed(random_state: Any) -> int:
    """Return an integer seed; one that is given stays, so that parameters are drawn as scikit-learn draws them."""
    if isinstance(random_state, (int, np.integer)):
        check_number("random_state", random_state, low=0, high=SEEDS - 1, integer=True)
        return int(random_state)
    return drawn_seed(random_state) % SEEDS


def check_estimator(estimator: Any) -> None:
    """Raise unless the estimator can be trained block by block."""
    if not hasattr(estimator, "partial_fit"):
        raise TypeError(
            f"estimator: expected one with partial_fit, got {type(estimator).__name__}; GridSearchCV and "
            "RandomizedSearchCV search over estimators without"
        )


def scorer_for(estimator: Any, scoring: Any) -> Any:
    """Return scikit-learn's scorer.

    Raises
    ------
    ValueError
        Where there are several, or it is not known.
    """
    if scoring is not None and not isinstance(scoring, str) and not callable(scoring):
        raise ValueError(f"scoring: expected one scorer or its name, to compare models by, got {scoring!r}")
    try:
        return check_scoring(estimator, scoring=scoring)
    except ValueError as error:
        raise ValueError(f"scoring: {error}") from error


def check_patience(value: Any) -> int:
    """Return how many calls without improvement are borne; 0 where there is no limit."""
    if value is False:
        return 0
    if value is True or value == 1:
        raise ValueError(f"patience: patience={value!r} <= 1 will always detect a plateau, set patience >= 2")
    check_number("patience", value, low=0, integer=True)
    return int(value)


def check_verbose(value: Any) -> float:
    """Return the share of the scores that are logged; False prints none of them, but logs all."""
    if isinstance(value, bool):
        return 1.0
    if not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ValueError(f"verbose={value!r} does not satisfy 0 <= verbose <= 1")
    return float(value)
