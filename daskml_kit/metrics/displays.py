"""Displays of predictions in Dask collections: scikit-learn's, of what one pass finds.

A display shows what depends on counts or on a sample alone, and that is all that reaches the client.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import sklearn.metrics
from sklearn.calibration import CalibrationDisplay as CalibrationDisplayInMemory

from daskml_kit.arguments import random_state_of
from daskml_kit.data.collections import is_dask
from daskml_kit.metrics.documented import adapted_doc
from daskml_kit.metrics.inputs import column, open_scores, reduce_scores, require_rows
from daskml_kit.metrics.reliability import calibration_curve
from daskml_kit.metrics.score_curves import CAP, score_cells
from daskml_kit.reductions.distinct_pairs import DistinctPairs, PairTotals
from daskml_kit.reductions.rank_counts import RankCounts, RankingTotals
from daskml_kit.reductions.row_sample import RowSample

NOTE = "On Dask data it is drawn from what one pass finds."


def _documented_by(theirs: type, note: str) -> Callable[[type], Any]:
    """Decorate a display such that it has the docstring of ``theirs``, with a note on Dask data."""

    def decorate(ours: type) -> type:
        ours.__doc__ = adapted_doc(theirs, note, lazy=False)
        return ours

    return decorate


def _of_scores(y_true: Any, y_score: Any, draw: Callable[..., Any], options: dict[str, Any]) -> Any:
    """Return what ``draw`` makes of the weighted distinct scores, or of the data in memory."""
    weight = options.pop("sample_weight", None)
    if not any(map(is_dask, (y_true, y_score, weight))):
        return draw(y_true, y_score, sample_weight=weight, **options)

    def finish(total: RankingTotals) -> Any:
        return score_cells(total, draw, options)

    return reduce_scores(RankCounts(CAP), finish, y_true, y_score, weight, True, "y_score")


class _ScoreDisplay:
    """Mixin of displays of the weighted distinct scores."""

    @classmethod
    def from_predictions(cls, y_true: Any, y_score: Any = None, **options: Any) -> Any:
        """Draw the curve of scores in one pass.

        Parameters
        ----------
        y_true : array-like or Dask collection of shape (n_samples,)
            Two labels.
        y_score : array-like or Dask collection of shape (n_samples,)
        **options : dict
            Those of scikit-learn's display; ``sample_weight`` may be a Dask collection.

        Returns
        -------
        display
            Drawn.
        """
        draw = super().from_predictions  # type: ignore[misc]  # the display's own
        return _of_scores(y_true, y_score, draw, options)


@_documented_by(sklearn.metrics.RocCurveDisplay, NOTE)
class RocCurveDisplay(_ScoreDisplay, sklearn.metrics.RocCurveDisplay):  # type: ignore[misc]
    pass


@_documented_by(sklearn.metrics.DetCurveDisplay, NOTE)
class DetCurveDisplay(_ScoreDisplay, sklearn.metrics.DetCurveDisplay):  # type: ignore[misc]
    pass


@_documented_by(sklearn.metrics.PrecisionRecallDisplay, NOTE)
class PrecisionRecallDisplay(_ScoreDisplay, sklearn.metrics.PrecisionRecallDisplay):  # type: ignore[misc]
    @classmethod
    def from_predictions(cls, y_true: Any, y_score: Any = None, **options: Any) -> Any:
        """Draw the curve of scores in one pass; the share of positive rows, the chance level, takes another.

        Parameters
        ----------
        y_true : array-like or Dask collection of shape (n_samples,)
            Two labels.
        y_score : array-like or Dask collection of shape (n_samples,)
        **options : dict
            Those of `sklearn.metrics.PrecisionRecallDisplay.from_predictions`; ``sample_weight`` may be a Dask
            collection.

        Returns
        -------
        PrecisionRecallDisplay
            Drawn.
        """
        if not any(map(is_dask, (y_true, y_score, options.get("sample_weight")))):
            return super().from_predictions(y_true, y_score, **options)
        chance = {name: options.pop(name, None) for name in ("plot_chance_level", "chance_level_kw")}
        shown = {name: options[name] for name in ("ax", "name", "curve_kwargs", "despine") if name in options}
        display = super().from_predictions(y_true, y_score, **options)
        positive = column(y_true, "y_true") == display.pos_label
        display.prevalence_pos_label = float(np.asarray(positive.mean()))  # of rows, not of the distinct scores
        if chance["plot_chance_level"]:
            display.ax_.clear()
            display.plot(**{"ax": display.ax_, **shown}, **chance)
        return display


@_documented_by(sklearn.metrics.ConfusionMatrixDisplay, NOTE)
class ConfusionMatrixDisplay(sklearn.metrics.ConfusionMatrixDisplay):  # type: ignore[misc]
    @classmethod
    def from_predictions(cls, y_true: Any, y_pred: Any, **options: Any) -> Any:
        """Draw the matrix in one pass.

        Parameters
        ----------
        y_true, y_pred : array-like or Dask collection of shape (n_samples,)
            Labels.
        **options : dict
            Those of `sklearn.metrics.ConfusionMatrixDisplay.from_predictions`; ``sample_weight`` may be a Dask
            collection.

        Returns
        -------
        ConfusionMatrixDisplay
            Drawn.
        """
        draw, weight = super().from_predictions, options.pop("sample_weight", None)
        if not any(map(is_dask, (y_true, y_pred, weight))):
            return draw(y_true, y_pred, sample_weight=weight, **options)

        def finish(total: PairTotals) -> Any:
            require_rows(total.n_rows, 1)
            return draw(total.truth, total.predicted, sample_weight=total.mass, **options)

        return reduce_scores(DistinctPairs(), finish, y_true, y_pred, weight, True)


@_documented_by(CalibrationDisplayInMemory, "On Dask data it is drawn from summed bins; ``y_prob`` stays as it is.")
class CalibrationDisplay(CalibrationDisplayInMemory):  # type: ignore[misc]
    @classmethod
    def from_predictions(cls, y_true: Any, y_prob: Any, **options: Any) -> Any:
        """Draw the diagram in the passes of `daskml_kit.metrics.calibration_curve`.

        Parameters
        ----------
        y_true : array-like or Dask collection of shape (n_samples,)
            Two labels.
        y_prob : array-like or Dask collection of shape (n_samples,)
        **options : dict
            Those of `sklearn.calibration.CalibrationDisplay.from_predictions`.

        Returns
        -------
        CalibrationDisplay
            Drawn.
        """
        if not any(map(is_dask, (y_true, y_prob))):
            return super().from_predictions(y_true, y_prob, **options)
        known = {name: options.pop(name) for name in ("n_bins", "strategy", "pos_label") if name in options}
        prob_true, prob_pred = calibration_curve(y_true, y_prob, **known)
        name, pos_label = options.pop("name", None), known.get("pos_label", 1)
        return cls(prob_true, prob_pred, y_prob, estimator_name=name, pos_label=pos_label).plot(**options)


@_documented_by(sklearn.metrics.PredictionErrorDisplay, "On Dask data it is drawn from a uniform sample of rows.")
class PredictionErrorDisplay(sklearn.metrics.PredictionErrorDisplay):  # type: ignore[misc]
    @classmethod
    def from_predictions(
        cls, y_true: Any, y_pred: Any, *, subsample: int | None = 1000, random_state: Any = None, **options: Any
    ) -> Any:
        """Draw a sample of rows, in one pass.

        Parameters
        ----------
        y_true, y_pred : array-like or Dask collection of shape (n_samples,)
            Numbers.
        subsample : int, default=1000
            Rows of the sample. Fractions and None, all rows, are only for input in memory.
        random_state : int, RandomState or None, default=None
            Draws the sample.
        **options : dict
            Those of `sklearn.metrics.PredictionErrorDisplay.from_predictions`.

        Returns
        -------
        PredictionErrorDisplay
            Drawn.
        """
        if not any(map(is_dask, (y_true, y_pred))):
            return super().from_predictions(y_true, y_pred, subsample=subsample, random_state=random_state, **options)
        if not isinstance(subsample, (int, np.integer)) or subsample < 1:
            raise ValueError(f"subsample: expected a positive integer with Dask collections, got {subsample!r}")
        seed = int(random_state_of(random_state).randint(2**31 - 1))
        with open_scores(y_true, y_pred, None) as engine:
            sample = engine.answer(RowSample(int(subsample), seed))[0]
        require_rows(sample.n_rows, 1)
        return super().from_predictions(sample.y, sample.X[:, 0], subsample=None, **options)
