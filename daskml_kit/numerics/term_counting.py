"""Documents of one block: a check of them, and the counts of their terms."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, pairwise
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp
import sklearn.feature_extraction.text

from daskml_kit.typing import Array


def check_documents(documents: Any, name: str) -> Any:
    """Return the documents of a block.

    Raises
    ------
    ValueError
        Where one is missing.
    """
    values = documents.to_numpy(dtype=object) if hasattr(documents, "iloc") else documents
    if values.dtype.kind in "OT":
        missing = np.flatnonzero([document is None or document is pd.NA or document != document for document in values])
        if len(missing):
            raise ValueError(f"{name}: expected documents, got {values[missing[0]]!r} in row {missing[0]} of the block")
    return values


@contextmanager
def naming_documents(name: str) -> Iterator[None]:
    """Raise what goes wrong with documents of another kind as an error that names the argument."""
    try:
        yield
    except (AttributeError, TypeError) as error:
        raise ValueError(f"{name}: found a document of another kind than expected: {error}") from error


class CountedDocuments:
    """A block of texts as counts of its own terms, in the order in which these come.

    Parameters
    ----------
    terms : list
    counts : CSR array of shape (n_documents, n_terms)
    """

    def __init__(self, terms: list[Hashable], counts: Any) -> None:
        self.terms, self.counts = terms, counts

    @property
    def shape(self) -> tuple[int]:
        return (int(self.counts.shape[0]),)

    @property
    def nbytes(self) -> int:
        """The bytes of counts and terms, roughly."""
        stored = self.counts.data.nbytes + self.counts.indices.nbytes + self.counts.indptr.nbytes
        return int(stored + sum(map(sys.getsizeof, self.terms)))

    def __sizeof__(self) -> int:  # which Dask goes by
        return self.nbytes

    def columns_of(self, vocabulary: Mapping[Any, int]) -> Any:
        """Return the counts as CSR with a column for each term of a vocabulary."""
        columns = np.array([vocabulary.get(term, -1) for term in self.terms], dtype=np.int64)
        at = columns[self.counts.indices]
        kept = at >= 0
        ends = np.concatenate([[0], np.cumsum(kept)])[self.counts.indptr]
        parts = (self.counts.data[kept], at[kept].astype(np.int32), ends.astype(np.int32))
        found = sp.csr_array(parts, shape=(self.counts.shape[0], len(vocabulary)))
        found.sort_indices()
        return found


END = "\0"
"""Token that ends a document."""
_KEPT = bytes(c if chr(c).isalnum() or chr(c) in ("_", END) else 32 for c in range(128)) + bytes(128)
_LOWERED = _KEPT.lower()
TILE = 2**22
"""Characters that are taken apart at a time."""


class PlainWords:
    """Analyzer of texts into words, runs of at least two letters, digits or underscores, of many texts at a time.

    Parameters
    ----------
    vectorizer : scikit-learn vectorizer
        One that `is_plain`.
    """

    def __init__(self, vectorizer: Any) -> None:
        self._analyze = vectorizer.build_analyzer()
        self._letters = _LOWERED if vectorizer.lowercase else _KEPT
        self.stop_words = frozenset(vectorizer.get_stop_words() or ())

    def __call__(self, document: Any) -> list[str]:
        words: list[str] = self._analyze(document)
        return words

    def count(self, documents: Any) -> CountedDocuments:
        """Return the counts of the words of each document.

        Texts of ASCII characters are taken apart together, by Arrow, which takes a third of the time of a regular
        expression and a dictionary; others one by one.
        """
        known: defaultdict[Any, int] = defaultdict()
        known.default_factory = known.__len__
        plain = np.array([isinstance(value, str) and value.isascii() for value in documents], dtype=bool)
        runs = [self._numbers(run, known) for run in _by_size(documents[plain].tolist())]
        rest = chain.from_iterable([*self._analyze(document), END] for document in documents[~plain])
        columns = np.concatenate([*runs, np.fromiter(map(known.__getitem__, rest), np.int32)])
        terms = np.array([len(token) > 1 and token not in self.stop_words for token in known], dtype=bool)
        kept, is_end = terms[columns], columns == known[END]
        ends = np.concatenate([[0], np.cumsum(kept)[is_end]])
        places = (np.cumsum(terms) - 1).astype(np.int32)
        found = counted([term for term, number in known.items() if terms[number]], places[columns[kept]], ends)
        if not plain.all():
            found.counts = found.counts[np.argsort(np.argsort(~plain, kind="stable"))]
        return found

    def _numbers(self, documents: list[str], known: defaultdict[Any, int]) -> Array:
        """Return the numbers of all tokens, some of which are no words, with one that ends each document."""
        text = f" {END} ".join(documents)
        if text.count(END) >= len(documents):
            text = f" {END} ".join([document.replace(END, " ") for document in documents])
        letters = f"{text} {END}".encode().translate(self._letters).strip()
        tokens = pc.ascii_split_whitespace(pa.array([letters.decode()])).flatten().dictionary_encode()
        numbers = np.array([known[token] for token in tokens.dictionary.to_pylist()], np.int32)
        return np.asarray(numbers[tokens.indices.to_numpy()])


def _by_size(documents: list[str]) -> Iterator[list[str]]:
    """Yield runs of documents of about `TILE` characters."""
    tiles = np.cumsum([len(document) for document in documents]) // TILE
    edges = [0, *(np.flatnonzero(np.diff(tiles)) + 1).tolist(), len(documents)]
    yield from (documents[start:stop] for start, stop in pairwise(edges) if stop > start)


def analyzer_of(vectorizer: Any) -> Callable[[Any], Iterable[Hashable]]:
    """Return the function that gives the terms of a document, which knows of many where these are plain words."""
    found: Callable[[Any], Iterable[Hashable]] = vectorizer.build_analyzer()
    return PlainWords(vectorizer) if is_plain(vectorizer) else found


def is_plain(vectorizer: Any) -> bool:
    """Return whether the terms of a scikit-learn vectorizer are words as by default, in lower case or as they are."""
    default = sklearn.feature_extraction.text.CountVectorizer()
    names = ("input", "strip_accents", "preprocessor", "tokenizer", "token_pattern", "analyzer")
    own = [getattr(vectorizer, name) for name in names]
    return all(
        value is known or (isinstance(value, str) and value == known)
        for value, known in zip(own, (getattr(default, name) for name in names), strict=True)
    ) and tuple(vectorizer.ngram_range) == (1, 1)


def count_terms(
    documents: Any, analyze: Callable[[Any], Iterable[Hashable]], name: str = "raw_documents"
) -> CountedDocuments:
    """Return the counts of the terms that ``analyze`` finds in each document; errors call these by the ``name``.

    Raises
    ------
    ValueError
        Where a document is missing, or of a kind that ``analyze`` does not take.

    Examples
    --------
    >>> counted = count_terms(np.array(["to be or", "be"]), str.split)
    >>> counted.terms, counted.counts.toarray().tolist()
    (['to', 'be', 'or'], [[1, 1, 1], [0, 1, 0]])
    """
    values = check_documents(documents, name)
    known: defaultdict[Any, int] = defaultdict()
    known.default_factory = known.__len__
    lengths = [0]

    def taken_apart() -> Iterator[list[Hashable]]:
        for document in values:
            terms = list(analyze(document))
            lengths.append(len(terms))
            yield terms

    with naming_documents(name):
        if isinstance(analyze, PlainWords):
            return analyze.count(values)
        columns = np.fromiter(map(known.__getitem__, chain.from_iterable(taken_apart())), np.int32)
    return counted(list(known), columns, np.cumsum(lengths))


def counted(terms: list[Hashable], columns: Array, ends: Array) -> CountedDocuments:
    """Return the counts of terms, whose numbers in each document, one after the other, are ``columns``."""
    counts = sp.csr_array((np.ones(len(columns), np.int32), columns, ends), shape=(len(ends) - 1, len(terms)))
    counts.sum_duplicates()  # compiled, unlike a Counter of each document
    return CountedDocuments(terms, counts)
