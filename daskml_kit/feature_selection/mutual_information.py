"""Mutual information of each feature and a target, by counts in bins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import sklearn.feature_selection
from sklearn.metrics import mutual_info_score
from sklearn.utils import check_array

from daskml_kit.arguments import check_number
from daskml_kit.data.block import Block, check_finite
from daskml_kit.data.collections import is_dask
from daskml_kit.engines.open import open_engine
from daskml_kit.engines.runtime import computing
from daskml_kit.linear_model.base import require_rows
from daskml_kit.reductions.distinct_pairs import DistinctPairs, PairTotals
from daskml_kit.reductions.quantiles import Brackets, BracketSummary
from daskml_kit.reductions.reduction import SingleReduction
from daskml_kit.solvers.run import run
from daskml_kit.solvers.types import Fit
from daskml_kit.typing import Array


class Sketches(NamedTuple):
    """Rows, whether a block was sparse, and summaries of the values of each feature and of the target.

    There are none of sparse features, nor of a target of labels.
    """

    n_rows: int
    sparse: bool
    features: list[BracketSummary]
    target: list[BracketSummary]


@dataclass(frozen=True, eq=False)
class ValueSketches(SingleReduction):
    """`Sketches` of features and target.

    Parameters
    ----------
    labels : bool
        Whether the target is labels.
    """

    labels: bool

    def chunk(self, block: Block) -> Sketches:
        check_finite(block)
        sparse = sp.issparse(block.X)
        features = [] if sparse else Brackets().chunk(block)
        target = [] if self.labels or block.y is None else Brackets().chunk(Block(_number(block)[:, None]))
        return Sketches(block.n_rows, sparse, features, target)

    def combine(self, a: Sketches, b: Sketches) -> Sketches:
        parts = [Brackets().combine(x, y) if x and y else x or y for x, y in zip(a[2:], b[2:], strict=True)]
        return Sketches(a.n_rows + b.n_rows, a.sparse or b.sparse, *parts)

    def finalize(self, total: Sketches) -> list[Sketches]:
        parts = [Brackets().finalize(part)[0] for part in total[2:]]
        return [total._replace(features=parts[0], target=parts[1])]


@dataclass(frozen=True, eq=False)
class CrossTables(SingleReduction):
    """The distinct pairs of each feature and the target, with the rows that have each; weights count nothing.

    Parameters
    ----------
    edges : sequence of array or None, optional
        Of each feature the values that are last in their bins, sorted, but for the last bin; None of one that is taken
        as it is, and by default of all.
    target_edges : array, optional
        The same of the target.

    Examples
    --------
    >>> found = CrossTables([np.array([2.0])]).chunk(Block(np.array([[1.0], [2.0], [3.0]]), np.array([0, 0, 1])))
    >>> found[0].predicted.tolist(), found[0].truth.tolist(), found[0].mass.tolist()
    ([0, 1], [0, 1], [2, 1])
    """

    edges: Sequence[Array | None] | None = None
    target_edges: Array | None = None

    def chunk(self, block: Block) -> list[PairTotals]:
        check_finite(block)
        X: Any = block.X.tocsc() if sp.issparse(block.X) else block.X
        y = block.y if self.target_edges is None else _binned(_number(block), self.target_edges)
        edges = [None] * X.shape[1] if self.edges is None else self.edges
        columns = (X[:, [j]].toarray()[:, 0] if sp.issparse(X) else X[:, j] for j in range(X.shape[1]))
        return [
            _PAIRS.chunk(Block(_binned(column, own)[:, None], y, index=block.index))
            for column, own in zip(columns, edges, strict=True)
        ]

    def combine(self, a: list[PairTotals], b: list[PairTotals]) -> list[PairTotals]:
        return [_PAIRS.combine(x, y) for x, y in zip(a, b, strict=True)]


_PAIRS = DistinctPairs("y", "X", alike=False)


def _number(block: Block) -> Array:
    if block.y is None:
        raise TypeError("a target is needed")
    return block.y.astype(np.float64)


def _binned(values: Array, edges: Array | None) -> Array:
    """Return the bin of each value; without edges an integer that tells it from others."""
    if edges is not None:
        return np.searchsorted(edges, values).astype(np.int64)
    if values.dtype.kind in "iub":
        return values.astype(np.int64)
    return (values.astype(np.float64) + 0.0).view(np.int64)  # 0.0 makes zeros of either sign the same


FEWEST_BINS, MOST_BINS = 4, 64


def mutual_info_classif(
    X: Any,
    y: Any,
    *,
    discrete_features: Any = "auto",
    n_neighbors: int = 3,
    copy: bool = True,
    random_state: Any = None,
    n_jobs: int | None = None,
    n_bins: int | None = None,
) -> Array:
    r"""Return the mutual information of each feature and the class, in nats.

    Of discrete features it is scikit-learn's. A continuous feature is cut into bins of about equal numbers of rows, and
    the information of the bins, :math:`\sum_{ab} p_{ab} \log (p_{ab} / p_a p_b)`, is corrected for chance by
    :math:`(k_a + k_b - k_{ab} - 1) / 2n`, where k are the numbers of bins, classes and pairs that occur (Miller 1955).
    What a bin averages over is lost, so that it is at or below the true value but for chance, where scikit-learn's
    estimate by nearest neighbors scatters about it. One pass, two where a feature is continuous.

    Parameters
    ----------
    X : Dask array or DataFrame, or anything that scikit-learn takes, of shape (n_samples, n_features)
    y : array or Dask array of shape (n_samples,)
        Classes.
    discrete_features : "auto", bool or array, default "auto"
        Which features are discrete, by a mask or their positions; "auto" are those of sparse data.
    n_neighbors : int, default 3
        Of scikit-learn's estimate; with bins it must be 3.
    copy : bool, default True
        X is never written to where it is binned, whatever this says.
    random_state : int, RandomState or None, default None
        Of scikit-learn's estimate; nothing is drawn where features are binned.
    n_jobs : int, default None
        Of scikit-learn's estimate; with bins it must be None.
    n_bins : int, default None
        Bins of a continuous feature. None is the cube root of the number of rows, 4 to 64, on Dask input; in memory it
        leaves the estimate to scikit-learn.

    Returns
    -------
    array of shape (n_features,)
        Mutual information.

    See Also
    --------
    mutual_info_regression : For a target of numbers.
    f_classif : Differences of means only.

    References
    ----------
    Miller, "Note on the bias of information estimates", 1955.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array(np.array([[0, 5], [0, 6], [1, 5], [1, 6]]), chunks=(2, 2))
    >>> mutual_info_classif(X, da.from_array(np.array([0, 0, 1, 1]), chunks=2), discrete_features=True).round(4)
    array([0.6931, 0.    ])
    """
    options = {"discrete_features": discrete_features, "n_neighbors": n_neighbors, "copy": copy, "n_jobs": n_jobs}
    options["random_state"] = random_state
    return _information(sklearn.feature_selection.mutual_info_classif, X, y, options, n_bins)


def mutual_info_regression(
    X: Any,
    y: Any,
    *,
    discrete_features: Any = "auto",
    n_neighbors: int = 3,
    copy: bool = True,
    random_state: Any = None,
    n_jobs: int | None = None,
    n_bins: int | None = None,
) -> Array:
    """Return the mutual information of each feature and a target of numbers, in nats.

    The target, and each feature that is not discrete, is cut into bins of about equal numbers of rows. Two passes. The
    estimate is that of `mutual_info_classif`, and so are the parameters.

    Parameters
    ----------
    X : Dask array or DataFrame, or anything that scikit-learn takes, of shape (n_samples, n_features)
    y : array or Dask array of shape (n_samples,)
    discrete_features : "auto", bool or array, default "auto"
    n_neighbors : int, default 3
    copy : bool, default True
    random_state : int, RandomState or None, default None
    n_jobs : int, default None
    n_bins : int, default None

    Returns
    -------
    array of shape (n_features,)
        Mutual information.

    See Also
    --------
    mutual_info_classif : For classes; what the parameters are.
    f_regression : Linear dependence only.

    Examples
    --------
    >>> import dask.array as da
    >>> x = np.linspace(-1, 1, 1000)
    >>> X = da.from_array(np.column_stack([x, np.cos(50 * x)]), chunks=(300, 2))
    >>> mutual_info_regression(X, X[:, 0] ** 2).round(1)
    array([1.6, 0. ])
    """
    options = {"discrete_features": discrete_features, "n_neighbors": n_neighbors, "copy": copy, "n_jobs": n_jobs}
    options["random_state"] = random_state
    return _information(sklearn.feature_selection.mutual_info_regression, X, y, options, n_bins)


def information_steps(
    labels: bool,
    discrete_features: Any = "auto",
    n_neighbors: int = 3,
    n_jobs: int | None = None,
    n_bins: int | None = None,
    **unused: Any,
) -> Fit:
    """Ask for counts of each feature and the target, and return the mutual information of each."""
    if n_bins is not None:
        check_number("n_bins", n_bins, low=2, integer=True)
    if n_neighbors != 3:
        raise ValueError(f"n_neighbors: expected 3 where features are binned, got {n_neighbors!r}; give n_bins")
    if n_jobs is not None:
        raise ValueError(f"n_jobs: expected None where features are binned, got {n_jobs!r}")
    if discrete_features is True and labels:
        tables = yield CrossTables()
        require_rows(tables[0].n_rows, tables[0].n_rows, len(tables))
        return np.array([_mutual(table) for table in tables])
    found = yield ValueSketches(labels)
    n_rows, width = found.n_rows, len(found.features)
    require_rows(n_rows, n_rows, width)
    bins = n_bins or int(np.clip(round(n_rows ** (1 / 3)), FEWEST_BINS, MOST_BINS))
    discrete = _discrete(discrete_features, width, found.sparse)
    columns = zip(discrete, found.features, strict=True)
    edges = None if found.sparse else [None if own else _edges(sketch, bins) for own, sketch in columns]
    tables = yield CrossTables(edges, None if labels else _edges(found.target[0], bins))
    binned = np.zeros(len(tables), bool) if found.sparse else ~discrete
    return np.array(
        [_mutual(table, corrected=bool(own) or not labels) for table, own in zip(tables, binned, strict=True)]
    )


def _information(theirs: Any, X: Any, y: Any, options: dict[str, Any], n_bins: int | None) -> Array:
    if n_bins is None and not is_dask(X) and not is_dask(y):
        found: Array = theirs(X, y, **options)
        return found
    rows = X if is_dask(X) else check_array(X, accept_sparse="csr")
    labels = theirs is sklearn.feature_selection.mutual_info_classif
    with open_engine(rows, y, many_passes=True) as engine, computing():
        scores: Array = run(engine, {None: information_steps(labels, **options, n_bins=n_bins)})[None]
    return scores


def _discrete(given: Any, width: int, sparse: bool) -> Array:
    """Return which features are discrete; those of sparse data must be."""
    if isinstance(given, str) and given != "auto":
        raise ValueError(f"discrete_features: expected 'auto', a bool, a mask or positions, got {given!r}")
    whole = isinstance(given, (str, bool, np.bool_))
    if sparse:
        if not whole or not (given == "auto" or given):
            raise ValueError(f"discrete_features: expected 'auto' or True of sparse data, got {given!r}")
        return np.empty(0, bool)
    if whole:
        return np.full(width, given != "auto" and bool(given))
    places = np.asarray(given)
    if places.dtype == bool and len(places) != width:
        raise ValueError(f"discrete_features: expected a mask of {width} features, got {len(places)}")
    if places.dtype != bool and not (places.dtype.kind in "iu" and (np.abs(places) < width).all()):
        raise ValueError(f"discrete_features: expected positions below {width}, got {given!r}")
    mask = np.zeros(width, bool)
    mask[places] = True
    return mask


def _edges(sketch: BracketSummary, bins: int) -> Array:
    """Return the last values of all bins but the last."""
    ranks = np.arange(1, bins) / bins * sketch.n_seen
    at = np.searchsorted(np.cumsum(sketch.weights), ranks * (1 - 1e-12))
    edges = np.unique(sketch.values[np.minimum(at, len(sketch.values) - 1)])
    return np.asarray(edges[edges < sketch.values[-1]])


def _mutual(table: PairTotals, *, corrected: bool = False) -> float:
    (a, row), (b, column) = (np.unique(part, return_inverse=True) for part in (table.truth, table.predicted))
    counts = sp.csr_matrix((table.mass.astype(np.int64), (row, column)))
    found = float(mutual_info_score(None, None, contingency=counts))
    chance = (len(a) + len(b) - len(table.mass) - 1) / (2 * table.n_rows) if corrected else 0.0
    return max(found + chance, 0.0)
