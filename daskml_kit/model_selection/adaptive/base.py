"""What adaptive searches have in common: how a fit goes, and what is left of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Self

import dask
import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin
from sklearn.metrics import check_scoring
from sklearn.model_selection import ParameterGrid, ParameterSampler
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from daskml_kit.blockwise import map_rows
from daskml_kit.data.align import align_rows
from daskml_kit.data.collections import is_dask
from daskml_kit.linear_model.base import check_number
from daskml_kit.model_selection.adaptive.holdout import hold_out, joined
from daskml_kit.model_selection.adaptive.model_pool import free_of_task, open_bench
from daskml_kit.model_selection.adaptive.partial_fit import Bench, Candidate, Lesson, Score, carry_out, judge
from daskml_kit.model_selection.adaptive.policies import Policy, Record
from daskml_kit.model_selection.adaptive.results import Narrator, by_model, printing, tabulate
from daskml_kit.model_selection.search.cv_results import warn_failures
from daskml_kit.model_selection.splits.base import seed_of
from daskml_kit.validation import check_features, like


def has(method: str) -> Callable[[Any], bool]:
    """Return the check that the best model, or before a fit the estimator, has a method."""

    def check(search: Any) -> bool:
        return hasattr(getattr(search, "best_estimator_", search.estimator), method)

    return check


class BestModel:
    """Mixin of searches: what comes after ``fit`` is the best model's, lazily on Dask input."""

    best_estimator_: Any
    scorer_: Any
    predict_meta: Any
    predict_proba_meta: Any
    transform_meta: Any

    @property
    def classes_(self) -> Any:
        """The classes of the best model."""
        return self._fitted().classes_

    @property
    def n_features_in_(self) -> int:
        """The number of features of the best model."""
        return int(self._fitted().n_features_in_)

    @property
    def feature_names_in_(self) -> Any:
        """The names of the features of the best model, where it was trained on data frames."""
        return self._fitted().feature_names_in_

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "best_estimator_")

    def to_sklearn(self) -> Any:
        """Return the best model, a scikit-learn estimator free of Dask."""
        check_is_fitted(self)
        return self.best_estimator_

    @available_if(has("predict"))  # type: ignore[untyped-decorator]
    def predict(self, X: Any) -> Any:
        """Predict with the best model."""
        return self._best("predict", X, self.predict_meta)

    @available_if(has("predict_proba"))  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> Any:
        """Return the probabilities of the classes."""
        return self._best("predict_proba", X, self.predict_proba_meta)

    @available_if(has("predict_log_proba"))  # type: ignore[untyped-decorator]
    def predict_log_proba(self, X: Any) -> Any:
        """Return the logarithms of the probabilities of the classes."""
        return self._best("predict_log_proba", X, self.predict_proba_meta)

    @available_if(has("decision_function"))  # type: ignore[untyped-decorator]
    def decision_function(self, X: Any) -> Any:
        """Return the values by which the best model decides."""
        return self._best("decision_function", X, None)

    @available_if(has("transform"))  # type: ignore[untyped-decorator]
    def transform(self, X: Any) -> Any:
        """Transform with the best model."""
        return self._best("transform", X, self.transform_meta)

    @available_if(has("inverse_transform"))  # type: ignore[untyped-decorator]
    def inverse_transform(self, X: Any) -> Any:
        """Undo `transform` of data in memory."""
        return self.to_sklearn().inverse_transform(X)

    def score(self, X: Any, y: Any = None) -> float:
        """Return the best model's score by ``scoring``; of Dask data, which one worker has to have room for."""
        model = self.to_sklearn()
        given = {name: part for name, part in (("X", X), ("y", y)) if part is not None}
        if not any(map(is_dask, given.values())):
            return judge(model, tuple(given.values()), self.scorer_)[0]
        blocks = list(zip(*(column.blocks for column in align_rows(given).columns), strict=True))
        (score,) = dask.compute(dask.delayed(_score)(model, blocks, self.scorer_))
        return float(score)

    def _best(self, method: str, X: Any, meta: Any) -> Any:
        model = self.to_sklearn()
        if not is_dask(X):
            return getattr(model, method)(X)
        if hasattr(model, "n_features_in_"):
            check_features(model, X)
        return map_rows(model, method, X, getattr(model, method)(like(None, X))[:0] if meta is None else meta)

    def _fitted(self) -> Any:
        if not self.__sklearn_is_fitted__():
            raise AttributeError(f"{type(self).__name__} is not fitted yet")
        return self.best_estimator_


