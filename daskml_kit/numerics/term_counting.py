"""Documents of one block: a check of them, and the counts of their terms."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp


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


def count_terms(documents: Any, analyze: Callable[[Any], Iterable[Hashable]]) -> CountedDocuments:
    """Return the counts of the terms that ``analyze`` finds in each document.

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
    known: defaultdict[Hashable, int] = defaultdict()
    known.default_factory = known.__len__
    lengths = [0]

    def taken_apart(values: Any) -> Iterator[list[Hashable]]:
        for document in values:
            terms = list(analyze(document))
            lengths.append(len(terms))
            yield terms

    values = check_documents(documents, "raw_documents")
    with naming_documents("raw_documents"):
        numbers = map(known.__getitem__, chain.from_iterable(taken_apart(values)))
        columns = np.fromiter(numbers, np.int32)
    parts = (np.ones(len(columns), np.int32), columns, np.cumsum(lengths))
    counts = sp.csr_array(parts, shape=(len(lengths) - 1, len(known)))
    counts.sum_duplicates()  # compiled, unlike a Counter of each document
    return CountedDocuments(list(known), counts)
