"""Nearest centers of rows: sums, counts and squared distances of clusters."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import scipy.sparse as sp
from sklearn.utils.extmath import row_norms

from daskml_kit.data.block import Block, check_finite
from daskml_kit.numerics.csr import MANY_PRODUCTS
from daskml_kit.numerics.targets import float_type, rows_by_id, tile_rows, tiles
from daskml_kit.reductions.bounds import Asked, bounded_sums, inertia_about
from daskml_kit.reductions.frames import rows_of
from daskml_kit.reductions.kept_rows import BranchRows, forget, keep, take
from daskml_kit.reductions.reduction import Delegate, SingleReduction
from daskml_kit.typing import Array, Matrix

NEAR_ROWS = 16_384
"""Rows that are handed to the compiled loop at a time, which are copied where it cannot read them as they are."""


class Clusters(NamedTuple):
    """Weighted sums of the rows of each cluster, about the shift, their weights, and the sum of squared distances.

    The last is NaN where it was not asked for, and not found by the way.
    """

    sums: Array
    weights: Array
    inertia: float


@dataclass(frozen=True, eq=False)
class Nearest:
    """Assign each row to its nearest center.

    Those of several fits fuse, each on the rows of its own folds: rows are read once for all sets of centers.

    Parameters
    ----------
    centers : array of shape (n_clusters, n_features)
        Less the shift.
    shift : array of shape (n_features,)
        Subtracted from dense rows, so that a large offset costs no digits; zeros for sparse ones.
    column : int
        Of the blocks' folds, where only some rows count.
    ids : tuple of int, optional
        The ids that these have there; by default all rows count.
    fit : str, optional
        A name of the passes over the same rows, between which bounds of the rows are kept (`bounded_sums`).
    measured : bool, default True
        Whether the sum of squared distances is asked for; where the passes have a name, by the last of them.
    compiled : bool, default False
        Whether compiled loops are used for few rows, too.
    others : tuple of Nearest
        Those that are answered in the same pass.
    """

    centers: Array
    shift: Array
    column: int = 0
    ids: tuple[int, ...] | None = None
    fit: str | None = None
    measured: bool = True
    compiled: bool = False
    others: tuple[Nearest, ...] = ()

    answer_type: ClassVar[type[Clusters]] = Clusters

    def fusion_key(self) -> Hashable:
        return type(self), len(self.shift)

    def fuse(self, others: Sequence[Self]) -> Nearest:
        return replace(self, others=(*self.others, *others))

    def within(self, column: int, ids: tuple[int, ...]) -> Nearest:
        """Return the same over the rows that have one of ``ids`` in a column of the blocks' folds."""
        return replace(self, column=column, ids=ids)

    def chunk(self, block: Block) -> list[Clusters]:
        return self.chunk_of(block, _shares((self, *self.others), block), block.n_rows)

    def chunk_of(
        self, block: Block, shares: Iterable[tuple[slice | Array, Sequence[int]]], n_rows: int
    ) -> list[Clusters]:
        """Return the partial answers of some of ``n_rows``, with the positions of the members that ask for them."""
        members = (self, *self.others)
        total = [Clusters(np.zeros(each.centers.shape), np.zeros(len(each.centers)), 0.0) for each in members]
        n_products = n_rows * block.X.shape[1] * sum(len(each.centers) for each in members)
        compiled = not sp.issparse(block.X) and (self.compiled or n_products >= MANY_PRODUCTS)
        for rows, asking in shares:
            asked = [members[place] for place in asking]
            found = _compiled(asked, block, rows) if compiled else _plain(asked, rows_of(block, rows))
            for place, clusters in zip(asking, found, strict=True):
                total[place] = _joined(total[place], clusters)
        if not all(np.isfinite(clusters.sums).all() for clusters in total):
            check_finite(block)
        return total

    def combine(self, a: list[Clusters], b: list[Clusters]) -> list[Clusters]:
        return [_joined(*pair) for pair in zip(a, b, strict=True)]

    def finalize(self, total: list[Clusters]) -> list[Clusters]:
        return total

    def assign(self, X: Matrix) -> tuple[Matrix, Array, Array]:
        """Return rows less the shift, the position of the nearest center of each, and the squared distance to it."""
        dtype = float_type(X)
        tile = X.astype(dtype, copy=False) if sp.issparse(X) else X - self.shift.astype(dtype, copy=False)
        centers = self.centers.astype(tile.dtype, copy=False)
        squares = np.asarray(-2 * (tile @ centers.T))
        squares += row_norms(centers, squared=True)
        labels = squares.argmin(axis=1)
        if not sp.issparse(tile):
            return tile, labels, row_norms(tile - centers[labels], squared=True)
        distances = squares[np.arange(len(labels)), labels] + row_norms(tile, squared=True)
        return tile, labels, np.maximum(distances, 0)


def _joined(a: Clusters, b: Clusters) -> Clusters:
    return Clusters(a.sums + b.sums, a.weights + b.weights, a.inertia + b.inertia)