def _score(model: Any, blocks: Any, scorer: Any) -> float:
    return judge(model, joined(blocks), scorer)[0]


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


def check_integer(name: str, value: Any, low: int, high: int | None = None) -> int:
    """Return the parameter as an int, if it is one from ``low`` to ``high``."""
    check_number(name, value, low=low, integer=True)
    if high is not None and value > high:
        raise ValueError(f"{name}: expected an integer of at most {high}, got {value!r}")
    return int(value)


def check_aggressiveness(value: Any) -> None:
    """Raise unless the parameter is a number of at least 2."""
    check_number("aggressiveness", value, low=2)


def check_patience(value: Any) -> int:
    """Return how many calls without improvement are borne; 0 where there is no limit."""
    if value is False:
        return 0
    if value is True or value == 1:
        raise ValueError(f"patience: patience={value!r} <= 1 will always detect a plateau, set patience >= 2")
    return check_integer("patience", value, 0)


def check_error_score(value: Any) -> None:
    """Raise unless the parameter is a number or "raise"."""
    if value != "raise" and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise ValueError(f"error_score: expected 'raise' or a number, got {value!r}")


def check_verbose(value: Any) -> float:
    """Return the share of the scores that are logged; False prints none of them, but logs all."""
    if isinstance(value, bool):
        return 1.0
    if not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ValueError(f"verbose={value!r} does not satisfy 0 <= verbose <= 1")
    return float(value)


SEEDS = 2**32


