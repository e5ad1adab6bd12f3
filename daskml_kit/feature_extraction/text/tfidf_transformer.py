"""Weights of terms by the documents that have them."""

from __future__ import annotations

from typing import Any

import numpy as np
import sklearn.feature_extraction.text

from daskml_kit.base import DaskTransformer, numbers, with_head
from daskml_kit.reductions.term_counts import DocumentCounts, DocumentFrequencies
from daskml_kit.solvers.types import DataSpec, Fit
from daskml_kit.typing import Array


class TfidfTransformer(  # type: ignore[call-arg]
    DaskTransformer,
    sklearn.feature_extraction.text.TfidfTransformer,  # type: ignore[misc]
    auto_wrap_output_keys=None,
):
    """Weigh the counts of terms by how few documents have them: one pass counts these.

    Weights and results are scikit-learn's.

    Parameters
    ----------
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
    idf_ : array of shape (n_features,)
        Weights.
    n_features_in_ : int

    See Also
    --------
    TfidfVectorizer : Texts to weighed counts.

    References
    ----------
    Manning, Raghavan and Schütze, "Introduction to information retrieval", 2008, chapter 6.

    Examples
    --------
    >>> import dask.array as da
    >>> counts = da.from_array(np.array([[2.0, 0.0], [1.0, 1.0]]), chunks=(1, 2))
    >>> TfidfTransformer(norm=None).fit_transform(counts).compute().toarray().round(3)
    array([[2.   , 0.   ],
           [1.   , 1.405]])
    """

    def _fit_steps(self, spec: DataSpec) -> Fit:
        head, answers = yield from with_head(spec, *([numbers(spec, DocumentFrequencies())] if self.use_idf else []))
        with np.errstate(divide="ignore"):  # few rows need not have all terms
            twin = sklearn.feature_extraction.text.TfidfTransformer(**self.get_params(deep=False)).fit(head)
        if answers:
            found: DocumentCounts = answers[0]
            dtype = np.float32 if found.single else np.float64
            twin.idf_ = inverse_frequencies(found.documents, found.n_documents, self.smooth_idf, dtype)
        return self._learned(twin, head)


def inverse_frequencies(documents: Array, n_documents: int, smooth: bool, dtype: Any) -> Array:
    """Return the weight of each term: 1 + log(documents / documents with the term), both one more where ``smooth``.

    Examples
    --------
    >>> inverse_frequencies(np.array([1, 2]), 2, False, np.float64).round(3)
    array([1.693, 1.   ])
    """
    one = np.dtype(dtype).type(1)
    having = documents.astype(dtype) + (one if smooth else 0)
    return np.asarray(np.log(np.full_like(having, n_documents + int(smooth)) / having) + one)


def weighing(options: dict[str, Any], n_features: int, weights: Array | None) -> Any:
    """Return scikit-learn's transformer as fitted with these weights."""
    model = sklearn.feature_extraction.text.TfidfTransformer(**options).fit(np.ones((1, n_features)))
    if weights is not None:
        model.idf_ = weights
    return model
