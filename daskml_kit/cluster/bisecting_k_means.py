"""Bisecting k-means clustering."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import sklearn.cluster

from daskml_kit.arguments import check_choice, check_number, random_state_of
from daskml_kit.cluster.base import SAMPLE_ROWS, CentersModel, check_rows, check_start, starting_centers
from daskml_kit.data.block import Block
from daskml_kit.numerics.csr import MANY_PRODUCTS
from daskml_kit.reductions.frames import rows_of
from daskml_kit.reductions.moments import Moments
from daskml_kit.reductions.nearest import Bisection, InBranch, Nearest, Sizes, labels_of
from daskml_kit.reductions.picked_rows import CountRows, Picked, RowCounts, rows_drawn
from daskml_kit.solvers.lloyd import lloyd
from daskml_kit.solvers.run import lockstep
from daskml_kit.solvers.types import DataSpec, Fit
from daskml_kit.solvers.views import View, seen
from daskml_kit.typing import Array
from daskml_kit.validation import seed_of

FEW_ROWS = 200
"""Rows of a cluster in the sample below which more of its rows are asked for."""


class Leaf(NamedTuple):
    """Cluster of the tree: its node, the bisections that lead to it, and its rows, in number and squared distances."""

    node: SimpleNamespace
    path: tuple[tuple[Nearest, int], ...]
    n_rows: int
    inertia: float


class BisectingKMeans(CentersModel, sklearn.cluster.BisectingKMeans):  # type: ignore[misc]
    """K-means clustering by bisections, each of the cluster with the largest inertia, or with the most rows.

    A bisection is Lloyd's algorithm with two centers over the rows of one cluster, in some passes. Rows are not moved:
    a block finds those of the cluster by the bisections that lead there. The tree is scikit-learn's where there are at
    most 20,000 rows or so; of more, first centers are drawn from a sample.

    Parameters
    ----------
    n_clusters : int, default 8
    init : {"random", "k-means++"} or callable, default "random"
        First two centers of a bisection.
    n_init : int, default 1
        Starts of each bisection, of which the best is kept.
    random_state : int, RandomState or None, optional
    max_iter : int, default 300
        Iterations of a bisection.
    verbose : int, default 0
        Above 0, show a bar of the passes.
    tol : float, default 1e-4
        Squared moves of the two centers, in all, at which a bisection has converged.
    copy_x : bool, default True
        X is never written to, whatever this says.
    algorithm : {"lloyd", "elkan"}, default "lloyd"
        "elkan" finds the same clusters; Lloyd's algorithm does here.
    bisecting_strategy : {"biggest_inertia", "largest_cluster"}, default "biggest_inertia"

    Attributes
    ----------
    cluster_centers_ : array of shape (n_clusters, n_features)
    labels_ : array or lazy Dask array of shape (n_samples,)
    inertia_ : float
        Sum of squared distances of rows to their centers.
    profile_ : daskml_kit.engines.engine.Profile

    See Also
    --------
    KMeans : All clusters at once.

    References
    ----------
    Steinbach, Karypis and Kumar, "A comparison of document clustering techniques", 2000.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array(np.array([[0.0], [1.0], [10.0], [11.0], [40.0]]), chunks=(2, 1))
    >>> np.sort(BisectingKMeans(3, random_state=0).fit(X).cluster_centers_.ravel())
    array([ 0.5, 10.5, 40. ])
    """

    def _fit_steps(self, spec: DataSpec) -> Fit:
        sample: Picked
        counts: RowCounts = yield CountRows()
        drawn = rows_drawn(counts, SAMPLE_ROWS, spec.n_features, seed_of(self.random_state))
        sample, spread = yield drawn, Moments()
        check_rows(spread.n_rows, spread.weight, self.n_clusters)
        shift = np.zeros(spec.n_features) if sp.issparse(sample.X) else spread.mean
        draw, compiled = random_state_of(self.random_state), 2 * spread.n_rows * spec.n_features >= MANY_PRODUCTS
        center = spread.mean - shift
        root = SimpleNamespace(center=center, left=None, right=None)
        leaves, tree = [Leaf(root, (), spread.n_rows, float(spread.squares.sum()))], uuid.uuid4().hex
        while len(leaves) < self.n_clusters:
            scores = [leaf.inertia if self.bisecting_strategy == "biggest_inertia" else leaf.n_rows for leaf in leaves]
            chosen = int(
                np.argmax([score if leaf.n_rows > 1 else -1.0 for score, leaf in zip(scores, leaves, strict=True)])
            )
            view = partial(InBranch, path=leaves[chosen].path, tree=tree)
            last = len(leaves) == self.n_clusters - 1
            leaves[chosen : chosen + 1] = yield from self._bisected(
                leaves[chosen], view, sample, shift, draw, spec, compiled=compiled, last=last
            )
        for label, leaf in enumerate(leaves):
            leaf.node.label = label
        for node in _nodes(root):  # which scikit-learn moves by the mean to predict
            node.center = node.center.astype(spec.dtype)
        centers = np.array([leaf.node.center + shift for leaf in leaves]).astype(spec.dtype)
        fitted = {"_bisecting_tree": root, "_X_mean": shift.astype(spec.dtype), "_n_features_out": len(centers)}
        return {"cluster_centers_": centers, "inertia_": sum(leaf.inertia for leaf in leaves), **fitted}

    def _bisected(
        self,
        leaf: Leaf,
        branch: partial[InBranch],
        sample: Picked,
        shift: Array,
        draw: np.random.RandomState,
        spec: DataSpec,
        *,
        compiled: bool,
        last: bool,
    ) -> Generator[Any, Any, list[Leaf]]:
        """Split a cluster in two, in the passes of a k-means over its rows."""
        view = View(branch)
        X, weight = sample
        for nearest, side in leaf.path:
            own = np.flatnonzero(nearest.assign(X)[1] == side)
            X, weight = X[own], weight[own]
        if len(weight) < min(FEW_ROWS, leaf.n_rows):
            counts: RowCounts = yield view.ask(CountRows())
            X, weight = yield view.ask(rows_drawn(counts, SAMPLE_ROWS, spec.n_features, int(draw.randint(2**31 - 1))))
        whole = leaf.n_rows if len(weight) < leaf.n_rows else None
        given = self.init, (X, weight), 2, self.n_init, shift, draw
        starts = starting_centers(*given, pilot_for=whole, tol=self.tol, max_iter=self.max_iter)
        options = {"tol": self.tol, "max_iter": self.max_iter, "compiled": compiled}
        fits = {at: lloyd(start, shift, **options) for at, start in starts.items()}
        ended = yield from seen(view, lockstep(fits))
        best = ended[0]
        for other in ended.values():
            best = other if other.inertia < best.inertia * (1 - 1e-6) else best
        nearest = Nearest(best.centers - shift, shift, compiled=compiled)
        sizes: Sizes = yield Bisection(nearest, leaf.path, branch.keywords["tree"], last)
        found = []
        for side, center in enumerate(nearest.centers):
            node = SimpleNamespace(center=center, left=None, right=None)
            path = (*leaf.path, (nearest, side))
            found.append(Leaf(node, path, int(sizes.n_rows[side]), float(sizes.inertia[side])))
        leaf.node.left, leaf.node.right = found[0].node, found[1].node
        return found

    def _labeling(self, centers: Array) -> Callable[[Block], Array]:
        return partial(_leaves_of, self._bisecting_tree, self._X_mean)

    def _prepare(self, twin: Any) -> None:
        if hasattr(self, "cluster_centers_"):
            twin.set_params(n_clusters=1).fit(self.cluster_centers_).set_params(n_clusters=self.n_clusters)

    def _check_parameters(self) -> None:
        check_number("n_clusters", self.n_clusters, low=1, integer=True)
        check_number("max_iter", self.max_iter, low=1, integer=True)
        check_number("n_init", self.n_init, low=1, integer=True)
        check_number("tol", self.tol, low=0)
        check_choice("algorithm", self.algorithm, ("lloyd", "elkan"))
        check_choice("bisecting_strategy", self.bisecting_strategy, ("biggest_inertia", "largest_cluster"))
        check_start(self.init, self.n_init, ("k-means++", "random"))
        if not isinstance(self.init, str) and not callable(self.init):
            raise ValueError(f"init: expected 'k-means++', 'random' or a callable, got {self.init!r}")


def _leaves_of(node: SimpleNamespace, shift: Array, block: Block) -> Array:
    """Return the label of each row by its way down the tree, where the nearest center may be another's."""
    if node.left is None:
        return np.full(block.n_rows, node.label, np.int32)
    centers = np.array([node.left.center, node.right.center])
    sides = labels_of(Nearest(centers, shift, compiled=True), block)
    labels = np.empty(block.n_rows, np.int32)
    for side, child in enumerate((node.left, node.right)):
        own = np.flatnonzero(sides == side)
        labels[own] = _leaves_of(child, shift, rows_of(block, own))
    return labels


def _nodes(node: SimpleNamespace) -> Iterator[SimpleNamespace]:
    yield node
    if node.left is not None:
        yield from _nodes(node.left)
        yield from _nodes(node.right)
