"""What linear classifiers have in common."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets

from daskml_kit.engines.blocks import is_dask
from daskml_kit.engines.engine import Engine
from daskml_kit.linear_model.model import LinearModel
from daskml_kit.metrics import accuracy_score
from daskml_kit.queries.survey import Overview
from daskml_kit.typing import Array, Labels


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

    def _classes(self, overview: Overview) -> Labels:
        """Return the labels that were found.

        Raises
        ------
        ValueError
            Where there is one class only, or the target is continuous.
        """
        labels = overview.labels
        if labels is None:
            raise TypeError("the survey was not asked for labels")
        check_classification_targets(labels)
        weighted = labels if overview.label_weight is None else labels[overview.label_weight > 0]
        if len(weighted) < 2:
            raise ValueError(
                f"{type(self).__name__} needs samples of at least 2 classes in the data, with positive weight, but the "
                f"data contains only one class: {weighted[0]!r}"
            )
        return labels


def encode_targets(engine: Engine, overview: Overview) -> Overview:
    """Make the targets cheap to compare inside a pass; return the overview with the labels as the blocks now have them.

    Numbers stay as they are; other labels, strings for one, become their position among the labels, once.
    """
    labels = overview.labels
    if labels is None or overview.sample_y is None:
        raise TypeError("the survey was not asked for labels")
    if labels.dtype.kind in "fiub":
        return overview
    encode = partial(position_of, labels)
    engine.relabel(encode)
    return overview._replace(sample_y=encode(overview.sample_y), labels=np.arange(len(labels)))


def position_of(labels: Labels, y: Array) -> Array:
    """Return the position of each target among the sorted ``labels``."""
    return np.searchsorted(labels, np.asarray(y, dtype=labels.dtype)).astype(np.int32)


def class_weights(class_weight: Any, labels: Labels, overview: Overview) -> Array | None:
    """Return the factor of each class's rows, as scikit-learn's `compute_class_weight` gives it."""
    if class_weight is None:
        return None
    return np.asarray(compute_class_weight(class_weight, classes=labels, y=labels, sample_weight=overview.label_weight))
