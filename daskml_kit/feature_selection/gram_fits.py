"""Fits of least squares on some of the features, and their scores, from one pass over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone

from daskml_kit.base import check_common, n_outputs_of, precision_of
from daskml_kit.engines.engine import Profile
from daskml_kit.engines.open import open_engine
from daskml_kit.engines.runtime import computing
from daskml_kit.exceptions import NotShared
from daskml_kit.linear_model import ElasticNet, Lasso, LinearRegression, Ridge
from daskml_kit.linear_model.least_squares import GRAM_FEATURES
from daskml_kit.model_selection.search.fused import fold_ids, n_fold_ids
from daskml_kit.model_selection.search.scoring import (
    FUSED_SCORERS,
    OF_SQUARES,
    FusedScorer,
    finalize_score,
    scorer_name,
)
from daskml_kit.model_selection.splits.folds import Folds
from daskml_kit.reductions.gram import Gram, Scatter
from daskml_kit.reductions.residuals import ResidualTotals
from daskml_kit.solvers.run import Driver
from daskml_kit.solvers.types import DataSpec, Fit
from daskml_kit.typing import Array
from daskml_kit.validation import Inputs


class SplitScatters(NamedTuple):
    """The scatter of training and of test rows of a split."""

    train: Scatter
    test: Scatter


class Scatters(NamedTuple):
    """The scatter of all rows and of the splits; how it was found, and what is known of the data."""

    whole: Scatter
    splits: list[SplitScatters]
    profile: Profile
    spec: DataSpec


def decided_by_gram(estimator: Any, n_features: int) -> bool:
    """Return whether the Gram matrix of all features decides fits on any of them.

    Examples
    --------
    >>> decided_by_gram(Ridge(), 100), decided_by_gram(Ridge(solver="lbfgs"), 100)
    (True, False)
    """
    known = type(estimator) in (ElasticNet, Lasso, LinearRegression, Ridge)
    return known and n_features <= GRAM_FEATURES and getattr(estimator, "solver", "") != "lbfgs"


def gram_scorer(scoring: Any, estimator: Any) -> FusedScorer | None:
    """Return the score where squared residuals give it; None where more is needed."""
    name = scorer_name(scoring, estimator)
    return FUSED_SCORERS[name] if name in OF_SQUARES else None


def scatters_of(inputs: Inputs, folds: Folds | None) -> Scatters:
    """Return the scatter of all rows, and of training and test rows of each split, in one pass."""

    def asked() -> Fit:
        return (yield Gram())

    ids = None if folds is None else fold_ids(folds)
    with open_engine(*inputs, many_passes=False, fold=ids) as engine, computing():
        n_ids = [] if folds is None else [n_fold_ids(folds, column) for column in range(len(folds.ids))]
        driver = Driver(engine, n_ids)
        rows: dict[Any, Any] = {None: None}
        for number, split in enumerate([] if folds is None else folds.splits):
            rows[number, "train"] = driver.subset(split.column, split.train)
            rows[number, "test"] = driver.subset(split.column, split.test)
        found = driver.run({key: asked() for key in rows}, rows)
        spec = DataSpec(inputs.X.shape[1], n_outputs_of(inputs.y), precision_of(inputs.X), engine.n_blocks)
    for returned in found.values():
        if returned.error is not None:
            raise returned.error
    values = {key: returned.value for key, returned in found.items()}
    splits = [SplitScatters(values[s, "train"], values[s, "test"]) for s in range((len(rows) - 1) // 2)]
    return Scatters(values[None], splits, engine.profile, spec)


def fit_on(estimator: Any, scatter: Scatter, features: Array, spec: DataSpec) -> Any:
    """Return a clone of the estimator fitted on some features.

    Raises
    ------
    NotShared
        Where the Gram matrix is not enough, as where it is very ill conditioned.
    """
    model = clone(estimator)
    check_common(model)
    model._check_parameters()
    kept = np.concatenate([features, np.arange(spec.n_features, len(scatter.mean))])
    own = scatter._replace(mean=scatter.mean[kept], product=scatter.product[np.ix_(kept, kept)])
    fit = model._fit_steps(DataSpec(len(features), spec.n_outputs, spec.dtype, spec.n_blocks))
    answer: Any = None
    while True:
        try:
            asked = fit.send(answer)
        except StopIteration as stop:
            model._keep({"n_features_in_": len(features), **stop.value})
            return model
        if type(asked) is not Gram:
            raise NotShared(f"{type(model).__name__} needs more than the Gram matrix")
        answer = own


def score_from(scorer: FusedScorer, model: Any, scatter: Scatter, features: Array, n_features: int) -> float:
    """Return the score of a model on the rows of a scatter."""
    coef = np.atleast_2d(model.coef_).astype(np.float64)
    targets = np.arange(n_features, len(scatter.mean))
    kept = np.concatenate([features, targets])
    residual = np.vstack([-coef.T, np.eye(len(targets))])  # the residual is a combination of features and targets
    product = scatter.product[np.ix_(kept, kept)]
    mean = scatter.mean[kept] @ residual - np.ravel(model.intercept_)
    squares = np.maximum(np.einsum("it,ij,jt->t", residual, product, residual, optimize=True), 0.0)
    none = np.zeros(len(targets))
    total = ResidualTotals(
        scatter.n_rows,
        scatter.weight,
        scatter.mean[targets],
        np.diag(scatter.product)[targets],
        none,
        squares + scatter.weight * mean**2,
        none,
    )
    score = finalize_score(scorer, total, None)
    return score if isinstance(score, float) else float("nan")


def mean_score(
    estimator: Any, scorer: FusedScorer, found: Scatters, features: Array, splits: Sequence[SplitScatters]
) -> float:
    """Return the mean of the scores on the splits of fits on some features."""
    n = found.spec.n_features
    models = [fit_on(estimator, split.train, features, found.spec) for split in splits]
    scores = [score_from(scorer, model, split.test, features, n) for model, split in zip(models, splits, strict=True)]
    return float(np.mean(scores))
