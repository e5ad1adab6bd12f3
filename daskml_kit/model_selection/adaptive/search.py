"""What adaptive searches have in common: how a fit goes, and what is left of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Self

import dask
import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin
from sklearn.model_selection import ParameterGrid, ParameterSampler
from sklearn.utils import get_tags

from daskml_kit.engines.blocks import is_dask
from daskml_kit.model_selection.adaptive.benches import free_of_task, open_bench
from daskml_kit.model_selection.adaptive.best import BestModel
from daskml_kit.model_selection.adaptive.calls import Bench, carry_out
from daskml_kit.model_selection.adaptive.checks import (
    check_error_score,
    check_estimator,
    check_integer,
    check_verbose,
    scorer_for,
)
from daskml_kit.model_selection.adaptive.policies.orders import Policy, Record
from daskml_kit.model_selection.adaptive.sources import hold_out
from daskml_kit.model_selection.adaptive.table import by_model, tabulate
from daskml_kit.model_selection.adaptive.telling import Narrator, printing
from daskml_kit.model_selection.adaptive.visits import Candidate, Lesson, Score
from daskml_kit.model_selection.search.failures import tell_failures
from daskml_kit.model_selection.splits.splitter import seed_of

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
        tell_failures(list(errors.values()), len(histories), own.error_score, stacklevel=4)
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
