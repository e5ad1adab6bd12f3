"""Scores of models that share passes."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier

from daskml_kit.composition import unnamed
from daskml_kit.data.block import Block
from daskml_kit.exceptions import DataError
from daskml_kit.linear_model.base import LinearModel
from daskml_kit.linear_model.glm import GeneralizedLinearModel
from daskml_kit.model_selection.search.pipelines import coefficients, last_step
from daskml_kit.model_selection.search.scoring import (
    FUSED_SCORERS,
    LINEAR_SCORERS,
    NO_ROWS,
    OWN_SCORE,
    FusedScorer,
    MissingScore,
    finalize_score,
    fused_scorer,
    scorer_name,
)
from daskml_kit.model_selection.splits.folds import Folds
from daskml_kit.reductions.gram import Gram
from daskml_kit.reductions.linear_scores import ClassSums, Judged, LinearScores
from daskml_kit.reductions.per_fold import rows_within
from daskml_kit.reductions.reduction import SingleReduction
from daskml_kit.reductions.residuals import ResidualTotals
from daskml_kit.solvers.run import Driver
from daskml_kit.solvers.types import Subset
from daskml_kit.typing import Labels


class ScoredModel(NamedTuple):
    """A fitted scikit-learn model, and the rows to score it on, by default all."""

    model: Any
    subset: Subset | None = None


@dataclass(frozen=True, eq=False)
class ModelScores(SingleReduction):
    """Totals that each scorer needs of each model; rows count alike unless scores are ``weighted``.

    The rows of a subset are taken from the block once, for all models that are scored on them. Where ``labels`` are
    given, targets are positions among them.
    """

    models: Sequence[ScoredModel]
    scorers: Mapping[str, FusedScorer]
    weighted: bool = False
    labels: Labels | None = None

    def chunk(self, block: Block) -> list[dict[str, Any]]:
        answers: list[dict[str, Any]] = [{} for _ in self.models]
        for subset, positions in self._by_subset().items():
            rows = block if subset is None else rows_within(block, subset.column, subset.ids)
            if self.labels is not None and rows.y is not None:
                rows = rows._replace(y=self.labels[rows.y])
            for position in positions:
                answers[position] = self._totals(self.models[position].model, rows)
        return answers

    def combine(self, a: list[dict[str, Any]], b: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            {name: self._joined(self.scorers[name], x[name], y[name]) for name in self.scorers}
            for x, y in zip(a, b, strict=True)
        ]

    def _joined(self, scorer: FusedScorer, a: Any, b: Any) -> Any:
        if a is None or isinstance(b, MissingScore):
            return b
        if b is None or isinstance(a, MissingScore):
            return a
        return scorer.reduction.combine(a, b)

    def _by_subset(self) -> dict[Subset | None, list[int]]:
        positions: dict[Subset | None, list[int]] = defaultdict(list)
        for position, scored in enumerate(self.models):
            positions[scored.subset].append(position)
        return positions

    def _totals(self, model: Any, rows: Block) -> dict[str, Any]:
        if rows.n_rows == 0:
            return dict.fromkeys(self.scorers)
        responses: dict[str, Any] = {}
        rows = rows if self.weighted else rows._replace(weight=None)
        answers: dict[str, Any] = {}
        for name, scorer in self.scorers.items():
            if scorer.response == OWN_SCORE:
                answers[name] = replace(scorer.reduction, model=model).chunk(rows)  # type: ignore[type-var]
                continue
            if scorer.response not in responses:
                predicted = np.asarray(getattr(model, scorer.response)(rows.X))
                responses[scorer.response] = predicted.reshape(rows.n_rows, -1)
            try:
                answers[name] = scorer.reduction.chunk(rows._replace(X=responses[scorer.response]))
            except DataError as error:  # such as predictions outside of what a deviance is defined for
                answers[name] = MissingScore(str(error))
        return answers


Scores = dict[str, float | MissingScore]

QUADRATIC = {"r2", "neg_mean_squared_error", "neg_root_mean_squared_error"}
"""Scores that the products of features and targets decide."""


def are_plain(models: Sequence[Any]) -> bool:
    """Return whether the models' predictions are their linear predictors, or classes by these."""
    last = [last_step(model) for model in models]
    return all(isinstance(model, LinearModel) and not isinstance(model, GeneralizedLinearModel) for model in last)