class AdaptiveSearch(BestModel, MetaEstimatorMixin, BaseEstimator):  # type: ignore[misc]
    """Base of the searches: they differ in which models they make, and in the policy of training them."""

    history_: list[Record]
    model_history_: dict[Any, list[Record]]
    cv_results_: dict[str, Any]

    def _plan(self, seed: int) -> dict[Any, Candidate]:
        """Return the models to train, after a check of the parameters that say how many."""
        raise NotImplementedError

    def _policy(self, models: Mapping[Any, Candidate], slots: int) -> Policy:
        """Return the policy of training them, ``slots`` at a time."""
        raise NotImplementedError

    def fit(self, X: Any, y: Any = None, **fit_params: Any) -> Self:
        """Train models block by block, as far as they do well on rows held out.

        Interrupted by the keyboard, the search keeps the scores so far and the best model.

        Parameters
        ----------
        X : Dask array or DataFrame, or an array, CSR matrix or data frame in memory
            Each block that a model visits is one call of its ``partial_fit``; in memory blocks are of some megabytes.
        y : as X, of shape (n_samples,) or (n_samples, n_outputs), optional
        **fit_params
            For each call of ``partial_fit``, the same: ``classes`` for one, which classifiers need.

        Raises
        ------
        ValueError
            Where parameters are out of range, scoring is not known, or all models fail.
        TypeError
            Where the estimator has no ``partial_fit``.
        """
        own: Any = self
        share = check_verbose(own.verbose)
        check_estimator(own.estimator)
        check_error_score(own.error_score)
        if "sample_weight" in fit_params:
            raise ValueError("sample_weight: not supported by adaptive searches, which cut X and y only into blocks")
        seed = seed_for(own.random_state)
        candidates, scorer = self._plan(seed), scorer_for(own.estimator, own.scoring)
        narrator, lazy = Narrator(share, own.prefix), is_dask(X) or is_dask(y)
        self.scorer_ = scorer
        with free_of_task(lazy), printing(bool(own.verbose)):
            lesson = Lesson(own.estimator, dask.compute(fit_params)[0], scorer, own.error_score)
            sides = hold_out(X, y, own.test_size, seed)
            with open_bench(lesson, candidates, sides, lazy) as bench:
                self._search(candidates, bench, narrator)
        return self

    def _search(self, candidates: Mapping[Any, Candidate], bench: Bench, narrator: Narrator) -> None:
        history: list[Record] = []
        errors: dict[Any, str] = {}
        started = time.perf_counter()

        def note(score: Score) -> Record:
            record = self._record(score, candidates[score.model], time.perf_counter() - started)
            history.append(record)
            if score.error is not None:
                errors[score.model] = score.error
            narrator.hear(record if score.error is None else {**record, "score": np.nan})
            return record

        try:
            carry_out(self._policy(candidates, bench.slots), bench, note)
        except KeyboardInterrupt:
            if any(record["model_id"] not in errors for record in history):
                self._conclude(history, candidates, bench, errors)
            raise
        self._conclude(history, candidates, bench, errors)

    def _record(self, score: Score, candidate: Candidate, elapsed: float) -> Record:
        return {
            "model_id": score.model,
            "params": dict(candidate.params),
            "partial_fit_calls": score.calls,
            "partial_fit_time": score.fit_time,
            "score": score.score,
            "score_time": score.score_time,
            "elapsed_wall_time": elapsed,
        }

    def _conclude(
        self, history: list[Record], models: Mapping[Any, Candidate], bench: Bench, errors: Mapping[Any, str]
    ) -> None:
        """Set the fitted attributes; the best model is, of those that did not fail, that of the highest last score."""
        own: Any = self
        histories = by_model(history, models)
        warn_failures(list(errors.values()), len(histories), own.error_score, stacklevel=4)
        self.history_, self.model_history_ = history, histories
        self.cv_results_ = tabulate(histories, errors)
        sound = [model not in errors for model in histories]
        self.best_index_ = int(np.lexsort((np.logical_not(sound), self.cv_results_["rank_test_score"]))[0])
        self.best_score_ = float(self.cv_results_["test_score"][self.best_index_])
        self.best_params_ = self.cv_results_["params"][self.best_index_]
        self.best_estimator_ = bench.trained(list(self.model_history_)[self.best_index_])
        self.n_splits_ = 1
        self.multimetric_ = False

    def __sklearn_tags__(self) -> Any:
        tags, inner = super().__sklearn_tags__(), get_tags(self.estimator)
        tags.estimator_type, tags.classifier_tags, tags.regressor_tags = (
            inner.estimator_type,
            inner.classifier_tags,
            inner.regressor_tags,
        )
        return tags


def numbered(parameters: Any, n_models: Any, seed: int) -> dict[Any, Candidate]:
    """Return so many models with parameters drawn at random, or with ``"grid"`` all of the grid.

    Raises
    ------
    ValueError
        Where ``n_models`` is neither.
    """
    if isinstance(n_models, str) and n_models == "grid":
        drawn = list(ParameterGrid(parameters))
    elif isinstance(n_models, str):
        raise ValueError(f"n_initial_parameters: expected an integer of at least 1 or 'grid', got {n_models!r}")
    else:
        n_models = check_integer("n_initial_parameters", n_models, 1)
        drawn = list(ParameterSampler(parameters, n_models, random_state=seed))
    return {number: Candidate(params, (seed, number)) for number, params in enumerate(drawn)}


def seed_for(random_state: Any) -> int:
    """Return an integer seed; one that is given stays, so that parameters are drawn as scikit-learn draws them."""
    if isinstance(random_state, (int, np.integer)):
        return int(random_state) % SEEDS
    return seed_of(random_state) % SEEDS