def _shares(members: Sequence[Nearest], block: Block) -> Iterator[tuple[slice | Array, list[int]]]:
    """Yield rows of a block that are told apart by no member, with the positions of the members that want them."""
    every = [place for place, each in enumerate(members) if each.ids is None]
    if every:
        yield slice(0, block.n_rows), every
    for column in sorted({each.column for each in members if each.ids is not None}):
        if block.fold is None:
            raise TypeError("the rows of a fold are asked for, and the blocks have no folds")
        for own, rows in rows_by_id(block.fold[:, column]):
            asking = [p for p, each in enumerate(members) if each.ids and each.column == column and own in each.ids]
            if asking:
                yield rows, asking


def _plain(members: Sequence[Nearest], block: Block) -> list[Clusters]:
    return [_plain_clusters(each, block) for each in members]


def _plain_clusters(nearest: Nearest, block: Block) -> Clusters:
    k, d = nearest.centers.shape
    sums, weights, inertia = np.zeros((k, d)), np.zeros(k), 0.0
    for rows in tiles(block.n_rows, tile_rows(block.X, k)):
        tile, labels, distances = nearest.assign(block.X[rows])
        weight = np.ones(len(labels)) if block.weight is None else block.weight[rows]
        if sp.issparse(tile):
            members = sp.csr_array((weight, (labels, np.arange(len(labels)))), shape=(k, len(labels)))
            sums += (members @ tile).toarray()
        else:
            of_cluster = np.zeros((k, len(labels)))
            of_cluster[labels, np.arange(len(labels))] = weight
            sums += of_cluster @ tile
        weights += np.bincount(labels, weight, minlength=k)
        inertia += float(distances @ weight)
    return Clusters(sums, weights, inertia)


def _compiled(members: Sequence[Nearest], block: Block, rows: slice | Array) -> list[Clusters]:
    passing, named = ([each for each in members if (each.fit is None) is none] for none in (True, False))
    at_once = iter(_at_once(passing, block, rows) if passing else ())
    bounded = iter(_bounded(named, block, rows) if named else ())
    return [next(at_once if each.fit is None else bounded) for each in members]


def _at_once(members: Sequence[Nearest], block: Block, rows: slice | Array) -> list[Clusters]:
    """Assign rows to all sets of centers at once, about the shift of the first."""
    from daskml_kit.numerics import compiled  # Numba takes a second to import: only where much is to do

    dtype = float_type(block.X)
    shift = members[0].shift
    apart = [each.shift - shift for each in members]
    centers = np.concatenate([each.centers + own for each, own in zip(members, apart, strict=True)]).astype(dtype)
    bounds = np.cumsum([0, *(len(each.centers) for each in members)])
    sums, weights, inertia = np.zeros(centers.shape), np.zeros(len(centers)), np.zeros(len(members))
    n_rows = rows.stop - rows.start if isinstance(rows, slice) else len(rows)
    whole = np.ones(min(n_rows, NEAR_ROWS))
    for tile in tiles(n_rows, NEAR_ROWS):
        some = slice(rows.start + tile.start, rows.start + tile.stop) if isinstance(rows, slice) else rows[tile]
        weight = whole[: tile.stop - tile.start]
        if block.weight is not None:
            weight = np.require(block.weight[some], np.float64, ["C", "W"])
        own = np.require(block.X[some], dtype, ["C", "W"])  # one kind of array: the loop is compiled for each
        compiled.add_to_nearest(own, shift.astype(dtype), weight, centers, bounds, sums, weights, inertia)
    cuts = list(zip(bounds, bounds[1:], apart, inertia.tolist(), strict=False))
    return [Clusters(sums[i:j] - np.outer(weights[i:j], own), weights[i:j], total) for i, j, own, total in cuts]


def _bounded(members: Sequence[Nearest], block: Block, rows: slice | Array) -> list[Clusters]:
    """Assign rows to sets of centers, where most rows are known to have the labels of the pass before."""
    dtype = float_type(block.X)
    asked = [
        Asked(each.fit or "", each.shift.astype(dtype), each.centers.astype(dtype), each.measured) for each in members
    ]
    found = bounded_sums(asked, block, rows)
    return [Clusters(totals[:, :-1], totals[:, -1], inertia) for totals, inertia in found]


class Sizes(NamedTuple):
    """Number of rows of each cluster, and their weighted sum of squared distances from the center."""

    n_rows: Array
    inertia: Array


