"""Encoding of labels."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Any, Self

import dask.array as da
import dask.dataframe as dd
import numpy as np
import sklearn.preprocessing
from dask.array.utils import meta_from_array
from sklearn.utils.validation import check_is_fitted

from daskml_kit.base import DaskEstimator, forget, genuine_class, restored
from daskml_kit.blockwise import map_rows, with_meta
from daskml_kit.data.block import Block
from daskml_kit.data.collections import is_dask
from daskml_kit.engines.open import open_table
from daskml_kit.exceptions import DataError
from daskml_kit.reductions.frames import is_sparse
from daskml_kit.reductions.reduction import Reduction, SingleReduction
from daskml_kit.reductions.value_counts import Counts
from daskml_kit.validation import plain_strings


class LabelSets(SingleReduction):
    """The set of all labels in a table's only column, whose values are collections of labels."""

    def chunk(self, block: Block) -> set[Any]:
        table: Any = block.X
        rows = table.iloc[:, 0] if hasattr(table, "iloc") else table[:, 0]
        for row in rows:
            if isinstance(row, str) or not isinstance(row, Iterable):
                raise DataError(f"y: expected a collection of labels in each row, got {row!r} in block {block.index}")
        return set(chain.from_iterable(rows))

    def combine(self, a: set[Any], b: set[Any]) -> set[Any]:
        return a | b


class LabelTransformer(DaskEstimator):
    """Mixin of transformers of labels, which are lazy on Dask input."""

    def fit(self, y: Any) -> Self:  # type: ignore[override]
        """Learn the labels, in one pass.

        Parameters
        ----------
        y : array, Series, Dask array or Dask Series of shape (n_samples,), or what else scikit-learn takes

        Returns
        -------
        transformer
            Itself.

        Raises
        ------
        DataError
            Where y has another shape, or a value is no label.
        """
        with restored(self):
            if not is_dask(y):
                super(DaskEstimator, self).fit(y)  # type: ignore[misc]
                return self
            own: Any = self
            fitted = genuine_class(type(self))(**own.get_params(deep=False)).fit(self._labels_of(y))
            forget(self)
            vars(self).update(vars(fitted))
        return self

    def fit_transform(self, y: Any) -> Any:  # type: ignore[override]
        """Learn the labels, then encode them.

        Parameters
        ----------
        y : array, Series, Dask array or Dask Series of shape (n_samples,), or what else scikit-learn takes

        Returns
        -------
        array or Dask array
            See `transform`.
        """
        with restored(self):
            if is_dask(y):
                return self.fit(y).transform(y)
            return super(DaskEstimator, self).fit_transform(y)  # type: ignore[misc]  # an iterator can be read once

    def transform(self, y: Any) -> Any:
        """Encode labels: at once in memory, lazily on Dask.

        Parameters
        ----------
        y : array, Series, Dask array or Dask Series of shape (n_samples,), or what else scikit-learn takes

        Returns
        -------
        array or Dask array
            What scikit-learn returns; for Dask input a Dask array.
        """
        return self._map("transform", y)

    def inverse_transform(self, y: Any) -> Any:
        """Decode labels: at once in memory, lazily on Dask.

        Parameters
        ----------
        y : array or Dask array
            What `transform` returned.

        Returns
        -------
        array or Dask array
            Labels.
        """
        return self._map("inverse_transform", y)

    def _labels_of(self, y: Any) -> Any:
        """Return labels that fit as all of them do."""
        (tallies,) = _answer(Counts(), _vector(y))
        return np.asarray(tallies[0].values)

    def _map(self, method: str, y: Any) -> Any:
        if not is_dask(y):
            return getattr(super(DaskEstimator, self), method)(y)
        check_is_fitted(self)
        twin = self.to_sklearn()
        example = self._example_of(method, y)
        meta = getattr(twin, method)(example)[:0]
        rows = _vector(y) if example.ndim == 1 else y
        return with_meta(map_rows(twin, method, rows, meta), meta)

    def _example_of(self, method: str, y: Any) -> Any:
        own: Any = self
        return own.classes_[:1] if method == "transform" else np.zeros(1, np.intp)


class LabelEncoder(LabelTransformer, sklearn.preprocessing.LabelEncoder):  # type: ignore[misc]
    """Encode labels as their positions among the sorted labels.

    One pass finds the labels. Attributes and methods are those of `sklearn.preprocessing.LabelEncoder`.

    Attributes
    ----------
    classes_ : array of shape (n_classes,)

    See Also
    --------
    OrdinalEncoder : The same for the columns of X.

    Examples
    --------
    >>> import dask.array as da
    >>> LabelEncoder().fit_transform(da.from_array(np.array(["b", "a", "b"]), chunks=2)).compute()
    array([1, 0, 1])
    """


