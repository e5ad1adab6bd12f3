"""Blocks hold all their parts in aligned memory, wherever these come from, so that sums round alike."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp
from distributed import wait
from numpy.testing import assert_array_equal

from daskml_kit.data.block import as_block
from daskml_kit.engines import open as opening
from daskml_kit.linear_model import PoissonRegressor, Ridge


def unaligned(values):
    """Return the values in memory that begins between two numbers, as the wire brings them."""
    memory = np.empty(values.nbytes + 1, np.uint8)[1:]
    copy = memory.view(values.dtype).reshape(values.shape)
    copy[...] = values
    assert not copy.flags.aligned
    return copy


@pytest.mark.parametrize("sparse", [False, True])
def test_all_parts_of_a_block_are_aligned(sparse):
    X = np.arange(12.0).reshape(4, 3)
    rows = unaligned(X)
    if sparse:
        rows = sp.csr_array(X)
        rows.data, rows.indices = unaligned(rows.data), unaligned(rows.indices)
    block = as_block(rows, unaligned(X[:, 0]), unaligned(X[:, 1]), unaligned(np.arange(4)))
    parts = [block.X.data, block.X.indices, block.X.indptr] if sparse else [block.X]
    assert all(part.flags.aligned for part in [*parts, block.y, block.weight, block.fold])
    assert_array_equal(block.X.toarray() if sparse else block.X, X)
    assert_array_equal(block.fold[:, 0], np.arange(4))


@pytest.mark.slow
@pytest.mark.parametrize("model", [Ridge(), PoissonRegressor()], ids=str)
def test_targets_and_weights_of_another_worker_change_no_bits(client, monkeypatch, model):
    monkeypatch.setattr(opening, "LOCAL_BYTES", 0)
    first, second = sorted(client.nthreads())
    X = da.random.default_rng(1).normal(size=(400_000, 24), chunks=(20_000, 24))
    y, weight = abs(X[:, 0] * 2 - X[:, 3]), da.random.default_rng(2).random(400_000, chunks=20_000)
    X = client.persist(X, workers=[first])
    found = []
    for place in (first, second):
        held = client.persist([y, weight], workers=[place])
        wait(held)
        found.append(model.fit(X, held[0], sample_weight=held[1]).coef_.copy())
    assert_array_equal(*found)
