"""Losses of predicted probabilities: log loss and Brier score, on Dask in one pass."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any, Literal

import numpy as np
import sklearn.metrics

from daskml_kit.exceptions import DataError
from daskml_kit.metrics.documented import documented_by
from daskml_kit.metrics.inputs import column, in_memory_by, reduce_scores, require_rows
from daskml_kit.metrics.regression import too_few
from daskml_kit.reductions.class_losses import ClassLosses, ClassLossTotals


@in_memory_by(sklearn.metrics.log_loss)
def log_loss(
    y_true: Any,
    y_proba: Any = None,
    *,
    normalize: bool = True,
    sample_weight: Any = None,
    labels: Any = None,
    compute: bool = True,
    y_pred: Any = None,
) -> Any:
    r"""Log loss: the mean of :math:`-\log p_{i, y_i}`, the probability clipped to [eps, 1 - eps] of its dtype.

    Parameters
    ----------
    y_true : array-like or Dask collection of shape (n,)
        Numbers or strings.
    y_proba : array-like or Dask collection of shape (n,) or (n, n_classes)
        One column is the probability of the second label; more are those of the sorted labels.
    normalize : bool
        False gives the weighted sum.
    sample_weight : array-like or Dask collection of shape (n,), optional
    labels : array-like of shape (n_classes,), optional
        By default the labels of ``y_true``.
    compute : bool, default True
        False gives a Delayed in place of the number.
    y_pred : array-like or Dask collection, optional
        The name of ``y_proba`` in older versions of scikit-learn.

    Returns
    -------
    float
        The smaller the better.

    Raises
    ------
    TypeError
        Where both or neither of ``y_proba`` and ``y_pred`` are given.
    DataError
        Where lengths differ, probabilities leave [0, 1], or labels and columns are not equally many.

    See Also
    --------
    brier_score_loss : More lenient towards small probabilities of the truth.

    Examples
    --------
    >>> import dask.array as da
    >>> p = da.from_array([[0.1, 0.9], [0.9, 0.1], [0.8, 0.2], [0.35, 0.65]], chunks=2)
    >>> round(log_loss(["spam", "ham", "ham", "spam"], p), 4)
    0.2162
    """
    if (y_proba is None) == (y_pred is None):
        raise TypeError("y_proba: expected probabilities, or y_pred, its older name, and not both")
    y_proba = y_pred if y_proba is None else y_proba
    finish = partial(_log_loss, normalize=normalize, labels=labels)
    return reduce_scores(ClassLosses("log"), finish, y_true, y_proba, sample_weight, compute, "y_proba")


def _log_loss(total: ClassLossTotals, normalize: bool, labels: Any) -> float:
    _warn_unless_normalized(total)
    loss = _of_own_columns(total, labels)
    require_rows(total.n_rows, total.weight if normalize else 1)
    return loss / total.weight if normalize else loss


def _brier_score(
    y_true: Any,
    y_proba: Any,
    sample_weight: Any = None,
    pos_label: Any = None,
    labels: Any = None,
    scale_by_half: bool | Literal["auto"] = "auto",
    compute: bool = True,
) -> Any:
    proba = column(y_proba, "y_proba")
    options = {"pos_label": pos_label, "labels": labels, "scale_by_half": scale_by_half}
    finish = partial(_brier, one_column=proba.ndim == 1, **options)
    return reduce_scores(ClassLosses("brier"), finish, y_true, proba, sample_weight, compute, "y_proba")


def _brier(total: ClassLossTotals, one_column: bool, pos_label: Any, labels: Any, scale_by_half: Any) -> float:
    _warn_unless_normalized(total)
    require_rows(total.n_rows, total.weight)
    loss = _of_positive(total, pos_label) if one_column else _of_own_columns(total, labels)
    halve = total.losses.shape[1] < 3 if scale_by_half == "auto" else scale_by_half
    return loss / total.weight * (0.5 if halve else 1.0)


def _d2_log_loss(y_true: Any, y_proba: Any, sample_weight: Any = None, labels: Any = None, compute: bool = True) -> Any:
    finish = partial(_explained_log_loss, labels=labels)
    return reduce_scores(ClassLosses("log"), finish, y_true, y_proba, sample_weight, compute, "y_proba")


def _explained_log_loss(total: ClassLossTotals, labels: Any) -> float:
    require_rows(total.n_rows, total.weight)
    if too_few(total.n_rows, "D^2"):
        return float("nan")
    _warn_unless_normalized(total)
    eps = np.finfo(np.float64).eps
    null = -float(total.masses @ np.log(np.clip(total.masses / total.weight, eps, 1 - eps)))
    return 1 - _of_own_columns(total, labels) / null


def _d2_brier(
    y_true: Any,
    y_proba: Any,
    sample_weight: Any = None,
    pos_label: Any = None,
    labels: Any = None,
    compute: bool = True,
) -> Any:
    proba = column(y_proba, "y_proba")
    finish = partial(_explained_brier, one_column=proba.ndim == 1, pos_label=pos_label, labels=labels)
    return reduce_scores(ClassLosses("brier"), finish, y_true, proba, sample_weight, compute, "y_proba")


def _explained_brier(total: ClassLossTotals, one_column: bool, pos_label: Any, labels: Any) -> float:
    require_rows(total.n_rows, total.weight)
    if too_few(total.n_rows, "D^2"):
        return float("nan")
    loss = total.weight * _brier(total, one_column, pos_label, labels, scale_by_half=False)
    null = total.weight - float(total.masses @ total.masses) / total.weight
    return 1 - loss / null if null else float("-inf")


def _warn_unless_normalized(total: ClassLossTotals) -> None:
    if not total.normalized:
        message = "The y_proba values do not sum to one. Make sure to pass probabilities."
        warnings.warn(message, UserWarning, stacklevel=3)


def _of_own_columns(total: ClassLossTotals, labels: Any) -> float:
    """Return the loss of each label's rows under the label's own column."""
    width = total.losses.shape[1]
    if labels is None:
        if len(total.labels) == 1:
            raise DataError(f"y_true contains only one label ({total.labels[0]}): pass all of them as labels=")
        if len(total.labels) != width:
            raise DataError(
                f"y_true and y_proba contain different number of classes: {len(total.labels)} vs {width}. Pass all as "
                f"labels=. Classes found in y_true: {total.labels.tolist()}"
            )
        return float(np.trace(total.losses))
    known = np.unique(np.asarray(labels))
    if not np.array_equal(known, np.asarray(labels)):
        warnings.warn(
            f"labels={labels!r}: the columns of y_proba are taken in the order {known.tolist()}",
            UserWarning,
            stacklevel=3,
        )
    if len(known) != width:
        raise DataError(f"labels: expected {width}, one a column of y_proba, got {known.tolist()}")
    if not np.isin(total.labels, known).all():
        raise DataError(f"y_true contains values {np.setdiff1d(total.labels, known).tolist()} not belonging to labels")
    return float(total.losses[np.arange(len(total.labels)), np.searchsorted(known, total.labels)].sum())


def _of_positive(total: ClassLossTotals, pos_label: Any) -> float:
    """Return the loss of the rows of ``pos_label`` under the second column, of the others under the first."""
    if pos_label is None:
        if total.labels.dtype.kind in "OUS":
            raise DataError(
                f"y_true takes value in {total.labels.tolist()} and pos_label is not specified: either make y_true "
                "take value in {0, 1} or {-1, 1} or pass pos_label explicitly."
            )
        usual = ([0, 1], [-1, 1], [0], [-1], [1])
        pos_label = 1 if total.labels.tolist() in usual else total.labels[-1]
    return float(total.losses[np.arange(len(total.labels)), (total.labels == pos_label).astype(int)].sum())


NOTE = "On Dask collections one pass sums the losses of the predictions"
SHARES = f"{NOTE} and those of the labels' shares."
brier_score_loss = documented_by(sklearn.metrics.brier_score_loss, _brier_score, f"{NOTE}.")
d2_brier_score = documented_by(sklearn.metrics.d2_brier_score, _d2_brier, SHARES)
d2_log_loss_score = documented_by(sklearn.metrics.d2_log_loss_score, _d2_log_loss, SHARES)
