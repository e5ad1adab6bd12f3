"""Bases of the vectorizers of texts, also of those that learn a vocabulary."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
import sklearn.feature_extraction.text
from sklearn.utils.validation import check_is_fitted

from daskml_kit.base import genuine_class
from daskml_kit.blockwise import map_rows
from daskml_kit.data.collections import documents_of, holds_documents
from daskml_kit.engines.open import open_table
from daskml_kit.feature_extraction.base import DocumentTransformer
from daskml_kit.numerics.term_counting import CountedDocuments, analyzer_of, count_terms
from daskml_kit.reductions.term_counts import Frequencies, TermFrequencies
from daskml_kit.solvers.types import DataSpec, Fit
from daskml_kit.typing import Array

OF_COUNTS = tuple(sklearn.feature_extraction.text.CountVectorizer().get_params())
"""Parameters of a count."""
HOOKS = ("build_analyzer", "build_preprocessor", "build_tokenizer", "decode", "get_stop_words")
"""Methods by which a subclass may change how texts are taken apart."""


class TextVectorizer(DocumentTransformer):
    """Mixin, before a scikit-learn vectorizer of texts, whose subclasses may change how these are taken apart.

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
    ngram_range : tuple of (int, int), default (1, 1)
        Least and most tokens, or characters, of a term.
    analyzer : {"word", "char", "char_wb"} or callable, default "word"
    binary : bool, default False
        Whether a term counts once in a document.
    """

    def _sklearn_parameters(self, genuine: type[Any]) -> dict[str, Any]:
        options = super()._sklearn_parameters(genuine)
        if all(getattr(type(self), name) is getattr(genuine, name) for name in HOOKS):
            return options
        own: Any = copy.copy(self)
        return {**options, "input": "content", "analyzer": own.build_analyzer()}


class VocabularyVectorizer(TextVectorizer):
    """Vectorizer whose vocabulary is the terms of all documents: one pass counts these and the documents with each.

    Parameters
    ----------
    max_df : int or float, default 1.0
        Most documents, or share of them, that a term may be in.
    min_df : int or float, default 1
        Least documents, or share of them, that a term has to be in.
    max_features : int, default None
        Terms that are kept, the most frequent.
    vocabulary : mapping or iterable, default None
        Terms, where they are not to be learned.

    Attributes
    ----------
    vocabulary_ : dict of str to int
        Column of each term.
    fixed_vocabulary_ : bool
        Whether it was given.
    """

    _documents: ClassVar[str] = "raw_documents"

    def fit(self, raw_documents: Any, y: Any = None) -> Self:  # type: ignore[override]
        """Learn the vocabulary of documents, in one pass.

        Parameters
        ----------
        raw_documents : Dask Series, Bag or array of one dimension, or any iterable in memory
            The documents.
        y : ignored

        Returns
        -------
        vectorizer
            Itself.

        Raises
        ------
        DataError
            Where a document cannot be used; the message names its block.
        ValueError
            Where a parameter is wrong, or no term is left.
        """
        return self._fit_documents(raw_documents)

    def transform(self, raw_documents: Any) -> Any:  # type: ignore[override]
        """Return documents by the terms of the vocabulary: at once in memory, lazily on Dask.

        Parameters
        ----------
        raw_documents : Dask Series, Bag or array of one dimension, or any iterable in memory
            The documents.

        Returns
        -------
        CSR matrix or Dask array of CSR blocks, of shape (n_documents, n_terms)
            Sizes of blocks are unknown where those of the documents are.
        """
        self._know_given_vocabulary()
        if not holds_documents(raw_documents):
            return self._transform_documents(raw_documents)
        check_is_fitted(self)
        counting, empty = TermCounter(self._analyzer()), self._empty()
        model = CountedTransformer(vars(self)["vocabulary_"], vars(self)["binary"], self._weighing(), empty, counting)
        return map_rows(model, "transform", documents_of(raw_documents, self._documents), empty)

    def fit_transform(self, raw_documents: Any, y: Any = None) -> Any:  # type: ignore[override]
        """Learn the vocabulary, and return documents by its terms.

        Each document is taken apart once where the counts of all, about as large as the result, fit in memory, which
        they hold as long as the result is there.

        Parameters
        ----------
        raw_documents : Dask Series, Bag or array of one dimension, or any iterable in memory
            The documents.
        y : ignored

        Returns
        -------
        CSR matrix or Dask array of CSR blocks, of shape (n_documents, n_terms)
            See `transform`.
        """
        if not holds_documents(raw_documents):
            return self._fit_transform_documents(raw_documents)
        self._check_setting()
        documents = documents_of(raw_documents, self._documents)
        counted = map_rows(TermCounter(self._analyzer()), "transform", documents, np.empty(0, dtype=object))
        with open_table(counted, keep=True) as engine:
            self._fit_tables(engine, self._fit_steps(DataSpec(1, numeric=False)))
            held = engine.collection()
        empty = self._empty()
        model = CountedTransformer(vars(self)["vocabulary_"], vars(self)["binary"], self._weighing(), empty)
        return map_rows(model, "transform", held, empty)

    def _fit_steps(self, spec: DataSpec) -> Fit:
        own: Any = self
        given = None if own.vocabulary is None else self._vocabulary_given()
        totals = given is None and own.max_features is not None
        found: Frequencies = yield TermFrequencies(self._analyzer(), given, own.binary, totals)
        terms = self._terms(found) if given is None else list(given)
        counts = np.array([found.documents.get(term, 0) for term in terms], dtype=np.int64)
        twin = self._made_of(terms, counts, found.n_documents)
        twin.fixed_vocabulary_ = given is not None
        return self._learned(twin, None)

    def _terms(self, found: Frequencies) -> list[Any]:
        """Return the terms, sorted, but those that are too rare or too frequent, or not among the most frequent."""
        own: Any = self
        if not found.documents:
            raise ValueError("empty vocabulary; perhaps the documents only contain stop words")
        most, least = (
            limit if isinstance(limit, Integral) else limit * found.n_documents for limit in (own.max_df, own.min_df)
        )
        if most < least:
            raise ValueError("max_df corresponds to < documents than min_df")
        terms = sorted(found.documents)
        documents = np.array([found.documents[term] for term in terms])
        kept = np.flatnonzero((documents <= most) & (documents >= least))
        if found.terms is not None and len(kept) > own.max_features:
            counts = np.array([found.terms[terms[at]] for at in kept])
            # not stable, as scikit-learn's: of terms that are equally frequent the same ones are left
            kept = np.sort(kept[np.argsort(-counts)[: own.max_features]])
        if not len(kept):
            raise ValueError("After pruning, no terms remain. Try a lower min_df or a higher max_df.")
        return [terms[at] for at in kept]

    def _made_of(self, terms: list[Any], documents: Array, n_documents: int) -> Any:
        """Return scikit-learn's vectorizer as fitted with these terms, each in so many of the documents."""
        genuine = genuine_class(type(self))
        options = self._sklearn_parameters(genuine)
        vocabulary = dict(zip(terms, range(len(terms)), strict=True))
        with np.errstate(divide="ignore"):  # an empty text has no term
            twin = genuine(**_bare(options, vocabulary)).fit([""])
        return twin.set_params(**options)

    def _weighing(self) -> Any:
        """Return scikit-learn's transformer of counts; None where these are the result."""
        return None

    def _check_setting(self) -> None:
        own: Any = self
        options = {name: getattr(own, name) for name in OF_COUNTS}
        sample = ["a"] if own.vocabulary is None else own.vocabulary
        sklearn.feature_extraction.text.CountVectorizer(**{**options, "vocabulary": sample}).fit([])

    def _analyzer(self) -> Any:
        options = self._sklearn_parameters(genuine_class(type(self)))
        options = {name: options[name] for name in OF_COUNTS}
        return analyzer_of(sklearn.feature_extraction.text.CountVectorizer(**options))

    def _vocabulary_given(self) -> dict[Any, int]:
        """Return the parameter ``vocabulary`` as scikit-learn takes it."""
        own: Any = self
        model = sklearn.feature_extraction.text.CountVectorizer(vocabulary=own.vocabulary, lowercase=False).fit([])
        return dict(sorted(model.vocabulary_.items(), key=lambda item: item[1]))

    def _know_given_vocabulary(self) -> None:
        """Take a vocabulary that is given as learned, as scikit-learn does in ``transform``."""
        own: Any = self
        if own.vocabulary is not None and not hasattr(self, "vocabulary_"):
            self.vocabulary_, self.fixed_vocabulary_ = self._vocabulary_given(), True

    def _empty(self) -> Any:
        twin = self.to_sklearn()
        return twin.set_params(**_bare(twin.get_params(), vocabulary=twin.vocabulary)).transform([""])[:0]


