"""Scorers: scikit-learn's by name, and those that a reduction computes in a fused pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier, is_regressor
from sklearn.metrics import check_scoring, get_scorer

from daskml_kit.metrics.scorers import SCORERS, BoundMetric, refuse_metrics
from daskml_kit.model_selection.search.pipelines import last_step
from daskml_kit.reductions.block_means import BlockScores, ScoreTotals
from daskml_kit.reductions.class_losses import ClassLosses, ClassLossTotals, CorrectPredictions, CorrectTotals
from daskml_kit.reductions.distinct_pairs import DistinctPairs
from daskml_kit.reductions.reduction import Reduction
from daskml_kit.reductions.residuals import Residuals, ResidualTotals

SINGLE = "score"


def named_scoring(scoring: Any) -> dict[str, Any]:
    """Return scorers, or their names, by the names that results have; one alone is called "score".

    Raises
    ------
    ValueError
        Where scoring is empty, has a name twice, or is of another kind.
    """
    if scoring is None or isinstance(scoring, str) or callable(scoring):
        return {SINGLE: scoring}
    if isinstance(scoring, Mapping):
        named = dict(scoring)
    elif isinstance(scoring, (list, tuple, set)):
        named = {name: name for name in scoring}
        if len(named) < len(scoring):
            raise ValueError(f"scoring: expected each scorer once, got {scoring!r}")
    else:
        raise ValueError(f"scoring: expected a name, a callable, a list of names or a dict, got {scoring!r}")
    strange = [name for name in named if not isinstance(name, str)]
    if not named or strange:
        raise ValueError(f"scoring: names must be unique strings of predefined scorers, got {scoring!r}")
    return named


def check_error_score(value: Any) -> None:
    """Raise a `ValueError` unless the parameter is a number or "raise"."""
    if value != "raise" and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise ValueError(f"error_score: expected 'raise' or a number, got {value!r}")


def scorers_of(estimator: Any, scoring: Mapping[str, Any]) -> dict[str, Callable[..., float]]:
    """Return scikit-learn's scorers of the names.

    Raises
    ------
    ValueError
        Where a scorer is not known, or is a metric.
    """
    refuse_metrics(scoring)
    return {name: _scorer(estimator, value) for name, value in scoring.items()}


def _scorer(estimator: Any, value: Any) -> Callable[..., float]:
    if value is None:
        return check_scoring(estimator)  # type: ignore[no-any-return]
    return get_scorer(value)  # type: ignore[no-any-return]


class MissingScore(NamedTuple):
    """Reason for which rows have no score."""

    reason: str


class FusedScorer(NamedTuple):
    """A score, the greater the better.

    Parameters
    ----------
    response : str
        The estimator's method whose result is scored.
    reduction : Reduction
        Asked of blocks whose X are predictions.
    finish : callable
        Makes the score of the reduction's answer and the classes of the estimator.
    """

    response: str
    reduction: Reduction
    finish: Callable[[Any, Any], float]


def accuracy(total: CorrectTotals, classes: Any) -> float:
    return total.hits / total.weight


def log_loss(total: ClassLossTotals, classes: Any) -> float:
    if not np.isin(total.labels, classes).all():
        return float("nan")
    own = np.searchsorted(classes, total.labels)
    return -float(total.losses[np.arange(len(own)), own].sum()) / total.weight


def brier(total: ClassLossTotals, classes: Any) -> float:
    return log_loss(total, classes) / (2 if len(classes) == 2 else 1)


def deviance(total: ResidualTotals, classes: Any) -> float:
    return -float((total.deviance / total.weight).mean())


SUMMED_SCORERS: Mapping[str, FusedScorer] = {
    "accuracy": FusedScorer("predict", CorrectPredictions(), accuracy),
    "neg_log_loss": FusedScorer("predict_proba", ClassLosses("log"), log_loss),
    "neg_brier_score": FusedScorer("predict_proba", ClassLosses("brier"), brier),
    "neg_mean_poisson_deviance": FusedScorer("predict", Residuals(1.0), deviance),
    "neg_mean_gamma_deviance": FusedScorer("predict", Residuals(2.0), deviance),
}
"""Scores that take less than their metric does, as they are of an estimator that knows its classes."""


def bound_scorer(scorer: Any) -> FusedScorer | None:
    """Return the fused form of a scorer that `daskml_kit.metrics.make_scorer` has made of a metric of one reduction."""
    bound = getattr(scorer, "bound_metric", None)
    if not isinstance(bound, BoundMetric) or not isinstance(bound.response, str):
        return None
    parts = getattr(bound.metric, "parts", None)
    if parts is None:
        return None
    reduction, finish = parts(**bound.options)
    return FusedScorer(bound.response, reduction, partial(_signed, finish=finish, sign=bound.sign))


def _signed(total: Any, classes: Any, finish: Callable[[Any], float], sign: int) -> float:
    return sign * float(finish(total))


FUSED_SCORERS: Mapping[str, FusedScorer] = {
    **{name: fused for name, scorer in SCORERS.items() if (fused := bound_scorer(scorer)) is not None},
    **SUMMED_SCORERS,
}
"""By the names of scikit-learn's scorers."""


def finalize_score(scorer: FusedScorer, total: Any, classes: Any) -> float | MissingScore:
    """Return the score, or why there is none."""
    if isinstance(total, MissingScore):
        return total
    if total is None or not np.any(total.weight > 0):
        return NO_ROWS
    try:
        return scorer.finish(total, classes)
    except ValueError as error:  # such as labels of which a score of two classes knows no positive one
        return MissingScore(str(error))


NO_ROWS = MissingScore("there are no rows with a positive weight to score")
OF_SQUARES = {"r2", "neg_mean_squared_error", "neg_root_mean_squared_error"}
"""Scores that the sums of squared residuals decide."""
LINEAR_SCORERS = {"accuracy", "neg_log_loss", "neg_brier_score", "neg_mean_absolute_error", *OF_SQUARES}
"""Scores that a linear model's predictor gives by itself."""


OWN_SCORE = "score"
"""Response of the scorers that are an estimator's own ``score``, a mean or a sum over rows."""


def own_score(total: ScoreTotals, classes: Any) -> float:
    return float(total.score)


def own_mean(total: ScoreTotals, classes: Any) -> float:
    return float(total.score / total.weight)


OWN_SCORERS = {
    "mean": FusedScorer(OWN_SCORE, BlockScores(None, "mean"), own_mean),
    "sum": FusedScorer(OWN_SCORE, BlockScores(None, "sum"), own_score),
}


def fused_scorer(scoring: Any, estimator: Any) -> FusedScorer | None:
    """Return the fused form of ``scoring``, or (None) of the estimator's own ``score``; None where there is none."""
    if scoring is None and (own := OWN_SCORERS.get(getattr(last_step(estimator), "_score_is", ""))) is not None:
        return own
    scorer = bound_scorer(scoring) or FUSED_SCORERS.get(scorer_name(scoring, estimator))
    if scorer is None or not hasattr(estimator, scorer.response):
        return None
    suits = is_classifier if isinstance(scorer.reduction, OF_LABELS) else is_regressor
    return scorer if suits(estimator) else None


OF_LABELS = (CorrectPredictions, ClassLosses, DistinctPairs)


def scorer_name(scoring: Any, estimator: Any) -> str:
    """Return the name of the score; that of the estimator's own, where there is a name for it; else nothing."""
    if isinstance(scoring, str):
        return scoring
    if scoring is not None:
        return ""
    if is_classifier(estimator):
        return "accuracy"
    return "r2" if is_regressor(estimator) and getattr(last_step(estimator), "_score_is", "") == "metric" else ""