class LabelBinarizer(LabelTransformer, sklearn.preprocessing.LabelBinarizer):  # type: ignore[misc]
    """Encode labels as one column for each, one column for two.

    One pass finds the labels. Parameters, attributes and methods are those of `sklearn.preprocessing.LabelBinarizer`.

    Parameters
    ----------
    neg_label, pos_label : int, default 0 and 1
        The numbers of rows that have not, and have, the label of a column.
    sparse_output : bool, default False
        Whether `transform` gives CSR; on Dask input an array of CSR blocks.

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
    y_type_ : str
    sparse_input_ : bool

    See Also
    --------
    MultiLabelBinarizer : Rows with several labels.

    Examples
    --------
    >>> import dask.array as da
    >>> LabelBinarizer().fit_transform(da.from_array(np.array(["b", "a", "c"]), chunks=2)).compute()
    array([[0, 1, 0],
           [1, 0, 0],
           [0, 0, 1]])
    """

    def inverse_transform(self, Y: Any, threshold: float | None = None) -> Any:
        """Decode labels: at once in memory, lazily on Dask.

        Parameters
        ----------
        Y : array or Dask array of shape (n_samples, n_columns)
            What `transform` returned, or the scores or probabilities of a classifier.
        threshold : float, optional
            Scores above it are the label's; by default half way between ``neg_label`` and ``pos_label``.

        Returns
        -------
        array or Dask array of shape (n_samples,)
            Labels.
        """
        if not is_dask(Y):
            return super(DaskEstimator, self).inverse_transform(Y, threshold)
        check_is_fitted(self)
        if threshold is not None and self.y_type_ != "multiclass":  # of several classes the largest score is taken
            Y = (threshold < Y) * (self.pos_label - self.neg_label) + self.neg_label
        return self._map("inverse_transform", Y)

    def _labels_of(self, y: Any) -> Any:
        if y.ndim not in (1, 2):
            raise DataError(f"y: expected one or two dimensions, got {y.ndim}")
        if y.ndim == 1:
            return np.repeat(super()._labels_of(y), 3)  # of labels that come once each scikit-learn warns
        return _indicators(y)

    def _example_of(self, method: str, y: Any) -> Any:
        if method == "transform":
            return super()._example_of(method, y) if y.ndim == 1 else _indicators(y)
        return np.zeros(1, np.intp) if y.ndim == 1 else _indicators(y)


class MultiLabelBinarizer(LabelTransformer, sklearn.preprocessing.MultiLabelBinarizer):  # type: ignore[misc]
    """Encode collections of labels as one column for each label.

    One pass finds the labels, where ``classes`` does not tell them. Parameters, attributes and methods are those of
    `sklearn.preprocessing.MultiLabelBinarizer`.

    Parameters
    ----------
    classes : array of shape (n_classes,), default None
        The labels, in the order of the columns.
    sparse_output : bool, default False
        Whether `transform` gives CSR; on Dask input an array of CSR blocks.

    Attributes
    ----------
    classes_ : array of shape (n_classes,)

    See Also
    --------
    LabelBinarizer : Rows with one label.

    Examples
    --------
    >>> films = np.array([["drama"], ["crime", "drama"]], dtype=object)
    >>> MultiLabelBinarizer().fit_transform(da.from_array(films, chunks=1)).compute()
    array([[0, 1],
           [1, 1]])
    """

    def _labels_of(self, y: Any) -> Any:
        if self.classes is not None:
            return [[]]
        (labels,) = _answer(LabelSets(), _vector(y))
        return [labels]

    def _map(self, method: str, y: Any) -> Any:
        if not is_dask(y) or method == "transform":
            return super()._map(method, y)
        check_is_fitted(self)
        return y.map_blocks(_collections, self.to_sklearn(), drop_axis=1, dtype=object, meta=np.empty(0, object))

    def _example_of(self, method: str, y: Any) -> Any:
        example = np.empty(1, object)
        example[0] = ()
        return example


def _answer(reduction: Reduction, y: Any) -> list[Any]:
    table = y.to_frame(name="y") if isinstance(y, dd.Series) else y[:, None]
    with open_table(table) as engine:
        return engine.answer(reduction)


def _vector(y: Any) -> Any:
    """Return labels of one dimension, strings as pandas' default type."""
    if not isinstance(y, (da.Array, dd.Series)) or y.ndim != 1:
        raise DataError(f"y should be a 1d array, got {type(y).__name__} of shape {getattr(y, 'shape', None)} instead.")
    return plain_strings(y.to_frame(name="y"))["y"] if isinstance(y, dd.Series) else y


def _indicators(y: Any) -> Any:
    """Return rows that have no label, and all."""
    if not isinstance(y, da.Array):
        raise DataError(f"y: expected a Dask array or Series, got {type(y).__name__}")
    rows = np.stack([np.zeros(y.shape[1], np.int64), np.ones(y.shape[1], np.int64)])
    meta = meta_from_array(y)
    return type(meta)(rows) if is_sparse(meta) else rows


def _collections(block: Any, model: Any) -> Any:
    found = np.empty(block.shape[0], object)
    found[:] = model.inverse_transform(block)
    return found
