"""Vectorizer of texts by the counts of their terms."""

from __future__ import annotations

import sklearn.feature_extraction.text

from daskml_kit.feature_extraction.text.base import VocabularyVectorizer


class CountVectorizer(VocabularyVectorizer, sklearn.feature_extraction.text.CountVectorizer):  # type: ignore[misc]
    r"""Count the terms of texts, in a column for each term of a vocabulary that is learned in one pass.

    Vocabulary and results are scikit-learn's. On Dask, plain words of ASCII texts (the defaults, with any case and
    stop words) are found and counted by compiled code. Else taking texts apart is Python's work, which threads do one
    at a time: on a cluster of processes it takes as much less time as there are processes.

    Parameters
    ----------
    input : {"content", "filename", "file"}, default "content"
        Kind of the documents; the workers have to see the files.
    encoding : str, default "utf-8"
        Encoding of documents in bytes.
    decode_error : {"strict", "ignore", "replace"}, default "strict"
        Treatment of bytes that are not of the encoding.
    strip_accents : {"ascii", "unicode"} or callable, default None
    lowercase : bool, default True
    preprocessor : callable, default None
        Changes a document before it is cut into tokens, in place of the two above.
    tokenizer : callable, default None
        Cuts a document into tokens, in place of ``token_pattern``.
    stop_words : {"english"} or list, default None
        Words that are left out.
    token_pattern : str, default r"(?u)\\b\\w\\w+\\b"
        Regular expression of a token.
    ngram_range : tuple of (int, int), default (1, 1)
        Least and most tokens, or characters, of a term.
    analyzer : {"word", "char", "char_wb"} or callable, default "word"
    max_df : int or float, default 1.0
        Most documents, or share of them, that a term may be in.
    min_df : int or float, default 1
        Least documents, or share of them, that a term has to be in.
    max_features : int, default None
        Terms that are kept, the most frequent.
    vocabulary : mapping or iterable, default None
        Terms, where they are not to be learned.
    binary : bool, default False
        Whether a term counts once in a document.
    dtype : type, default int64

    Attributes
    ----------
    vocabulary_ : dict of str to int
        Column of each term.
    fixed_vocabulary_ : bool
        Whether it was given.

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
