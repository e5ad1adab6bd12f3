"""Vectorizer of dictionaries of features."""

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
