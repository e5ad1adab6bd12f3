"""Vectorizer of texts by the counts of their terms."""

from __future__ import annotations

import sklearn.feature_extraction.text

from daskml_kit.documentation import with_inherited_docs
from daskml_kit.feature_extraction.text.base import VocabularyVectorizer


@with_inherited_docs
class CountVectorizer(VocabularyVectorizer, sklearn.feature_extraction.text.CountVectorizer):  # type: ignore[misc]
    r"""Count the terms of texts, in a column for each term of a vocabulary that is learned in one pass.

    Vocabulary and results are scikit-learn's. On Dask, plain words of ASCII texts (the defaults, with any case and
    stop words) are found and counted by compiled code. Else taking texts apart is Python's work, which threads do one
    at a time: on a cluster of processes it takes as much less time as there are processes.

    Parameters
    ----------
    token_pattern : str, default r"(?u)\\b\\w\\w+\\b"
        Regular expression of a token.
    dtype : type, default int64

    See Also
    --------
    TfidfVectorizer : Weighs the counts.
    HashingVectorizer : Has nothing to learn.

    Examples
    --------
    >>> import dask.bag as db
    >>> texts = db.from_sequence(["to be or not to be", "that is the question"], npartitions=2)
    >>> vectorizer = CountVectorizer(stop_words=["or", "the"])
    >>> vectorizer.fit_transform(texts).compute().toarray()
    array([[2, 0, 1, 0, 0, 2],
           [0, 1, 0, 1, 1, 0]])
    >>> vectorizer.get_feature_names_out().tolist()
    ['be', 'is', 'not', 'question', 'that', 'to']
    """
