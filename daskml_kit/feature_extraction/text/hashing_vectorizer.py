"""Vectorizer of texts by hashes of their terms."""

from __future__ import annotations

from typing import Any

import numpy as np
import sklearn.feature_extraction.text
from sklearn.feature_extraction import FeatureHasher
from sklearn.preprocessing import normalize

from daskml_kit.base import parameters_of
from daskml_kit.blockwise import map_rows
from daskml_kit.data.collections import documents_of, holds_documents
from daskml_kit.documentation import with_inherited_docs
from daskml_kit.feature_extraction.text.base import TextVectorizer
from daskml_kit.numerics.term_counting import PlainWords, count_terms, is_plain
from daskml_kit.solvers.types import DataSpec, Fit


@with_inherited_docs
class HashingVectorizer(TextVectorizer, sklearn.feature_extraction.text.HashingVectorizer):  # type: ignore[misc]
    r"""Count the terms of texts in columns by the terms' hashes; nothing is learned.

    Results are scikit-learn's. On Dask, plain words of ASCII texts (the defaults, with any case and stop words) are
    found and counted by compiled code. Else taking texts apart is Python's work, which threads do one at a time: on a
    cluster of processes it takes as much less time as there are processes.

    Parameters
    ----------
    token_pattern : str, default r"(?u)\\b\\w\\w+\\b"
        Regular expression of a token.
    n_features : int, default 1048576
        Columns; the more, the fewer terms share one.
    norm : {"l1", "l2"} or None, default "l2"
        Norm that each row is scaled to.
    alternate_sign : bool, default True
        Whether the sign of a term is one of its hash, so that terms of one column cancel out rather than add up.
    dtype : type, default float64

    See Also
    --------
    CountVectorizer : Learns a vocabulary, so that columns have names.

    References
    ----------
    Weinberger et al., "Feature hashing for large scale multitask learning", ICML 2009.

    Examples
    --------
    >>> import dask.bag as db
    >>> texts = db.from_sequence(["to be or not to be", "that is the question"], npartitions=2)
    >>> HashingVectorizer(n_features=16).transform(texts).compute().shape
    (2, 16)
    """

    def _fit_steps(self, spec: DataSpec) -> Fit:
        self._check_setting()
        yield from ()
        return {}

    def _fit_documents(self, X: Any) -> Any:
        self._check_setting()
        return self if X is None else super()._fit_documents(X)

    def _transform_documents(self, X: Any) -> Any:
        twin = self.to_sklearn()
        if not (holds_documents(X) and is_plain(twin)):
            return super()._transform_documents(X)
        self._check_setting()
        empty = self._empty()
        return map_rows(HashedWords(twin, empty), "transform", documents_of(X, self._documents), empty)

    def _check_setting(self) -> None:
        genuine = sklearn.feature_extraction.text.HashingVectorizer
        genuine(**{name: getattr(self, name) for name in parameters_of(genuine)}).fit([])

    def _empty(self) -> Any:
        kept = {name: getattr(self, name) for name in ("n_features", "dtype", "norm")}
        return sklearn.feature_extraction.text.HashingVectorizer(**kept).transform([""])[:0]


class HashedWords:
    """Transformer of a block of texts to the counts of their words by hashes: one hash of each word of the block.

    Parameters
    ----------
    vectorizer : scikit-learn HashingVectorizer
        One whose terms are plain words.
    empty : CSR matrix
        Result without rows, of the type of all results.
    """

    def __init__(self, vectorizer: Any, empty: Any) -> None:
        self.vectorizer, self.empty = vectorizer, empty

    def transform(self, documents: Any) -> Any:
        counted, model = count_terms(documents, PlainWords(self.vectorizer), "X"), self.vectorizer
        options = {"n_features": model.n_features, "dtype": model.dtype, "alternate_sign": model.alternate_sign}
        of_terms = FeatureHasher(**options, input_type="string").transform([[term] for term in counted.terms] or [[]])
        at = counted.counts.indices
        parts = (of_terms.data[at] * counted.counts.data.astype(model.dtype), of_terms.indices[at])
        shape = (counted.shape[0], model.n_features)
        found = type(self.empty)((*parts, counted.counts.indptr.astype(np.int32)), shape=shape)
        found.sum_duplicates()
        if model.binary:
            found.data.fill(1)
        return found if model.norm is None else normalize(found, norm=model.norm, copy=False)
