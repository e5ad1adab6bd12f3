"""Base classes of the models that are trained by stochastic gradients."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any, ClassVar, TypeVar

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets

from daskml_kit.base import SklearnTwin
from daskml_kit.data.collections import is_dask
from daskml_kit.engines.engine import Engine
from daskml_kit.engines.profile import Profile, print_pass, watching
from daskml_kit.engines.runtime import computing
from daskml_kit.linear_model.solve import sample_rows
from daskml_kit.metrics import accuracy_score, r2_score
from daskml_kit.reductions.summary import DataSummary, Summary
from daskml_kit.typing import Array, Labels
from daskml_kit.validation import check_choice as check_choice
from daskml_kit.validation import check_number as check_number
from daskml_kit.validation import check_share as check_share

Key = TypeVar("Key", bound=Hashable)


class LinearModel(SklearnTwin, BaseEstimator):  # type: ignore[misc]
    """Base of the linear models."""

    asks_questions: ClassVar[bool] = True
    """Whether all that it learns of the data are answers to reductions, which several fits can ask at once."""

    coef_: Array
    intercept_: Any
    n_features_in_: int
    profile_: Profile

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _survey(self, engine: Engine, *, labeled: bool, n_outputs: int = 1, seed: int = 0) -> DataSummary:
        """Ask for the summary of the data, and refuse data without rows."""
        d = self.n_features_in_
        rows = sample_rows(d, n_outputs * (d + 1))
        summary: DataSummary = engine.answer(Summary(labeled, rows, engine.n_blocks, seed))[0]
        self._require_rows(summary.n_rows, summary.weight)
        return summary

    def _require_rows(self, n_rows: int, weight: float) -> None:
        """Raise where there is nothing to fit."""
        if n_rows == 0:
            shape = (0, self.n_features_in_)
            raise ValueError(f"Found array with 0 sample(s) (shape={shape}) while a minimum of 1 is required.")
        if not weight > 0:
            raise ValueError(
                "sample_weight: expected some positive weights, got a sum of zero: sample weights are zero"
            )

    @contextmanager
    def _fitting(self) -> Iterator[None]:
        """Leave the estimator as it was if the fit fails or is interrupted; print passes where it is verbose.

        BLAS keeps to one thread.
        """
        before = dict(self.__dict__)
        try:
            # solvers factor matrices between passes: BLAS threads there wait for a busy neighbor (0.4 s for 20 ms)
            with computing(), watching(print_pass) if getattr(self, "verbose", 0) else nullcontext():
                yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise


class LinearClassifier(ClassifierMixin, LinearModel):  # type: ignore[misc]
    """Base of the linear classifiers: labels of any type, a decision function, accuracy as score."""

    classes_: Labels

    def predict(self, X: Any) -> Any:
        """Return the label of each row, of shape (n_samples,); lazily on Dask input."""
        return self._apply("predict", X, np.empty(0, getattr(self, "classes_", np.empty(0)).dtype))

    def decision_function(self, X: Any) -> Any:
        """Return the signed distance to the boundary, of shape (n_samples,), or (n_samples, n_classes) beyond two."""
        return self._apply("decision_function", X, self._empty_scores(binary_columns=0))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy on the given data, a float also on Dask input."""
        if not is_dask(X) and not is_dask(y):
            return float(super().score(X, y, sample_weight))
        return float(accuracy_score(y, self.predict(X), sample_weight=sample_weight))

    def _empty_scores(self, binary_columns: int) -> Array:
        n_classes = len(getattr(self, "classes_", ()))
        columns = n_classes if n_classes > 2 else binary_columns
        dtype = getattr(getattr(self, "coef_", None), "dtype", np.float64)
        return np.empty((0, columns) if columns else 0, dtype)

    def _classes(self, summary: DataSummary) -> Labels:
        """Return the labels that were found.

        Raises
        ------
        ValueError
            Where there is one class only, or the target is continuous.
        """
        labels = summary.labels
        if labels is None:
            raise TypeError("the survey was not asked for labels")
        check_classification_targets(labels)
        weighted = labels if summary.label_weight is None else labels[summary.label_weight > 0]
        if len(weighted) < 2:
            raise ValueError(
                f"{type(self).__name__} needs samples of at least 2 classes in the data, with positive weight, but the "
                f"data contains only one class: {weighted[0]!r}"
            )
        return labels


def encode_targets(engine: Engine, summary: DataSummary) -> DataSummary:
    """Make the targets cheap to compare inside a pass; return the summary with the labels as the blocks now have them.

    Numbers stay as they are; other labels, strings for one, become their position among the labels, once.
    """
    labels = summary.labels
    if labels is None or summary.sample_y is None:
        raise TypeError("the survey was not asked for labels")
    if labels.dtype.kind in "fiub":
        return summary
    encode = partial(position_of, labels)
    engine.relabel(encode)
    return summary._replace(sample_y=encode(summary.sample_y), labels=np.arange(len(labels)))


def position_of(labels: Labels, y: Array) -> Array:
    """Return the position of each target among the sorted ``labels``."""
    return np.searchsorted(labels, np.asarray(y, dtype=labels.dtype)).astype(np.int32)


def class_weights(class_weight: Any, labels: Labels, summary: DataSummary) -> Array | None:
    """Return the factor of each class's rows, as scikit-learn's `compute_class_weight` gives it."""
    if class_weight is None:
        return None
    return np.asarray(compute_class_weight(class_weight, classes=labels, y=labels, sample_weight=summary.label_weight))


class LinearRegressor(RegressorMixin, LinearModel):  # type: ignore[misc]
    """Base of the linear regressors: lazy predictions, and the coefficient of determination as score."""

    def predict(self, X: Any) -> Any:
        """Return predictions of shape (n_samples,) or (n_samples, n_outputs); lazily on Dask input."""
        coef = getattr(self, "coef_", np.empty(0))
        return self._apply("predict", X, np.empty(0 if coef.ndim == 1 else (0, len(coef)), coef.dtype))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the coefficient of determination on the given data, a float also on Dask input."""
        if not is_dask(X) and not is_dask(y):
            return float(super().score(X, y, sample_weight))
        return float(r2_score(y, self.predict(X), sample_weight=sample_weight))
