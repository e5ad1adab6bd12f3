"""Scores of fitted linear models, all in one pass."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from sklearn.base import is_classifier

from daskml_kit.engines.engine import Engine
from daskml_kit.engines.indicating import gaps_behind
from daskml_kit.engines.lockstep import Lockstep
from daskml_kit.engines.side import Side
from daskml_kit.linear_model.generalized import GeneralizedLinearModel
from daskml_kit.model_selection.search.absorbing import coefficients, last_step
from daskml_kit.model_selection.search.judges import JUDGES, NO_ROWS, Unscored, finished
from daskml_kit.queries.gram import Gram
from daskml_kit.queries.linear_scores import ClassSums, Judged, LinearScores
from daskml_kit.queries.residuals import Residue

Scores = dict[str, float | Unscored]

QUADRATIC = {"r2", "neg_mean_squared_error", "neg_root_mean_squared_error"}
"""Scores that the products of features and targets decide."""


def are_plain(models: Sequence[Any]) -> bool:
    """Whether the models' predictions are their linear predictors, or classes by these."""
    return not any(isinstance(last_step(model), GeneralizedLinearModel) for model in models)


def linear_scores(
    engine: Engine, models: Sequence[Any], sides: Sequence[Side], names: Sequence[str], weighted: bool
) -> list[Scores]:
    """Return the scores, by their scikit-learn names, of each model on the rows of its side.

    Models that know the same classes are scored in one pass; a rare class that one fold lacks makes a second.
    """
    gaps = gaps_behind(engine)
    alike: dict[Hashable, list[int]] = defaultdict(list)
    for position, model in enumerate(models):
        classes = getattr(model, "classes_", None)
        alike[coefficients(model, gaps).shape, None if classes is None else tuple(classes.tolist())].append(position)
    scores: list[Scores] = [{} for _ in models]
    for positions in alike.values():
        own, own_sides = [models[p] for p in positions], [sides[p] for p in positions]
        for position, found in zip(positions, _scores(engine, own, own_sides, names, weighted), strict=True):
            scores[position] = found
    return scores


def _scores(
    engine: Engine, models: Sequence[Any], sides: Sequence[Side], names: Sequence[str], weighted: bool
) -> list[Scores]:
    by_side: dict[Side, list[int]] = defaultdict(list)
    for position, side in enumerate(sides):
        by_side[side].append(position)
    judged = [Judged(side.column, side.ids, tuple(positions)) for side, positions in by_side.items()]
    classes = models[0].classes_ if is_classifier(models[0]) else None
    coef = np.stack([coefficients(model, gaps_behind(engine)) for model in models]).astype(np.float64)
    likely = any(JUDGES[name].response == "predict_proba" for name in names)
    (answers,) = engine.answer(LinearScores(coef, judged, classes, likely, weighted))
    scores: list[Scores] = [{} for _ in models]
    for (_, _, positions), total in zip(judged, answers, strict=True):
        for row, position in enumerate(positions):
            scores[position] = {name: _score(name, total, row) for name in names}
    return scores


def gram_scores(
    steps: Lockstep, models: Sequence[Any], sides: Sequence[Side], names: Sequence[str]
) -> list[Scores] | None:
    r"""Return scores of linear regressions from the products of features and targets that the fits have asked for.

    With e = y - X b the sum of :math:`e^2` is a quadratic form of the products, so no row is read again. None where
    no fit has asked for them, or a score is made of other sums.
    """
    if not set(names) <= QUADRATIC or is_classifier(models[0]):
        return None
    scores: list[Scores] = []
    for model, side in zip(models, sides, strict=True):
        scatter = steps.recalled(Gram(), side)
        if scatter is None:
            return None
        coef = coefficients(model, gaps_behind(steps.engine)).astype(np.float64)
        d = coef.shape[1] - 1
        signed = np.hstack([-coef[:, :-1], np.eye(len(coef))])
        apart = signed @ scatter.mean - coef[:, -1]
        deviance = np.einsum("ij,jk,ik->i", signed, scatter.product, signed) + scatter.weight * apart**2
        squares, none = np.diag(scatter.product)[d:], np.zeros(len(coef))
        total = Residue(scatter.n_rows, scatter.weight, scatter.mean[d:], squares, none, np.maximum(deviance, 0), none)
        scores.append({name: finished(JUDGES[name], total, None) for name in names})
    return scores


def _score(name: str, total: ClassSums | Residue, row: int) -> float | Unscored:
    if isinstance(total, Residue):
        own = total._replace(absolute=total.absolute[row], deviance=total.deviance[row])
        return finished(JUDGES[name], own, None)
    if not total.weight > 0:
        return NO_ROWS
    sums = {"accuracy": total.hits, "neg_log_loss": -total.log_losses, "neg_brier_score": -total.brier}
    score = float(sums[name][row]) / total.weight
    return score if np.isfinite(score) else Unscored("y has labels that the training rows have not")
