"""Base of the transformers of documents: texts, or dictionaries of features."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import dask
import dask.array as da
import dask.bag as db
import numpy as np
from sklearn.utils.validation import check_is_fitted

from daskml_kit.base import DaskEstimator, DaskTransformer, restored
from daskml_kit.blockwise import map_rows
from daskml_kit.data.collections import documents_of, holds_documents, in_memory_documents
from daskml_kit.engines.open import open_table
from daskml_kit.numerics.term_counting import check_documents, naming_documents
from daskml_kit.solvers.types import DataSpec


class DocumentTransformer(DaskTransformer):
    """Mixin, before a scikit-learn vectorizer, that gives its methods Dask Series, Bags and arrays of documents."""

    _documents: ClassVar[str] = "X"
    """Name of the argument, as scikit-learn has it."""

    def fit(self, X: Any = None, y: Any = None) -> Self:  # type: ignore[override]
        """Learn from documents what there is to learn.

        Parameters
        ----------
        X : Dask Series, Bag or array of one dimension, or any iterable in memory
            The documents.
        y : ignored

        Returns
        -------
        transformer
            Itself.

        Raises
        ------
        DataError
            Where a document cannot be used; the message names its block.
        """
        return self._fit_documents(X)

    def transform(self, X: Any) -> Any:  # type: ignore[override]
        """Return the features of documents: at once in memory, lazily on Dask.

        Parameters
        ----------
        X : Dask Series, Bag or array of one dimension, or any iterable in memory
            The documents.

        Returns
        -------
        CSR matrix or Dask array of CSR blocks, of shape (n_documents, n_features)
            Sizes of blocks are unknown where those of X are.
        """
        return self._transform_documents(X)

    def fit_transform(self, X: Any, y: Any = None) -> Any:  # type: ignore[override]
        """Fit to documents, then return their features.

        Parameters
        ----------
        X : Dask Series, Bag or array of one dimension, or any iterable in memory
            The documents.
        y : ignored

        Returns
        -------
        CSR matrix or Dask array of CSR blocks, of shape (n_documents, n_features)
            See `transform`.
        """
        return self._fit_transform_documents(X)

    def _check_setting(self) -> None:
        """Raise where a parameter is wrong, as scikit-learn's fit would."""

    def _empty(self) -> Any:
        """Return the features of no document."""
        raise NotImplementedError

    def _fit_documents(self, X: Any) -> Self:
        if not holds_documents(X):
            with restored(self):
                super(DaskEstimator, self).fit(in_memory_documents(X))  # type: ignore[misc]
            return self
        self._check_setting()
        table = documents_of(X, self._documents)
        with open_table(table) as engine:
            return self._fit_tables(engine, self._fit_steps(DataSpec(1, numeric=False)))

    def _transform_documents(self, X: Any) -> Any:
        if not holds_documents(X):
            return super(DaskEstimator, self).transform(in_memory_documents(X))  # type: ignore[misc]
        check_is_fitted(self)
        self._check_setting()
        model = CheckedDocuments(self.to_sklearn(), self._documents)
        return map_rows(model, "transform", documents_of(X, self._documents), self._empty())

    def _map(self, method: str, X: Any, params: dict[str, Any]) -> Any:
        """Return the results for rows of features, one each, as a Bag: they are no arrays of one shape."""
        inverse = dask.delayed(getattr(self.to_sklearn(), method), pure=True)
        rows = X.rechunk({1: -1}) if isinstance(X, da.Array) else X
        return db.from_delayed([inverse(block, **params) for block in np.ravel(rows.to_delayed())])

    def _fit_transform_documents(self, X: Any) -> Any:
        if holds_documents(X):
            return self._fit_documents(X)._transform_documents(X)
        with restored(self):
            return super(DaskEstimator, self).fit_transform(in_memory_documents(X))  # type: ignore[misc]


class CheckedDocuments:
    """Fitted scikit-learn vectorizer that says which document of a block it cannot use.

    Parameters
    ----------
    model : scikit-learn vectorizer
    name : str
        What errors call the documents.
    """

    def __init__(self, model: Any, name: str) -> None:
        self.model, self.name = model, name

    def transform(self, documents: Any) -> Any:
        values = check_documents(documents, self.name)
        with naming_documents(self.name):
            return self.model.transform(values)
