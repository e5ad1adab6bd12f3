"""Features of dictionaries: their keys as columns, as they are or hashed."""

from __future__ import annotations

from typing import Any

import sklearn.feature_extraction

from daskml_kit.feature_extraction.base import DocumentTransformer
from daskml_kit.reductions.term_counts import FeatureNames
from daskml_kit.solvers.types import DataSpec, Fit


class DictVectorizer(DocumentTransformer, sklearn.feature_extraction.DictVectorizer):  # type: ignore[misc]
    """Make rows of dictionaries, with a column for each key, and for each pair of a key and a word; in one pass.

    Columns and results are scikit-learn's.

    Parameters
    ----------
    dtype : type, default float64
    separator : str, default "="
        Between a key and a word, in names of columns.
    sparse : bool, default True
        Whether rows are CSR.
    sort : bool, default True
        Whether columns are sorted by name, else in the order in which they come.

    Attributes
    ----------
    feature_names_ : list of str
    vocabulary_ : dict of str to int
        Column of each name.

    See Also
    --------
    FeatureHasher : Has nothing to learn.

    Examples
    --------
    >>> import dask.bag as db
    >>> rows = db.from_sequence([{"city": "Oslo", "wind": 3.0}, {"city": "Rome"}], npartitions=2)
    >>> vectorizer = DictVectorizer(sparse=False)
    >>> vectorizer.fit_transform(rows).compute()
    array([[1., 0., 3.],
           [0., 1., 0.]])
    >>> vectorizer.get_feature_names_out().tolist()
    ['city=Oslo', 'city=Rome', 'wind']
    """

    def _fit_steps(self, spec: DataSpec) -> Fit:
        plain = sklearn.feature_extraction.DictVectorizer(separator=self.separator, sort=False)
        names = yield FeatureNames(plain)
        if self.sort:
            names = sorted(names)
        return {"feature_names_": names, "vocabulary_": {name: at for at, name in enumerate(names)}}

    def _check_setting(self) -> None:
        sklearn.feature_extraction.DictVectorizer(**self.get_params(deep=False)).fit_transform([{}])

    def _empty(self) -> Any:
        return self.to_sklearn().transform([{}])[:0]


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
