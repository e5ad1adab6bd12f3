"""Term and document frequencies of texts, and the names of features in dictionaries."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import scipy.sparse as sp
import sklearn.feature_extraction

from daskml_kit.data.block import Block, check_finite
from daskml_kit.numerics.term_counting import CountedDocuments, check_documents, count_terms, naming_documents
from daskml_kit.reductions.reduction import SingleReduction
from daskml_kit.typing import Array


class Frequencies(NamedTuple):
    """Documents, and for each term the documents that have it, and where asked for how often it comes in all."""

    n_documents: int
    documents: dict[Any, int]
    terms: dict[Any, int] | None


@dataclass(frozen=True, eq=False)
class TermFrequencies(SingleReduction):
    """`Frequencies` of the terms of texts, which may have been counted before.

    What it holds grows with the number of distinct terms, not with the texts.

    Parameters
    ----------
    analyze : callable
        Gives the terms of a text.
    within : mapping, optional
        The only terms to count.
    binary : bool
        Whether a term counts once in a text.
    totals : bool
        Whether to tell how often each term comes in all.
    """

    answer_type: ClassVar[type[Frequencies]] = Frequencies

    analyze: Callable[[Any], Iterable[Hashable]]
    within: Mapping[Any, int] | None = None
    binary: bool = False
    totals: bool = False

    def chunk(self, block: Block) -> Frequencies:
        found: Any = block.X
        if not isinstance(found, CountedDocuments):
            found = count_terms(found, self.analyze)
        counts, terms = found.counts, found.terms
        documents = self._by_term(terms, np.bincount(counts.indices, minlength=len(terms)))
        if not self.totals or self.binary:
            return Frequencies(counts.shape[0], documents, documents if self.totals else None)
        every = np.bincount(counts.indices, counts.data, minlength=len(terms))
        return Frequencies(counts.shape[0], documents, self._by_term(terms, every.astype(np.int64)))

    def combine(self, a: Frequencies, b: Frequencies) -> Frequencies:
        documents = _added(a.documents, b.documents)
        terms = None if a.terms is None or b.terms is None else _added(a.terms, b.terms)
        return Frequencies(a.n_documents + b.n_documents, documents, terms)

    def _by_term(self, terms: Sequence[Any], counts: Array) -> dict[Any, int]:
        both = zip(terms, counts.tolist(), strict=True)
        return dict(both) if self.within is None else {term: count for term, count in both if term in self.within}


class DocumentCounts(NamedTuple):
    """Rows, and for each feature the rows that store it; whether all blocks were float32."""

    n_documents: int
    documents: Array
    single: bool


@dataclass(frozen=True, eq=False)
class DocumentFrequencies(SingleReduction):
    """Rows that have each feature: of CSR that store it, of dense rows that are not zero there."""

    answer_type: ClassVar[type[DocumentCounts]] = DocumentCounts

    def chunk(self, block: Block) -> DocumentCounts:
        X: Any = block.X
        check_finite(block)
        documents = (
            np.bincount(sp.csr_array(X).indices, minlength=X.shape[1])
            if sp.issparse(X)
            else np.count_nonzero(np.asarray(X), axis=0)
        )
        return DocumentCounts(block.n_rows, documents.astype(np.int64), X.dtype == np.float32)

    def combine(self, a: DocumentCounts, b: DocumentCounts) -> DocumentCounts:
        return DocumentCounts(a.n_documents + b.n_documents, a.documents + b.documents, a.single and b.single)


@dataclass(frozen=True, eq=False)
class FeatureNames(SingleReduction):
    """Names of the features of dictionaries, as scikit-learn's ``vectorizer`` makes them, in the order they come."""

    vectorizer: sklearn.feature_extraction.DictVectorizer

    def chunk(self, block: Block) -> list[Any]:
        documents = check_documents(block.X, "X")
        with naming_documents("X"):
            return list(self.vectorizer.fit(documents).feature_names_)

    def combine(self, a: list[Any], b: list[Any]) -> list[Any]:
        return list(dict.fromkeys([*a, *b]))


def _added(a: Mapping[Any, int], b: Mapping[Any, int]) -> dict[Any, int]:
    total = dict(a)
    for term, count in b.items():
        total[term] = total.get(term, 0) + count
    return total
