"""Blocks are shared out over the workers that hold them."""

from __future__ import annotations

import dask.array as da
import pytest
from distributed import Client, wait

from daskml_kit.engines import opening
from daskml_kit.engines.opening import open_engine
from daskml_kit.engines.shards import choose_holders
from daskml_kit.queries.gram import Gram


def test_replicated_blocks_keep_every_worker_busy(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "LOCAL_BYTES", 0)
    X = da.random.default_rng(0).normal(size=(4000, 3), chunks=(500, 3)).persist()
    wait(X)
    client.replicate(X)
    with open_engine(X) as engine:
        engine.answer(Gram())
    assert engine.profile.tasks == len(client.nthreads())


def test_blocks_without_a_choice_are_placed_first() -> None:
    assert choose_holders([["a", "b"], ["b", "a"], ["a"], ["a"]], [1, 1, 1, 1]) == ["b", "b", "a", "a"]
