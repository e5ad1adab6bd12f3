"""An integer per row: the fold, or the side of a split, that the row belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import dask.array as da
import numpy as np
from dask.delayed import Delayed

from daskml_kit.engines.rows import collect
from daskml_kit.model_selection.splits.cut import Cut, id_dtype
from daskml_kit.model_selection.splits.tasks import block_tasks, runs_of_blocks
from daskml_kit.typing import Array


class IdColumn(NamedTuple):
    """Lazy ids in the blocks of the rows, and how many rows of each block have which id.

    Parameters
    ----------
    ids : Dask array of shape (n_rows,), int16 or int32
    counts : list of Delayed
        Of runs of blocks, in order: arrays of shape (n_blocks_of_run, n_ids).
    """

    ids: da.Array
    counts: list[Delayed]


class Span(NamedTuple):
    """The places ``start .. stop - 1`` of a cut: those of the rows of a block."""

    cut: Cut
    start: int
    stop: int

    def ids(self) -> Array:
        return self.cut.ids(self.start, self.stop)

    def counts(self) -> Array:
        return self.cut.counts(self.start, self.stop)


def id_column(tasks: Sequence[Delayed], counts: list[Delayed], lengths: Sequence[int], n_ids: int) -> IdColumn:
    """Return the column whose blocks are the ``tasks``."""
    meta, keys = np.empty(0, id_dtype(n_ids)), [task.key for task in tasks]
    return IdColumn(collect(meta, tasks[0].dask, keys, lengths, "daskml-folds"), counts)


def by_row(cut: Cut, lengths: Sequence[int]) -> IdColumn:
    """Return the column of rows whose places are their numbers: nothing is read."""
    edges = [0, *np.cumsum(lengths).tolist()]
    return by_span([Span(cut, start, start + length) for start, length in zip(edges, lengths, strict=False)])


def by_span(spans: Sequence[Span]) -> IdColumn:
    """Return the column whose blocks have these places of these cuts."""
    tasks = block_tasks("daskml-place", [partial(Span.ids, span) for span in spans])
    lengths = [span.stop - span.start for span in spans]
    counts = block_tasks("daskml-count", [partial(_counts, spans[run]) for run in runs_of_blocks(lengths)])
    return id_column(tasks, counts, lengths, len(spans[0].cut.sizes))


def _counts(spans: Sequence[Span]) -> Array:
    return np.stack([span.counts() for span in spans])
