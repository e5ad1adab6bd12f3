"""How many rows and mini-batches go together, for data of a size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from daskml_kit.queries.survey import Overview

BATCH, MOST_BATCHES = 512, 64
HELD_BYTES = 32 * 2**20
"""What the mini-batches between two pushes may hold."""
STEPS, PUSHES = 16, 4
"""The least steps of a lane in an epoch where rows are few, and its pushes where they are many."""


class Plan(NamedTuple):
    """Rows of a mini-batch of one trainer, the lanes of synchronous steps, and mini-batches between pushes.

    Parameters
    ----------
    batch_size, lanes : int
    push_every : int
        In synchronous mode.
    most_batches : int
        What it may grow to in the others.
    """

    batch_size: int
    lanes: int
    push_every: int
    most_batches: int


def make_plan(overview: Overview, sizes: Sequence[int], lanes: int, batch_size: int | None) -> Plan:
    """Return a plan for blocks of these ``sizes``; ``batch_size`` is decided here where it is None.

    Measured on a million rows of 28 features: an epoch of 4 pushes a lane ends at the loss of 32 pushes to 1e-5.
    """
    lanes = min(lanes, len(sizes))
    rows = max(overview.n_rows // lanes, 1)
    batch = batch_size or int(np.clip(rows // STEPS, 8, BATCH))
    most = int(np.clip(HELD_BYTES // (batch * _row_bytes(overview)), 1, MOST_BATCHES))
    pushes = PUSHES if lanes > 1 else 1
    return Plan(batch, lanes, int(np.clip(-(-rows // (batch * pushes)), 1, most)), most)


def _row_bytes(overview: Overview) -> int:
    X = overview.sample_X
    size = X.data.nbytes + X.indices.nbytes if sp.issparse(X) else X.nbytes
    return max(int(size // max(X.shape[0], 1)), 1)
