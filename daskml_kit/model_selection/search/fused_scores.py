"""Scores of the models that share passes."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier
from sklearn.pipeline import Pipeline

from daskml_kit.data.block import Block
from daskml_kit.engines.engine import Engine
from daskml_kit.engines.indicating import gaps_behind
from daskml_kit.engines.lockstep import Lockstep
from daskml_kit.engines.side import Side
from daskml_kit.exceptions import DataError
from daskml_kit.linear_model.glm import GeneralizedLinearModel
from daskml_kit.model_selection.search.pipelines import SKIPPED, coefficients, last_step
from daskml_kit.model_selection.search.scoring import (
    FUSED_SCORERS,
    LINEAR_SCORERS,
    NO_ROWS,
    FusedScorer,
    MissingScore,
    finalize_score,
    scorer_name,
)
from daskml_kit.model_selection.splits.folds import Folds
from daskml_kit.reductions.gram import Gram
from daskml_kit.reductions.linear_scores import ClassSums, Judged, LinearScores
from daskml_kit.reductions.per_fold import rows_within
from daskml_kit.reductions.reduction import SingleReduction
from daskml_kit.reductions.residuals import ResidualTotals


class Examinee(NamedTuple):
    """A fitted scikit-learn model, and the rows to scorer it on, by default all."""

    model: Any
    side: Side | None = None


@dataclass(frozen=True, eq=False)
class Judging(SingleReduction):
    """What each scorer wants to know of each examinee; rows count alike unless scores are ``weighted``.

    The rows of a side are taken from the block once, for all examinees that are judged on them.
    """

    examinees: Sequence[Examinee]
    judges: Mapping[str, FusedScorer]
    weighted: bool = False

    def chunk(self, block: Block) -> list[dict[str, Any]]:
        answers: list[dict[str, Any]] = [{} for _ in self.examinees]
        for side, positions in self._by_side().items():
            rows = block if side is None else rows_within(block, side.column, side.ids)
            for position in positions:
                answers[position] = self._judge(self.examinees[position].model, rows)
        return answers

    def combine(self, a: list[dict[str, Any]], b: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            {name: self._joined(self.judges[name], x[name], y[name]) for name in self.judges}
            for x, y in zip(a, b, strict=True)
        ]

    def _joined(self, scorer: FusedScorer, a: Any, b: Any) -> Any:
        if a is None or isinstance(b, MissingScore):
            return b
        if b is None or isinstance(a, MissingScore):
            return a
        return scorer.reduction.combine(a, b)

    def _by_side(self) -> dict[Side | None, list[int]]:
        positions: dict[Side | None, list[int]] = defaultdict(list)
        for position, examinee in enumerate(self.examinees):
            positions[examinee.side].append(position)
        return positions

    def _judge(self, model: Any, rows: Block) -> dict[str, Any]:
        if rows.n_rows == 0:
            return dict.fromkeys(self.judges)
        responses: dict[str, Any] = {}
        weight = rows.weight if self.weighted else None
        answers: dict[str, Any] = {}
        for name, scorer in self.judges.items():
            if scorer.response not in responses:
                predicted = np.asarray(getattr(model, scorer.response)(rows.X))
                responses[scorer.response] = predicted.reshape(rows.n_rows, -1)
            try:
                answers[name] = scorer.reduction.chunk(Block(responses[scorer.response], rows.y, weight, rows.index))
            except DataError as error:  # such as predictions outside of what a deviance is defined for
                answers[name] = MissingScore(str(error))
        return answers


Scores = dict[str, float | MissingScore]

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
    likely = any(FUSED_SCORERS[name].response == "predict_proba" for name in names)
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
        total = ResidualTotals(
            scatter.n_rows, scatter.weight, scatter.mean[d:], squares, none, np.maximum(deviance, 0), none
        )
        scores.append({name: finalize_score(FUSED_SCORERS[name], total, None) for name in names})
    return scores


def _score(name: str, total: ClassSums | ResidualTotals, row: int) -> float | MissingScore:
    if isinstance(total, ResidualTotals):
        own = total._replace(absolute=total.absolute[row], deviance=total.deviance[row])
        return finalize_score(FUSED_SCORERS[name], own, None)
    if not total.weight > 0:
        return NO_ROWS
    sums = {"accuracy": total.hits, "neg_log_loss": -total.log_losses, "neg_brier_score": -total.brier}
    score = float(sums[name][row]) / total.weight
    return score if np.isfinite(score) else MissingScore("y has labels that the training rows have not")


Place = tuple[int, int]
"""The number of a candidate, and of a split."""


def scores_of(
    steps: Lockstep,
    folds: Folds,
    models: Mapping[Place, Any],
    scoring: Mapping[str, Any],
    weighted: bool,
    side: str,
) -> dict[Place, Scores]:
    if not models:
        return {}
    fitted = list(models.values())
    splits = [folds.splits[s] for _, s in models]
    sides = [steps.side(split.column, getattr(split, side)) for split in splits]
    names = {name: scorer_name(scorer, fitted[0]) for name, scorer in scoring.items()}
    if are_plain(fitted) and set(names.values()) <= LINEAR_SCORERS:
        wanted = list(names.values())
        found = gram_scores(steps, fitted, sides, wanted) if weighted or not steps.weighted else None
        if found is None:
            found = linear_scores(steps.engine, fitted, sides, wanted, weighted)
        return {p: {name: own[known] for name, known in names.items()} for p, own in zip(models, found, strict=True)}
    judges = {name: FUSED_SCORERS[known] for name, known in names.items()}
    examinees = [Examinee(plain(model), side) for model, side in zip(fitted, sides, strict=True)]
    (answers,) = steps.engine.answer(Judging(examinees, judges, weighted))
    return {
        place: {name: finalize_score(scorer, answer[name], None) for name, scorer in judges.items()}
        for place, answer in zip(models, answers, strict=True)
    }


def settled(found: Mapping[Place, Scores], error_score: Any) -> dict[Place, dict[str, float]]:
    """Return the scores, ``error_score`` where there is none, and warn of it."""
    reasons = dict.fromkeys(s.reason for own in found.values() for s in own.values() if isinstance(s, MissingScore))
    for reason in reasons:
        if error_score == "raise":
            raise ValueError(f"Scoring failed: {reason}")
        warnings.warn(
            "Scoring failed. The score on this train-test partition for these parameters will be set to "
            f"{error_score}. Details: {reason}",
            UserWarning,
            stacklevel=5,
        )
    return {
        place: {name: error_score if isinstance(s, MissingScore) else s for name, s in own.items()}
        for place, own in found.items()
    }


def plain(model: Any) -> Any:
    """Return the scikit-learn twin, which takes rows without names, and does not write to them."""
    if isinstance(model, Pipeline):
        return Pipeline([(name, step if step in SKIPPED else plain(step)) for name, step in model.steps])
    twin = model.to_sklearn() if hasattr(model, "to_sklearn") else copy(model)
    if hasattr(twin, "feature_names_in_"):
        del twin.feature_names_in_
    if getattr(twin, "copy", True) is False:
        twin.copy = True
    return twin
