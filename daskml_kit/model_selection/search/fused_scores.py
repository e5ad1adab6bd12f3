"""Scores of models that share passes."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
from sklearn.base import is_classifier

from daskml_kit.composition import unnamed
from daskml_kit.data.block import Block
from daskml_kit.exceptions import DataError
from daskml_kit.linear_model.base import LinearModel
from daskml_kit.linear_model.glm import GeneralizedLinearModel
from daskml_kit.model_selection.search.cv_results import FitKey
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
from daskml_kit.reductions.gram import Gram
from daskml_kit.reductions.linear_scores import ClassSums, Judged, LinearScores
from daskml_kit.reductions.per_fold import rows_within
from daskml_kit.reductions.reduction import SingleReduction
from daskml_kit.reductions.residuals import ResidualTotals
from daskml_kit.solvers.run import Driver
from daskml_kit.solvers.types import Subset
from daskml_kit.typing import Labels

Group = TypeVar("Group", bound=Hashable)


def _positions(groups: Iterable[Group]) -> dict[Group, list[int]]:
    """Return where in the sequence each group stands."""
    found: dict[Group, list[int]] = defaultdict(list)
    for position, group in enumerate(groups):
        found[group].append(position)
    return found


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
        for subset, positions in _positions(scored.subset for scored in self.models).items():
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


@dataclass(frozen=True, eq=False)
class FusedScores:
    """Scores of fitted models, each on some rows; weights count if they are ``weighted``.

    Where ``labels`` are given, targets are positions among them.
    """

    driver: Driver
    scoring: Mapping[str, Any]
    weighted: bool
    labels: Labels | None

    def of(self, models: Sequence[ScoredModel]) -> list[Scores]:
        """Return the scores of each model, by their names."""
        if not models or not self.scoring:
            return [{} for _ in models]
        first = models[0].model
        names = {name: scorer_name(scorer, first) for name, scorer in self.scoring.items()}
        if all(_is_plain(scored.model) for scored in models) and set(names.values()) <= LINEAR_SCORERS:
            wanted = list(names.values())
            found = self._from_products(models, wanted) or self._from_predictors(models, wanted)
            return [{name: own[known] for name, known in names.items()} for own in found]
        fused = {name: fused_scorer(given, first) for name, given in self.scoring.items()}
        scorers = {name: scorer for name, scorer in fused.items() if scorer is not None}
        bare = [scored._replace(model=unnamed(scored.model)) for scored in models]
        ((answers,),) = self.driver.ask([ModelScores(bare, scorers, self.weighted, self.labels)])
        classes = [getattr(scored.model, "classes_", None) for scored in models]
        return [
            {name: finalize_score(scorer, answer[name], known) for name, scorer in scorers.items()}
            for answer, known in zip(answers, classes, strict=True)
        ]

    def _from_predictors(self, models: Sequence[ScoredModel], names: Sequence[str]) -> list[Scores]:
        """Return the scores, by their scikit-learn names, that linear predictors give.

        Models that know the same classes are scored in one pass; a rare class that one fold lacks makes a second.
        """
        coefs = [coefficients(scored.model, self.driver.gaps) for scored in models]
        known = (getattr(scored.model, "classes_", np.empty(0)).tolist() for scored in models)
        alike = _positions((coef.shape, tuple(classes)) for coef, classes in zip(coefs, known, strict=True))
        likely = any(FUSED_SCORERS[name].response == "predict_proba" for name in names)
        scores: list[Scores] = [{} for _ in models]
        for own in alike.values():
            by_subset: dict[Any, list[int]] = _positions(models[position].subset for position in own)
            judged = [Judged(subset.column, subset.ids, tuple(places)) for subset, places in by_subset.items()]
            first = models[own[0]].model
            classes = first.classes_ if is_classifier(first) else None
            stored = classes if classes is None or self.labels is None else np.searchsorted(self.labels, classes)
            coef = np.stack([coefs[position] for position in own]).astype(np.float64)
            ((answers,),) = self.driver.ask([LinearScores(coef, judged, stored, likely, self.weighted)])
            for places, total in zip(by_subset.values(), answers, strict=True):
                for row, place in enumerate(places):
                    scores[own[place]] = {name: _score(name, total, row) for name in names}
        return scores

    def _from_products(self, models: Sequence[ScoredModel], names: Sequence[str]) -> list[Scores] | None:
        r"""Return scores of linear regressions from the products of features and targets that the fits have asked for.

        With e = y - X b the sum of :math:`e^2` is a quadratic form of the products, so no row is read again. None where
        no fit has asked for them, or a score is made of other sums.
        """
        counted = self.weighted or not self.driver.weighted
        if not counted or not set(names) <= QUADRATIC or is_classifier(models[0].model):
            return None
        scores: list[Scores] = []
        for model, subset in models:
            scatter = self.driver.recalled(Gram(), subset)
            if scatter is None:
                return None
            coef = coefficients(model, self.driver.gaps).astype(np.float64)
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


def scored_by_predictors(estimator: Any, scoring: Mapping[str, Any]) -> bool:
    """Return whether scores are sums over rows of functions of a linear predictor, and the rows need no transform."""
    names = {scorer_name(scorer, estimator) for scorer in scoring.values()}
    return _is_plain(estimator) and names <= LINEAR_SCORERS


def _is_plain(estimator: Any) -> bool:
    """Return whether a model's predictions are its linear predictors, or classes by these."""
    model = last_step(estimator)
    return isinstance(model, LinearModel) and not isinstance(model, GeneralizedLinearModel)


def _score(name: str, total: ClassSums | ResidualTotals, row: int) -> float | MissingScore:
    if isinstance(total, ResidualTotals):
        own = total._replace(absolute=total.absolute[row], deviance=total.deviance[row])
        return finalize_score(FUSED_SCORERS[name], own, None)
    if not total.weight > 0:
        return NO_ROWS
    sums = {"accuracy": total.hits, "neg_log_loss": -total.log_losses, "neg_brier_score": -total.brier}
    score = float(sums[name][row]) / total.weight
    return score if np.isfinite(score) else MissingScore("y has labels that the training rows have not")


def with_error_score(found: Mapping[FitKey, Scores], error_score: Any) -> dict[FitKey, dict[str, float]]:
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
