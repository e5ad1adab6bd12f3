"""Vectorizer of texts by the weighed counts of their terms."""

from __future__ import annotations

from typing import Any

import sklearn.feature_extraction.text

from daskml_kit.documentation import with_inherited_docs
from daskml_kit.feature_extraction.text.base import VocabularyVectorizer
from daskml_kit.feature_extraction.text.tfidf_transformer import inverse_frequencies, weighing
from daskml_kit.typing import Array


@with_inherited_docs
class TfidfVectorizer(VocabularyVectorizer, sklearn.feature_extraction.text.TfidfVectorizer):  # type: ignore[misc]
    r"""Count the terms of texts, and weigh each by how few documents have it: one pass learns terms and weights.

    Vocabulary, weights and results are scikit-learn's. On Dask, plain words of ASCII texts (the defaults, with any case
    and stop words) are found and counted by compiled code. Else taking texts apart is Python's work, which threads do
    one at a time: on a cluster of processes it takes as much less time as there are processes.

    Parameters
    ----------
    token_pattern : str, default r"(?u)\b\w\w+\b"
        Regular expression of a token.
    dtype : type, default float64
    norm : {"l1", "l2"} or None, default "l2"
        Norm that each row is scaled to.
    use_idf : bool, default True
        Whether counts are multiplied by weights.
    smooth_idf : bool, default True
        Whether the weights are those with one more document, which has every term.
    sublinear_tf : bool, default False
        Whether a count n is taken as 1 + log(n).

    Attributes
    ----------
    idf_ : array of shape (n_terms,)
        Weights.

    See Also
    --------
    TfidfTransformer : The weights alone, of counts.
    HashingVectorizer : Has nothing to learn.

    References
    ----------
    Manning, Raghavan and Schütze, "Introduction to information retrieval", 2008, chapter 6.

    Examples
    --------
    >>> import dask.bag as db
    >>> texts = db.from_sequence(["to be or not to be", "that is to be"], npartitions=2)
    >>> vectorizer = TfidfVectorizer(min_df=2)
    >>> vectorizer.fit_transform(texts).compute().toarray().round(2)
    array([[0.71, 0.71],
           [0.71, 0.71]])
    >>> vectorizer.get_feature_names_out().tolist(), vectorizer.idf_.tolist()
    (['be', 'to'], [1.0, 1.0])
    """

    def _made_of(self, terms: list[Any], documents: Array, n_documents: int) -> Any:
        twin = super()._made_of(terms, documents, n_documents)
        if self.use_idf:
            twin.idf_ = inverse_frequencies(documents, n_documents, self.smooth_idf, twin.idf_.dtype)
        return twin

    def _weighing(self) -> Any:
        return weighing(self._options(), len(self.vocabulary_), self.idf_ if self.use_idf else None)

    def _check_setting(self) -> None:
        super()._check_setting()
        weighing(self._options(), 1, None)

    def _options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("norm", "use_idf", "smooth_idf", "sublinear_tf")}
