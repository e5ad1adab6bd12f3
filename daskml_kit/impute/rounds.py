"""Rounds of imputation, in which each column is filled by a model of the others."""

from __future__ import annotations

import warnings
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import sklearn.linear_model
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import normalize

from daskml_kit.base import without_names
from daskml_kit.exceptions import DataError
from daskml_kit.reductions.gram import Gram, Scatter
from daskml_kit.reductions.round_robin import (
    ChainedSteps,
    ImputationStep,
    OfImputed,
    PatternMoments,
    Patterns,
    RoundChanges,
)
from daskml_kit.solvers.types import DataSpec, Encode
from daskml_kit.typing import Array

LINEAR = (
    sklearn.linear_model.BayesianRidge,
    sklearn.linear_model.ElasticNet,
    sklearn.linear_model.LinearRegression,
    sklearn.linear_model.Ridge,
)
"""Models whose predictions are affine, and whose fits ask for Gram matrices."""
CHECKED_ROUNDS = 5
"""Rounds whose changes one pass measures, where the rounds themselves take none."""
LEAST_CORRELATION = 1e-6

Asking = Generator[Any, Any, Any]


class Imputed(NamedTuple):
    """End of the rounds: the steps of all, and the number of rounds."""

    steps: list[ImputationStep]
    n_rounds: int


class FilledMoments:
    """Moments of the rows of each pattern of missing values, as far as affine models have filled their gaps.

    Parameters
    ----------
    patterns : Patterns
    chain : ChainedSteps
    """

    def __init__(self, patterns: Patterns, moments: PatternMoments, chain: ChainedSteps) -> None:
        gone = patterns.missing[:, chain.kept]
        self.missing = gone & ~chain.ignored
        self.rows = moments.rows
        self.mean = np.where(gone, chain.first, moments.mean[:, chain.kept])
        self.product = moments.product[:, chain.kept][:, :, chain.kept]

    def scatter(self, columns: Array, feature: int | None) -> Scatter:
        """Return the scatter of some columns, the target last, over the rows that have the target."""
        own = slice(None) if feature is None else ~self.missing[:, feature]
        at = columns if feature is None else np.append(columns, feature)
        rows, mean = self.rows[own], self.mean[own][:, at]
        weight = float(rows.sum())
        center = rows @ mean / max(weight, 1)
        apart = mean - center
        product = self.product[own].sum(axis=0)[np.ix_(at, at)] + (apart * rows[:, None]).T @ apart
        return Scatter(weight, int(weight), center, product, False)

    def impute(self, step: ImputationStep) -> None:
        """Go on to the moments after a step."""
        coef = np.zeros(self.mean.shape[1])
        coef[step.neighbors] = step.model.coef_
        own = self.missing[:, step.feature]
        self.mean[own, step.feature] = self.mean[own] @ coef + step.model.intercept_
        along = self.product[own] @ coef
        along[:, step.feature] = along @ coef
        self.product[own, step.feature] = along
        self.product[own, :, step.feature] = along


