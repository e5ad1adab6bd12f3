"""How much data weighs before it is held."""

from __future__ import annotations

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import scipy.sparse as sp

from daskml_kit.data.collections import array_bytes, blocks_bytes, fits


def test_known_chunks_weigh_what_they_say():
    assert array_bytes(da.zeros((100, 3), chunks=(10, 3))) == 2400


def test_unknown_chunks_weigh_as_the_first_that_has_rows():
    frame = dd.from_pandas(pd.DataFrame({"a": np.arange(100.0)}), npartitions=4)
    late = frame[frame["a"] >= 25].to_dask_array()
    assert array_bytes(late) == 4 * 25 * 8


def test_sparse_blocks_do_not_weigh_as_dense_ones():
    X = da.ones((1000, 1000), chunks=(250, 1000)).map_blocks(lambda b: sp.csr_matrix(np.eye(250, 1000)))
    assert array_bytes(X) == 4 * 250 * (8 + 4)


def test_nothing_weighs_nothing():
    assert blocks_bytes([]) == 0


def test_what_is_larger_than_memory_does_not_fit(client):
    limit = sum(w["memory_limit"] for w in client.scheduler_info()["workers"].values())
    assert fits(client, 0.1 * limit)
    assert not fits(client, limit)
    assert fits(None, 1e6)
