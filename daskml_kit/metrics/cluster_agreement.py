"""Agreement of two clusterings, of which one pass counts the rows that each pair of clusters shares.

Examples
--------
>>> import dask.array as da
>>> labels_true, labels_pred = da.from_array([0, 0, 1, 1], chunks=2), da.from_array([1, 1, 0, 2], chunks=3)
>>> round(adjusted_rand_score(labels_true, labels_pred), 4)
0.5714
>>> round(v_measure_score(labels_true, labels_pred), 4)
0.8
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp
import sklearn.metrics
from sklearn.metrics.cluster import expected_mutual_information

from daskml_kit.arguments import check_choice
from daskml_kit.metrics.documented import one_pass_metric
from daskml_kit.metrics.inputs import require_rows
from daskml_kit.reductions.distinct_pairs import DistinctPairs, PairTotals
from daskml_kit.reductions.reduction import Reduction
from daskml_kit.typing import Array

NOTE = """On Dask collections one pass counts the distinct pairs of labels, which are integers or strings. Memory grows
with the number of pairs of clusters that share a row."""
AVERAGES: Mapping[str, Callable[[float, float], float]] = {
    "min": min,
    "max": max,
    "arithmetic": lambda a, b: (a + b) / 2,
    "geometric": lambda a, b: float(np.sqrt(a * b)),
}


class _Contingency:
    """Rows that each true and each predicted cluster share."""

    def __init__(self, total: PairTotals) -> None:
        rows, columns = (np.unique(labels, return_inverse=True)[1] for labels in (total.truth, total.predicted))
        self.counts = sp.csr_matrix((total.mass.astype(np.int64), (rows, columns)))
        self.rows, self.columns = (np.ravel(self.counts.sum(axis=axis)) for axis in (1, 0))
        self.n = int(self.counts.sum())

    def pairs(self) -> Array:
        """Return the ordered pairs of rows that are apart and together in the two clusterings, as scikit-learn does."""
        both, true, predicted = (int(np.square(x).sum()) for x in (self.counts.data, self.rows, self.columns))
        return np.array(
            [[self.n**2 - true - predicted + both, predicted - both], [true - both, both - self.n]], np.int64
        )

    def information(self) -> float:
        return float(sklearn.metrics.mutual_info_score(None, None, contingency=self.counts))

    def entropies(self) -> tuple[float, float]:
        """Return the entropies, each the information of a clustering about itself."""
        true, predicted = (_entropy(sizes) for sizes in (self.rows, self.columns))
        return true, predicted

    def is_trivial(self) -> bool:
        return len(self.rows) == len(self.columns) == 1


def _entropy(sizes: Array) -> float:
    place = np.arange(len(sizes))
    counts = sp.csr_matrix((sizes, (place, place)))
    return float(sklearn.metrics.mutual_info_score(None, None, contingency=counts))


def _pair_confusion(found: _Contingency) -> Array:
    return found.pairs()


def _rand(found: _Contingency) -> float:
    pairs = found.pairs()
    agreed, every = int(np.trace(pairs)), int(pairs.sum())
    return agreed / every if every else 1.0


def _adjusted_rand(found: _Contingency) -> float:
    (tn, fp), (fn, tp) = found.pairs().tolist()
    if fn == fp == 0:
        return 1.0
    return float(2.0 * (tp * tn - fn * fp) / ((tp + fn) * (fn + tn) + (tp + fp) * (fp + tn)))


def _fowlkes_mallows(found: _Contingency) -> float:
    (_, fp), (fn, tp) = found.pairs().tolist()
    return float(np.sqrt(tp / (tp + fp)) * np.sqrt(tp / (tp + fn))) if tp else 0.0


def _mutual_info(found: _Contingency) -> float:
    return found.information()


def _normalized(found: _Contingency, average_method: str = "arithmetic") -> float:
    average = AVERAGES[average_method]
    if found.is_trivial():
        return 1.0
    information = found.information()
    return information / average(*found.entropies()) if information else 0.0


def _adjusted(found: _Contingency, average_method: str = "arithmetic") -> float:
    average = AVERAGES[average_method]
    if found.is_trivial():
        return 1.0
    if min(len(found.rows), len(found.columns)) == 1:
        return 0.0
    by_chance = float(expected_mutual_information(found.counts, found.n))
    above, most = found.information() - by_chance, average(*found.entropies()) - by_chance
    eps = float(np.finfo(np.float64).eps)
    above, most = (min(x, -eps) if x < 0 else max(x, eps) for x in (above, most))
    return above / most


def _measures(found: _Contingency, beta: float = 1.0) -> tuple[float, float, float]:
    information, (true, predicted) = found.information(), found.entropies()
    homogeneity = information / true if true else 1.0
    completeness = information / predicted if predicted else 1.0
    both = beta * homogeneity + completeness
    return homogeneity, completeness, (1 + beta) * homogeneity * completeness / both if both else 0.0


def _homogeneity(found: _Contingency) -> float:
    return _measures(found)[0]


def _completeness(found: _Contingency) -> float:
    return _measures(found)[1]


def _v_measure(found: _Contingency, beta: float = 1.0) -> float:
    return _measures(found, beta)[2]


def _finish(total: PairTotals, formula: Callable[..., Any], options: Mapping[str, Any]) -> Any:
    require_rows(total.n_rows, 1)
    return formula(_Contingency(total), **options)


def _agreement(theirs: Callable[..., Any], formula: Callable[..., Any]) -> Callable[..., Any]:
    def parts(contingency: Any = None, **options: Any) -> tuple[Reduction, Callable[[Any], Any]]:
        if contingency is not None:
            raise ValueError("contingency: expected None with labels in Dask collections")
        if "average_method" in options:
            check_choice("average_method", options["average_method"], tuple(AVERAGES))
        finish = partial(_finish, formula=formula, options=options)
        return DistinctPairs("labels_true", "labels_pred", alike=False), finish

    return one_pass_metric(theirs, parts, NOTE)


adjusted_mutual_info_score = _agreement(sklearn.metrics.adjusted_mutual_info_score, _adjusted)
adjusted_rand_score = _agreement(sklearn.metrics.adjusted_rand_score, _adjusted_rand)
completeness_score = _agreement(sklearn.metrics.completeness_score, _completeness)
fowlkes_mallows_score = _agreement(sklearn.metrics.fowlkes_mallows_score, _fowlkes_mallows)
homogeneity_completeness_v_measure = _agreement(sklearn.metrics.homogeneity_completeness_v_measure, _measures)
homogeneity_score = _agreement(sklearn.metrics.homogeneity_score, _homogeneity)
mutual_info_score = _agreement(sklearn.metrics.mutual_info_score, _mutual_info)
normalized_mutual_info_score = _agreement(sklearn.metrics.normalized_mutual_info_score, _normalized)
pair_confusion_matrix = _agreement(sklearn.metrics.pair_confusion_matrix, _pair_confusion)
rand_score = _agreement(sklearn.metrics.rand_score, _rand)
v_measure_score = _agreement(sklearn.metrics.v_measure_score, _v_measure)