class TermCounter:
    """Transformer of a block of documents to the counts of their own terms.

    Parameters
    ----------
    analyze : callable
        Gives the terms of a document.
    """

    def __init__(self, analyze: Callable[[Any], Any]) -> None:
        self.analyze = analyze

    def transform(self, documents: Any) -> CountedDocuments:
        return count_terms(documents, self.analyze)


class CountedTransformer:
    """Transformer of documents that are counted by terms of their own to the terms of a vocabulary.

    Parameters
    ----------
    vocabulary : mapping of terms to columns
    binary : bool
        Whether a term counts once in a document.
    weighing : scikit-learn transformer or None
        Of the counts.
    empty : CSR matrix
        Result without rows, of the type of all results.
    counting : TermCounter, optional
        Of documents that are not counted yet.
    """

    def __init__(
        self,
        vocabulary: Mapping[Any, int],
        binary: bool,
        weighing: Any,
        empty: Any,
        counting: TermCounter | None = None,
    ) -> None:
        self.vocabulary, self.binary, self.weighing, self.empty = vocabulary, binary, weighing, empty
        self.counting = counting

    def transform(self, documents: Any) -> Any:
        if self.counting is not None:
            documents = self.counting.transform(documents)
        counts = type(self.empty)(documents.columns_of(self.vocabulary), dtype=self.empty.dtype)
        if self.binary:
            counts.data.fill(1)
        return counts if self.weighing is None else self.weighing.transform(counts)


def _bare(options: Mapping[str, Any], vocabulary: Any) -> dict[str, Any]:
    """Return parameters of a vectorizer that takes an empty text, whatever documents are, and warns of none."""
    default = sklearn.feature_extraction.text.CountVectorizer().get_params()
    taking = ("input", "preprocessor", "tokenizer", "token_pattern", "ngram_range", "stop_words", "decode_error")
    plain = {"analyzer": str.split, "lowercase": False}
    return {**options, **{name: default[name] for name in taking}, **plain, "vocabulary": vocabulary}
