"""Scores of fitted linear models, all in one pass."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import is_classifier

from daskml_kit.engines.engine import Engine
from daskml_kit.engines.lockstep import Side
from daskml_kit.linear_model.generalized import GeneralizedLinearModel
from daskml_kit.model_selection.search.absorbing import coefficients, last_step
from daskml_kit.model_selection.search.judges import JUDGES
from daskml_kit.queries.linear_scores import ClassSums, Judged, LinearScores


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


def _score(name: str, total: Any, row: int, n_classes: int) -> float:
    if isinstance(total, ClassSums):
        if name == "accuracy":
            return float(total.hits[row]) / total.weight
        losses = total.log_losses if name == "neg_log_loss" else total.brier / (2 if n_classes == 2 else 1)
        return -float(losses[row]) / total.weight
    own = total._replace(absolute=total.absolute[row], deviance=total.deviance[row])
    return JUDGES[name].finish(own, None)