@dataclass(frozen=True, eq=False)
class InBranch(Delegate):
    """The result of ``reduction`` over the rows of one branch of a tree of bisections.

    Parameters
    ----------
    path : tuple of (Nearest, int)
        The bisections from the root, and the side of each that the rows are on.
    tree : str
        A name of the tree: positions of rows are kept for it between passes.
    """

    path: tuple[tuple[Nearest, int], ...]
    tree: str

    def view(self, block: Block) -> Block:
        return rows_of(block, rows_in_branch(self.tree, block, self.path)) if self.path else block

    def chunk(self, block: Block) -> Any:
        if not self.path or not isinstance(self.reduction, Nearest):
            return super().chunk(block)
        rows = rows_in_branch(self.tree, block, self.path)  # which are read where they lie
        shares = [(rows, range(1 + len(self.reduction.others)))] if len(rows) else []
        return self.reduction.chunk_of(block, shares, len(rows))


@dataclass(frozen=True, eq=False)
class Bisection(SingleReduction):
    """Number of rows and inertia of both sides of the bisection of a branch.

    Parameters
    ----------
    nearest : Nearest
        Of two centers.
    path, tree
        See `InBranch`.
    last : bool, default False
        Whether nothing is asked for the tree afterwards.
    """

    nearest: Nearest
    path: tuple[tuple[Nearest, int], ...]
    tree: str
    last: bool = False

    answer_type: ClassVar[type[Sizes]] = Sizes

    def chunk(self, block: Block) -> Sizes:
        rows = rows_in_branch(self.tree, block, self.path)
        labels = _split_branch(self.tree, block, self.path, self.nearest, rows)
        sides = [np.flatnonzero(labels == side) for side in (0, 1)]
        if self.last:
            forget(self.tree, block.index)
        inertia = [_inertia_of(self.nearest, block, rows[own], side) for side, own in enumerate(sides)]
        return Sizes(np.array([len(own) for own in sides]), np.array(inertia))

    def combine(self, a: Sizes, b: Sizes) -> Sizes:
        return Sizes(a.n_rows + b.n_rows, a.inertia + b.inertia)


def rows_in_branch(tree: str, block: Block, path: tuple[tuple[Nearest, int], ...]) -> Array:
    """Return the positions of a branch's rows; what is not kept, or was lost, is found anew, to the same bits."""
    if not path:
        return np.arange(block.n_rows)
    *above, (nearest, side) = path
    part = block.index, *(each for _, each in path)
    kept = take(tree, part)
    if kept is None:
        parent = rows_in_branch(tree, block, tuple(above))
        labels = _split_branch(tree, block, tuple(above), nearest, parent)
        return np.asarray(parent[labels == side])
    keep(tree, part, kept)
    return np.asarray(kept.positions)


def _split_branch(
    tree: str, block: Block, path: tuple[tuple[Nearest, int], ...], nearest: Nearest, rows: Array
) -> Array:
    """Return the side that each row of a branch is on, and keep the positions of those of either."""
    labels = labels_of(nearest, block, rows)
    for side in (0, 1):
        keep(tree, (block.index, *(each for _, each in path), side), BranchRows(rows[labels == side]))
    return labels


def _inertia_of(nearest: Nearest, block: Block, rows: Array, side: int) -> float:
    """Return the weighted sum of squared distances of some rows from one center."""
    center = replace(nearest, centers=nearest.centers[[side]])
    if sp.issparse(block.X) or not nearest.compiled:
        tiles_of = assigned_tiles(center, rows_of(block, rows))
        return float(sum(distances @ weight for _, _, distances, weight in tiles_of))
    dtype = float_type(block.X)
    weight = np.ones(1) if block.weight is None else np.ascontiguousarray(block.weight[rows], np.float64)
    return inertia_about(block.X, rows, center.shift.astype(dtype), weight, center.centers.astype(dtype))


def labels_of(nearest: Nearest, block: Block, chosen: Array | None = None) -> Array:
    """Return the position of the nearest center of each row, or of each of those ``chosen``."""
    n_rows = block.n_rows if chosen is None else len(chosen)
    many = nearest.compiled or n_rows * block.X.shape[1] * len(nearest.centers) >= MANY_PRODUCTS
    if many and not sp.issparse(block.X):
        from daskml_kit.numerics import compiled  # see above

        dtype, labels = float_type(block.X), np.empty(n_rows, np.int64)
        shift, centers = nearest.shift.astype(dtype), nearest.centers.astype(dtype)
        for rows in tiles(n_rows, NEAR_ROWS):
            own = block.X[rows if chosen is None else chosen[rows]]
            compiled.write_nearest(np.require(own, dtype, ["C", "W"]), shift, centers, labels[rows])
        return labels
    block = block if chosen is None else rows_of(block, chosen)
    return np.concatenate([np.empty(0, int), *(labels for _, labels, _, _ in assigned_tiles(nearest, block))])


def assigned_tiles(nearest: Nearest, block: Block) -> Iterator[tuple[Matrix, Array, Array, Array]]:
    """Yield tiles of rows less the shift, with the nearest centers, the squared distances to them, and the weights."""
    for rows in tiles(block.n_rows, tile_rows(block.X, len(nearest.centers))):
        tile, labels, distances = nearest.assign(block.X[rows])
        yield tile, labels, distances, np.ones(len(labels)) if block.weight is None else block.weight[rows]