def linear_scores(
    driver: Driver,
    models: Sequence[Any],
    subsets: Sequence[Subset],
    names: Sequence[str],
    weighted: bool,
    labels: Labels | None,
) -> list[Scores]:
    """Return the scores, by their scikit-learn names, of each model on its rows.

    Models that know the same classes are scored in one pass; a rare class that one fold lacks makes a second.
    """
    alike: dict[Hashable, list[int]] = defaultdict(list)
    for position, model in enumerate(models):
        classes = getattr(model, "classes_", None)
        shape = coefficients(model, driver.gaps).shape
        alike[shape, None if classes is None else tuple(classes.tolist())].append(position)
    scores: list[Scores] = [{} for _ in models]
    for positions in alike.values():
        own, own_subsets = [models[p] for p in positions], [subsets[p] for p in positions]
        found = _linear_scores(driver, own, own_subsets, names, weighted, labels)
        for position, score in zip(positions, found, strict=True):
            scores[position] = score
    return scores


def _linear_scores(
    driver: Driver,
    models: Sequence[Any],
    subsets: Sequence[Subset],
    names: Sequence[str],
    weighted: bool,
    labels: Labels | None,
) -> list[Scores]:
    by_subset: dict[Subset, list[int]] = defaultdict(list)
    for position, subset in enumerate(subsets):
        by_subset[subset].append(position)
    judged = [Judged(subset.column, subset.ids, tuple(positions)) for subset, positions in by_subset.items()]
    classes = models[0].classes_ if is_classifier(models[0]) else None
    stored = classes if classes is None or labels is None else np.searchsorted(labels, classes)
    coef = np.stack([coefficients(model, driver.gaps) for model in models]).astype(np.float64)
    likely = any(FUSED_SCORERS[name].response == "predict_proba" for name in names)
    ((answers,),) = driver.ask([LinearScores(coef, judged, stored, likely, weighted)])
    scores: list[Scores] = [{} for _ in models]
    for (_, _, positions), total in zip(judged, answers, strict=True):
        for row, position in enumerate(positions):
            scores[position] = {name: _score(name, total, row) for name in names}
    return scores


def gram_scores(
    driver: Driver, models: Sequence[Any], subsets: Sequence[Subset], names: Sequence[str]
) -> list[Scores] | None:
    r"""Return scores of linear regressions from the products of features and targets that the fits have asked for.

    With e = y - X b the sum of :math:`e^2` is a quadratic form of the products, so no row is read again. None where
    no fit has asked for them, or a score is made of other sums.
    """
    if not set(names) <= QUADRATIC or is_classifier(models[0]):
        return None
    scores: list[Scores] = []
    for model, subset in zip(models, subsets, strict=True):
        scatter = driver.recalled(Gram(), subset)
        if scatter is None:
            return None
        coef = coefficients(model, driver.gaps).astype(np.float64)
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
    driver: Driver,
    folds: Folds,
    models: Mapping[Place, Any],
    scoring: Mapping[str, Any],
    weighted: bool,
    labels: Labels | None,
    side: str,
) -> dict[Place, Scores]:
    """Return the scores of each model on the ``side`` of its split, "train" or "test"."""
    if not models:
        return {}
    fitted = list(models.values())
    splits = [folds.splits[s] for _, s in models]
    subsets = [driver.subset(split.column, getattr(split, side)) for split in splits]
    names = {name: scorer_name(scorer, fitted[0]) for name, scorer in scoring.items()}
    if are_plain(fitted) and set(names.values()) <= LINEAR_SCORERS:
        wanted = list(names.values())
        found = gram_scores(driver, fitted, subsets, wanted) if weighted or not driver.weighted else None
        if found is None:
            found = linear_scores(driver, fitted, subsets, wanted, weighted, labels)
        return {p: {name: own[known] for name, known in names.items()} for p, own in zip(models, found, strict=True)}
    scorers = {
        name: scorer for name, given in scoring.items() if (scorer := fused_scorer(given, fitted[0])) is not None
    }
    scored = [ScoredModel(unnamed(model), subset) for model, subset in zip(fitted, subsets, strict=True)]
    ((answers,),) = driver.ask([ModelScores(scored, scorers, weighted, labels)])
    return {
        place: {name: finalize_score(scorer, answer[name], None) for name, scorer in scorers.items()}
        for place, answer in zip(models, answers, strict=True)
    }


def with_error_score(found: Mapping[Place, Scores], error_score: Any) -> dict[Place, dict[str, float]]:
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
