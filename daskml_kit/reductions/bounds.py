"""Assignment of a block's rows to centers that drift, with bounds kept between passes that tell who need not be asked.

A row keeps its label as long as the centers have drifted by less than the distances from its nearest and second
nearest center differ (Hamerly 2010): nothing is computed of it until then. What is kept of a row is a label and such a
bound, rounded down, and of a block the sums of its clusters, which are exact (`split_row`). So what a pass gives does
not depend on what was kept: where it was lost with a worker, or had no room, all rows are asked, to the same bits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from daskml_kit.data.block import Block
from daskml_kit.numerics.targets import tiles
from daskml_kit.reductions.kept_rows import keep, take
from daskml_kit.typing import Array

BYTES_AT_ONCE = 2**24
"""Bytes of labels and deadlines that are written at once, where rows are assigned to several sets of centers."""
TILE = 16_384
"""Rows that are copied at a time where the compiled loops cannot read them as they are."""


class Asked(NamedTuple):
    """Question about rows: the sums of the clusters of some centers.

    Parameters
    ----------
    fit : str
        A name of the passes over these rows, of which the one that is measured is the last: nothing is kept after it.
    shift, centers : arrays of shape (n_features,) and (n_clusters, n_features)
        Of the type of the block's numbers; centers less the shift.
    measured : bool
        Whether the inertia is asked for, too.
    """

    fit: str
    shift: Array
    centers: Array
    measured: bool


@dataclass
class BoundedRows:
    """Labels of some rows of a block, how long they are certain, and the sums of the clusters, in two exact parts."""

    centers: Array
    labels: Array
    deadlines: Array
    drifts: Array
    sums: Array
    grids: Array
    reach: float
    used: float = 0.0

    @cached_property
    def n_bytes(self) -> int:
        arrays = (self.centers, self.labels, self.deadlines, self.drifts, self.sums, self.grids)
        return sum(array.nbytes for array in arrays)


def bounded_sums(asked: Sequence[Asked], block: Block, rows: slice | Array) -> list[tuple[Array, float]]:
    """Return, of each that is asked, the sums of rows and of weights of each cluster, and the inertia.

    The inertia is NaN unless it is to be measured.

    Parameters
    ----------
    asked : sequence of Asked
    block : Block
        Dense.
    rows : slice or int array
        The same in all passes; no two sets of rows of a block have the same first one.
    """
    part = block.index, int(rows.start if isinstance(rows, slice) else rows[0])
    weight = np.ones(1) if block.weight is None else np.ascontiguousarray(block.weight[rows], np.float64)
    found: list[BoundedRows | None] = [take(each.fit, part) for each in asked]
    starting: dict[bytes, list[int]] = defaultdict(list)
    for place, (each, before) in enumerate(zip(asked, found, strict=True)):
        if before is None:
            starting[each.shift.tobytes()].append(place)
        else:
            _reassign(before, block, rows, each.shift, weight, each.centers)
    for same in starting.values():
        at_once = max(int(BYTES_AT_ONCE // (8 * max(_n_rows(rows), 1))), 1)
        started = _started(block, rows, asked[same[0]].shift, weight, [asked[place].centers for place in same], at_once)
        for place, own in zip(same, started, strict=True):
            found[place] = own
    return [_sums(each, now, block, rows, weight, part) for each, now in zip(asked, found, strict=True) if now]


def _sums(
    asked: Asked, now: BoundedRows, block: Block, rows: slice | Array, weight: Array, part: Hashable
) -> tuple[Array, float]:
    """Return what is asked about rows that are assigned, and keep these unless it was the last pass."""
    own = asked.shift.size + 1
    totals: Array = now.sums[:, :own] + now.sums[:, own:]
    if asked.measured:
        return totals, _inertia(now, block, rows, asked.shift, weight)
    keep(asked.fit, part, now)
    return totals, np.nan


def _reassign(now: BoundedRows, block: Block, rows: slice | Array, shift: Array, weight: Array, centers: Array) -> None:
    """Assign rows where the assignment of an earlier pass leaves it open."""
    from daskml_kit.numerics import nearest_bounds  # Numba takes a second to import: only where much is to do

    limits = np.empty(len(centers), np.float32)
    noise = nearest_bounds.follow_centers(
        now.centers, centers, now.reach, *_precision(centers.dtype), now.drifts, limits
    )
    now.centers = centers
    doubtful = np.empty(len(now.labels) + 1, np.int64)
    places = doubtful[: nearest_bounds.suspects(now.labels, now.deadlines, limits, doubtful)]
    for own, positions, some in _readable(block.X, rows, places, centers.dtype):
        nearest_bounds.assign_rows(
            own,
            positions,
            some,
            shift,
            weight,
            centers,
            noise,
            now.grids,
            now.drifts,
            now.labels,
            now.deadlines,
            now.sums,
        )


def _started(
    block: Block, rows: slice | Array, shift: Array, weight: Array, sets: Sequence[Array], at_once: int
) -> Iterator[BoundedRows]:
    """Yield the assignment of rows that have none yet to each set of centers, so many at once."""
    from daskml_kit.numerics import nearest_bounds

    dtype, n, d = sets[0].dtype, _n_rows(rows), len(shift)
    every, sizes = np.arange(n), np.zeros(d, dtype)
    for own, positions, _ in _readable(block.X, rows, every, dtype):
        nearest_bounds.widest(own, positions, shift, sizes)
    with np.errstate(over="ignore", invalid="ignore"):
        reach = float(np.sqrt((sizes.astype(np.float64) ** 2).sum()))
        grids = _grids(np.append(sizes.astype(np.float64) * weight.max(initial=0), weight.max(initial=0)), n)
    for first in range(0, len(sets), at_once):
        some_sets = sets[first : first + at_once]
        bounds = np.cumsum([0, *map(len, some_sets)])
        noises = np.array([_noise(centers, reach) for centers in some_sets])
        labels, deadlines = np.empty((len(some_sets), n), np.int32), np.empty((len(some_sets), n), np.float32)
        sums, centers = np.zeros((bounds[-1], 2 * (d + 1))), np.concatenate(some_sets)
        for own, positions, some in _readable(block.X, rows, every, dtype):
            nearest_bounds.assign_first(
                own, positions, some, shift, weight, centers, bounds, noises, grids, labels, deadlines, sums
            )
        for at, own_centers in enumerate(some_sets):
            own_sums, drifts = sums[bounds[at] : bounds[at + 1]].copy(), np.zeros(len(own_centers))
            yield BoundedRows(own_centers, labels[at].copy(), deadlines[at].copy(), drifts, own_sums, grids, reach)


def _noise(centers: Array, reach: float) -> float:
    """Return what rounding may add to half of a squared distance from centers, at most."""
    from daskml_kit.numerics import nearest_bounds

    k = len(centers)
    own = nearest_bounds.follow_centers(
        centers, centers, reach, *_precision(centers.dtype), np.zeros(k), np.empty(k, np.float32)
    )
    return float(own)


def _precision(dtype: np.dtype) -> tuple[float, float]:
    """Return the unit that numbers are rounded to, and the least number that is."""
    of = np.finfo(dtype)
    return float(of.eps), float(of.tiny)


def _n_rows(rows: slice | Array) -> int:
    return rows.stop - rows.start if isinstance(rows, slice) else len(rows)


def _inertia(now: BoundedRows, block: Block, rows: slice | Array, shift: Array, weight: Array) -> float:
    return inertia_about(block.X, rows, shift, weight, now.centers, now.labels)


def inertia_about(
    X: Array, rows: slice | Array, shift: Array, weight: Array, centers: Array, labels: Array | None = None
) -> float:
    """Return the weighted sum of squared distances of rows from the centers of their labels, by default the first."""
    from daskml_kit.numerics import nearest_bounds

    total, n_rows = 0.0, _n_rows(rows)
    labels = np.zeros(n_rows, np.int32) if labels is None else labels
    for own, positions, some in _readable(X, rows, np.arange(n_rows), centers.dtype):
        total += nearest_bounds.squared_distances(own, positions, some, shift, weight, centers, labels)
    return total


def _grids(sizes: Array, n_rows: int) -> Array:
    """Return what rounds numbers of these sizes, as they are added and subtracted, so that sums of them are exact.

    Of ``n_rows`` multiples of a power of two each sum has at most 52 bits, and so of what is left. Beyond the ends of
    the exponents numbers are rounded more, so that the power is not zero.
    """
    bits = int(np.ceil(np.log2(max(n_rows, 1)))) + 1
    _, exponents = np.frexp(np.where(np.isfinite(sizes), sizes, 1))
    coarse = np.clip(exponents + bits, -800, 1020) - 52
    fine = coarse + bits - 52
    grids: Array = 1.5 * np.exp2(52.0 + np.stack([coarse, fine]))
    return grids


def _readable(X: Array, rows: slice | Array, places: Array, dtype: np.dtype) -> Iterator[tuple[Array, Array, Array]]:
    """Yield rows of the type that the compiled loops take, positions in them, and the places in ``rows`` of these."""
    if isinstance(rows, slice):
        chosen = places + rows.start if rows.start else places
    else:
        chosen = rows[places]
    if type(X) is np.ndarray and X.dtype == dtype and X.flags.c_contiguous and X.flags.writeable:
        yield X, chosen, places
        return
    for tile in tiles(len(places), TILE):
        own = np.require(X[chosen[tile]], dtype, ["C", "W"])  # one kind of array: loops are compiled for each
        yield own, np.arange(len(own)), places[tile]