@dataclass
class Rounds:
    """Imputation of each column in turn, as `sklearn.impute.IterativeImputer` does it.

    Parameters
    ----------
    imputer : IterativeImputer
        With the parameters.
    estimator : DaskEstimator
        A clone of it is fitted in each step.
    chain : ChainedSteps
        Without steps.
    patterns : Patterns
    draw : RandomState
    spec : DataSpec
        Of the rows.
    """

    imputer: Any
    estimator: Any
    chain: ChainedSteps
    patterns: Patterns
    draw: np.random.RandomState
    spec: DataSpec
    steps: list[ImputationStep] = field(default_factory=list)
    _filled: FilledMoments | None = None
    _whole: Scatter | None = None
    """Scatter of all rows, until something is filled in."""

    def __post_init__(self) -> None:
        moments = self.patterns.moments
        unbounded = np.isneginf(self.chain.low).all() and np.isposinf(self.chain.high).all()
        if moments is not None and unbounded and isinstance(self.estimator, LINEAR):
            self._filled = FilledMoments(self.patterns, moments, self.chain)

    def run(self, tol: float) -> Asking:
        """Impute until the largest change of a row is below ``tol``."""
        order = self._order()
        shares = yield from self._shares()
        changes: list[float] = []
        for done in range(1, self.imputer.max_iter + 1):
            order = self._order() if self.imputer.imputation_order == "random" else order
            for feature in order:
                neighbors = self._neighbors(int(feature), shares)
                model = yield from self._fit_one(int(feature), neighbors)
                self._take(ImputationStep(int(feature), neighbors, model))
            if self._filled is None or done % CHECKED_ROUNDS == 0 or done == self.imputer.max_iter:
                measured = yield RoundChanges(replace(self.chain, steps=tuple(self.steps)), done)
                for change in measured[len(changes) :]:
                    changes.append(float(change))
                    if self.imputer.verbose > 0:
                        print(f"[IterativeImputer] Change: {change}, scaled tolerance: {tol} ")
                    if change < tol:
                        return Imputed(self.steps[: len(changes) * len(order)], len(changes))
        warnings.warn("[IterativeImputer] Early stopping criterion not reached.", ConvergenceWarning, stacklevel=2)
        return Imputed(self.steps, self.imputer.max_iter)

    @property
    def _gone(self) -> Array:
        """Number of imputed values of each kept column."""
        return np.where(self.chain.ignored, 0, self.patterns.gone[self.chain.kept])

    def _order(self) -> Array:
        """Return the columns in the order of a round."""
        gone, kind = self._gone, self.imputer.imputation_order
        chosen = np.flatnonzero(gone) if self.imputer.skip_complete else np.arange(len(gone))
        if kind in ("ascending", "descending"):
            chosen = np.argsort(gone, kind="stable")[len(gone) - len(chosen) :]
        if kind == "random":
            self.draw.shuffle(chosen)
        return chosen[::-1] if kind in ("arabic", "descending") else chosen

    def _shares(self) -> Asking:
        """Return the probabilities of neighbors, by their correlations at first; None where all are taken."""
        d, number = len(self.chain.kept), self.imputer.n_nearest_features
        if number is None or number >= d:
            return None
        (scatter,) = yield from self._answers((Gram(),), np.arange(d), None)
        deviation = np.sqrt(np.diag(scatter.product))
        with np.errstate(invalid="ignore", divide="ignore"):
            shares = np.abs(scatter.product / np.outer(deviation, deviation))
        shares = np.clip(np.where(np.isnan(shares), LEAST_CORRELATION, shares), LEAST_CORRELATION, 1)
        np.fill_diagonal(shares, 0)
        return normalize(shares, norm="l1", axis=0)

    def _neighbors(self, feature: int, shares: Array | None) -> Array:
        d = len(self.chain.kept)
        if shares is None:
            return np.delete(np.arange(d), feature)
        number = self.imputer.n_nearest_features
        drawn: Array = self.draw.choice(np.arange(d), number, replace=False, p=shares[:, feature])
        return drawn

    def _fit_one(self, feature: int, neighbors: Array) -> Asking:
        """Fit a model of a column by others, and return scikit-learn's model."""
        model = clone(self.estimator)
        model.n_features_in_ = len(neighbors)
        fit = model._fit_steps(DataSpec(len(neighbors), None, self.spec.dtype, self.spec.n_blocks))
        reply = None
        while True:
            try:
                asked = fit.send(reply)
            except StopIteration as end:
                model._keep(end.value)
                return without_names(model.to_sklearn())
            parts = asked if isinstance(asked, tuple) else (asked,)
            answers = yield from self._answers(parts, neighbors, feature)
            reply = answers if isinstance(asked, tuple) else answers[0]

    def _answers(self, parts: tuple[Any, ...], columns: Array, feature: int | None) -> Asking:
        """Answer what a fit asks: Gram matrices by the moments where there are some, else in a pass."""
        if any(isinstance(part, Encode) for part in parts):
            raise DataError(f"estimator: expected a regressor, got {type(self.estimator).__name__}")
        of_all = feature is None or not self._gone[feature]
        if self._filled is not None and all(type(part) is Gram for part in parts):
            return (self._filled.scatter(columns, feature),) * len(parts)
        chain = replace(self.chain, steps=tuple(self.steps))
        if of_all and len(parts) == 1 and type(parts[0]) is Gram:
            if self._whole is None:
                self._whole = yield OfImputed(Gram(), chain, np.arange(len(self.chain.kept)))
            at = columns if feature is None else np.append(columns, feature)
            whole = self._whole
            return (whole._replace(mean=whole.mean[at], product=whole.product[np.ix_(at, at)]),)
        return (yield tuple(OfImputed(part, chain, columns, feature) for part in parts))

    def _take(self, step: ImputationStep) -> None:
        self.steps.append(step)
        if self._gone[step.feature]:
            self._whole = None
            if self._filled is not None:
                self._filled.impute(step)
