"""Vectorizer of dictionaries, pairs or words by hashes."""

from __future__ import annotations

from typing import Any

import sklearn.feature_extraction

from daskml_kit.feature_extraction.base import DocumentTransformer
from daskml_kit.solvers.types import DataSpec, Fit


class FeatureHasher(DocumentTransformer, sklearn.feature_extraction.FeatureHasher):  # type: ignore[misc]
    """Make rows of dictionaries, of pairs or of words in columns by the hashes of names; nothing is learned.

    Results are scikit-learn's.

    Parameters
    ----------
    n_features : int, default 1048576
        Columns; the more, the fewer names share one.
    input_type : {"dict", "pair", "string"}, default "dict"
        Kind of a row: a dictionary of names and values, pairs of these, or names alone, each of which counts one.
    dtype : type, default float64
    alternate_sign : bool, default True
        Whether the sign of a value is one of the name's hash, so that names of a column cancel out, not add up.

    See Also
    --------
    DictVectorizer : Learns names, so that columns have them.

    References
    ----------
    Weinberger et al., "Feature hashing for large scale multitask learning", ICML 2009.

    Examples
    --------
    >>> import dask.bag as db
    >>> rows = db.from_sequence([{"dog": 1, "cat": 2}, {"dog": 2, "run": 5}], npartitions=2)
    >>> FeatureHasher(n_features=10).transform(rows).compute().toarray().sum(axis=1)
    array([ 1., -7.])
    """

    _documents = "raw_X"

    def transform(self, raw_X: Any) -> Any:  # type: ignore[override]
        """Return the features of rows: at once in memory, lazily on Dask.

        Parameters
        ----------
        raw_X : Dask Series, Bag or array of one dimension, or any iterable in memory
            The rows, of the kind that ``input_type`` says.

        Returns
        -------
        CSR matrix or Dask array of CSR blocks, of shape (n_rows, n_features)
            Sizes of blocks are unknown where those of the rows are.
        """
        return self._transform_documents(raw_X)

    def _fit_steps(self, spec: DataSpec) -> Fit:
        self._check_setting()
        yield from ()
        return {}

    def _check_setting(self) -> None:
        sklearn.feature_extraction.FeatureHasher(**self.get_params(deep=False)).fit()

    def _fit_documents(self, X: Any) -> Any:
        self._check_setting()
        return self

    def _empty(self) -> Any:
        plain = sklearn.feature_extraction.FeatureHasher(self.n_features, dtype=self.dtype)
        return plain.transform([{}])[:0]
