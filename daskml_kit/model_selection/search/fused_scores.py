"""Scores of models that share passes."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
from sklearn.base import is_classifier
from sklearn.pipeline import make_pipeline

from daskml_kit.composition import unnamed
from daskml_kit.data.block import Block
from daskml_kit.exceptions import DataError
from daskml_kit.linear_model.base import LinearModel
from daskml_kit.linear_model.glm import GeneralizedLinearModel
from daskml_kit.model_selection.search.cv_results import FitKey
from daskml_kit.model_selection.search.pipelines import coefficients, last_step, shown_model
from daskml_kit.model_selection.search.scoring import (
    FUSED_SCORERS,
    LINEAR_SCORERS,
    NO_ROWS,
    OF_SQUARES,
    OWN_SCORE,
    FusedScorer,
    MissingScore,
    finalize_score,
    fused_scorer,
    scorer_name,
)
from daskml_kit.numerics.missing import NO_GAPS, Gaps
from daskml_kit.reductions.frames import Restricted, Through, rows_within
from daskml_kit.reductions.gram import Gram
from daskml_kit.reductions.linear_scores import ClassSums, Judged, LinearScores
from daskml_kit.reductions.reduction import Reduction, SingleReduction
from daskml_kit.reductions.residuals import ResidualTotals
from daskml_kit.solvers.run import Driver, Plan
from daskml_kit.solvers.types import Subset
from daskml_kit.solvers.views import name_of
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
        names = {name: scorer_name(scorer, models[0].model) for name, scorer in self.scoring.items()}
        linear = all(_is_plain(scored.model) for scored in models) and set(names.values()) <= LINEAR_SCORERS
        shown = [shown_model(scored.model, linear=linear) for scored in models]
        if linear and not any(steps for steps, _ in shown) and (found := self._from_products(models, names)):
            return found
        views = {id(models[at]): unnamed(make_pipeline(*steps)) for at, (steps, _) in enumerate(shown) if steps}
        alike = _positions(
            (scored.subset, name_of(views[id(scored)])) if id(scored) in views else () for scored in models
        )
        scores: list[Scores] = [{} for _ in models]
        plans = []
        for places in alike.values():
            first = models[places[0]]
            rows, view = first.subset, views.get(id(first))
            seen = [models[place]._replace(model=shown[place][1]) for place in places]
            gaps = self.driver.gaps if view is None else NO_GAPS
            plan = self._of_predictors(seen, names, gaps) if linear else self._of_responses(seen, models[0].model)
            plans.append((places, [_over(reduction, rows, view) for reduction in plan[0]], plan[1]))
        given = iter(self.driver.ask([reduction for _, reductions, _ in plans for reduction in reductions]))
        for places, reductions, finish in plans:
            for place, found in zip(places, finish([next(given) for _ in reductions]), strict=True):
                scores[place] = found
        return scores

    def _of_responses(self, models: Sequence[ScoredModel], first: Any) -> Plan:
        """Plan the scores of what models predict."""
        fused = {name: fused_scorer(given, first) for name, given in self.scoring.items()}
        scorers = {name: scorer for name, scorer in fused.items() if scorer is not None}
        bare = [scored._replace(model=unnamed(scored.model)) for scored in models]
        classes = [getattr(scored.model, "classes_", None) for scored in models]

        def finish(given: list[list[Any]]) -> list[Any]:
            return [
                {name: finalize_score(scorer, answer[name], known) for name, scorer in scorers.items()}
                for answer, known in zip(given[0][0], classes, strict=True)
            ]

        return [ModelScores(bare, scorers, self.weighted, self.labels)], finish

    def _of_predictors(self, models: Sequence[ScoredModel], names: Mapping[str, str], gaps: Gaps) -> Plan:
        """Plan the scores that linear predictors give, of which ``names`` has scikit-learn's names.

        Models that know the same classes are one reduction; a rare class that one fold lacks makes a second.
        """
        coefs = [coefficients(scored.model, gaps) for scored in models]
        known = (getattr(scored.model, "classes_", np.empty(0)).tolist() for scored in models)
        alike = _positions((coef.shape, tuple(classes)) for coef, classes in zip(coefs, known, strict=True))
        likely = any(FUSED_SCORERS[name].response == "predict_proba" for name in names.values())
        reductions, judgements = [], []
        for own in alike.values():
            by_subset: dict[Any, list[int]] = _positions(models[position].subset for position in own)
            judged = [Judged(subset.column, subset.ids, tuple(places)) for subset, places in by_subset.items()]
            first = models[own[0]].model
            classes = first.classes_ if is_classifier(first) else None
            stored = classes if classes is None or self.labels is None else np.searchsorted(self.labels, classes)
            coef = np.stack([coefs[position] for position in own]).astype(np.float64)
            reductions.append(LinearScores(coef, judged, stored, likely, self.weighted))
            judgements.append([[own[place] for place in places] for places in by_subset.values()])

        def finish(given: list[list[Any]]) -> list[Any]:
            scores: list[Scores] = [{} for _ in models]
            for subsets, (answers,) in zip(judgements, given, strict=True):
                for places, total in zip(subsets, answers, strict=True):
                    for row, place in enumerate(places):
                        scores[place] = {name: _score(known, total, row) for name, known in names.items()}
            return scores

        return reductions, finish

    def _from_products(self, models: Sequence[ScoredModel], names: Mapping[str, str]) -> list[Scores] | None:
        r"""Return scores of linear regressions from the products of features and targets that the fits have asked for.

        With e = y - X b the sum of :math:`e^2` is a quadratic form of the products, so no row is read again. None where
        no fit has asked for them, or a score is made of other sums.
        """
        counted = self.weighted or not self.driver.weighted
        if not counted or not set(names.values()) <= OF_SQUARES or is_classifier(models[0].model):
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
            scores.append({name: finalize_score(FUSED_SCORERS[known], total, None) for name, known in names.items()})
        return scores


def _over(reduction: Reduction, rows: Subset | None, view: Any) -> Reduction:
    """Return the reduction over some rows as a transformer shows them; where there is none, it is over all rows."""
    if view is None:
        return reduction
    shown = Through(reduction, view)
    return shown if rows is None else Restricted(shown, rows.column, rows.ids)


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
