"""Scores of fitted linear models, all in one pass."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import is_classifier

from daskml_kit.engines.engine import Engine
from daskml_kit.engines.lockstep import Lockstep, Side
from daskml_kit.linear_model.generalized import GeneralizedLinearModel
from daskml_kit.model_selection.search.absorbing import coefficients, last_step
from daskml_kit.model_selection.search.judges import JUDGES
from daskml_kit.queries.gram import Gram
from daskml_kit.queries.linear_scores import ClassSums, Judged, LinearScores
from daskml_kit.queries.residuals import Residue

QUADRATIC = {"r2", "neg_mean_squared_error", "neg_root_mean_squared_error"}
"""Scores that the products of features and targets decide."""


def are_plain(models: Sequence[Any]) -> bool:
    """Whether the models' predictions are their linear predictors, or classes by these, the same classes for all."""
    first = models[0]
    if any(isinstance(last_step(model), GeneralizedLinearModel) for model in models):
        return False
    alike = {(coefficients(model).shape, str(getattr(model, "classes_", None))) for model in models}
    return len(alike) == 1 and (not is_classifier(first) or len(first.classes_) > 1)


def linear_scores(
    engine: Engine, models: Sequence[Any], sides: Sequence[Side], names: Sequence[str], weighted: bool
) -> list[dict[str, float]]:
    """Return the scores, by their scikit-learn names, of each model on the rows of its side."""
    first = models[0]
    by_side: dict[Side, list[int]] = defaultdict(list)
    for position, side in enumerate(sides):
        by_side[side].append(position)
    judged = [Judged(side.column, side.ids, tuple(positions)) for side, positions in by_side.items()]
    classes = first.classes_ if is_classifier(first) else None
    coef = np.stack([coefficients(model) for model in models]).astype(np.float64)
    query = LinearScores(coef, judged, classes, hasattr(first, "predict_proba"), weighted)
    (answers,) = engine.answer(query)
    scores: list[dict[str, float]] = [{} for _ in models]
    for (_, _, positions), total in zip(judged, answers, strict=True):
        for row, position in enumerate(positions):
            scores[position] = {
                name: _score(name, total, row, 0 if classes is None else len(classes)) for name in names
            }
    return scores


def gram_scores(
    steps: Lockstep, models: Sequence[Any], sides: Sequence[Side], names: Sequence[str]
) -> list[dict[str, float]] | None:
    r"""Return scores of linear regressions from the products of features and targets that the fits have asked for.

    With e = y - X b the sum of :math:`e^2` is a quadratic form of the products, so no row is read again. None where
    no fit has asked for them, or a score is made of other sums.
    """
    if not set(names) <= QUADRATIC or is_classifier(models[0]):
        return None
    scores = []
    for model, side in zip(models, sides, strict=True):
        scatter = steps.recalled(Gram(), side)
        if scatter is None:
            return None
        coef = coefficients(model).astype(np.float64)
        d = coef.shape[1] - 1
        signed = np.hstack([-coef[:, :-1], np.eye(len(coef))])
        apart = signed @ scatter.mean - coef[:, -1]
        deviance = np.einsum("ij,jk,ik->i", signed, scatter.product, signed) + scatter.weight * apart**2
        squares, none = np.diag(scatter.product)[d:], np.zeros(len(coef))
        total = Residue(scatter.n_rows, scatter.weight, scatter.mean[d:], squares, none, np.maximum(deviance, 0), none)
        scores.append({name: JUDGES[name].finish(total, None) for name in names})
    return scores


def _score(name: str, total: Any, row: int, n_classes: int) -> float:
    if isinstance(total, ClassSums):
        if name == "accuracy":
            return float(total.hits[row]) / total.weight
        losses = total.log_losses if name == "neg_log_loss" else total.brier / (2 if n_classes == 2 else 1)
        return -float(losses[row]) / total.weight
    own = total._replace(absolute=total.absolute[row], deviance=total.deviance[row])
    return JUDGES[name].finish(own, None)
