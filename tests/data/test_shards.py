"""Blocks are shared out over the workers that hold them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import dask.array as da
import pytest
from distributed import Client, wait
from hypothesis import given
from hypothesis import strategies as st

from daskml_kit.data.shards import balance, choose_holders, runs
from daskml_kit.engines import open as opening
from daskml_kit.engines.open import open_engine
from daskml_kit.reductions.gram import Gram


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


WORKERS = "abcd"
BLOCKS = st.lists(st.tuples(st.sampled_from(WORKERS), st.integers(1, 100)), min_size=1, max_size=30)
SHARES = st.dictionaries(st.sampled_from(WORKERS), st.sampled_from([0.5, 1.0, 2.0, 5.0]), min_size=1)


def finish(homes: Sequence[str], sizes: Sequence[int], shares: Mapping[str, float]) -> float:
    """When the last worker with a share is done."""
    return max(sum(s for h, s in zip(homes, sizes, strict=True) if h == w) / share for w, share in shares.items())


@given(BLOCKS, SHARES)
def test_balance_never_makes_a_pass_longer(blocks: list[tuple[str, int]], shares: dict[str, float]) -> None:
    homes, sizes = [h if h in shares else min(shares) for h, _ in blocks], [size for _, size in blocks]
    balanced = balance(homes, sizes, shares)
    assert finish(balanced, sizes, shares) <= finish(homes, sizes, shares) * (1 + 1e-12)
    assert balance(balanced, sizes, shares) == balanced


@given(BLOCKS, SHARES)
def test_blocks_leave_workers_without_a_share(blocks: list[tuple[str, int]], shares: dict[str, float]) -> None:
    homes, sizes = [home for home, _ in blocks], [size for _, size in blocks]
    assert set(balance(homes, sizes, shares)) <= set(shares)


@given(BLOCKS, SHARES, st.sets(st.sampled_from(WORKERS)))
def test_only_receivers_are_given_blocks(
    blocks: list[tuple[str, int]], shares: dict[str, float], receivers: set[str]
) -> None:
    homes, sizes = [h if h in shares else min(shares) for h, _ in blocks], [size for _, size in blocks]
    balanced = balance(homes, sizes, shares, receivers & set(shares))
    assert all(new == old or new in receivers for old, new in zip(homes, balanced, strict=True))


@given(st.integers(1, 8), st.lists(st.sampled_from([1, 2, 4]), min_size=1, max_size=4))
def test_even_blocks_end_even_and_no_more_are_moved_than_it_takes(per_unit: int, parts: list[int]) -> None:
    shares = {worker: float(part) for worker, part in zip(WORKERS, parts, strict=False)}
    fair = {worker: per_unit * int(share) for worker, share in shares.items()}
    homes = ["a"] * sum(fair.values())
    balanced = balance(homes, [7] * len(homes), shares)
    assert Counter(balanced) == fair
    assert balance(sorted(balanced), [7] * len(homes), shares) == sorted(balanced)


@given(st.lists(st.tuples(st.sets(st.sampled_from(WORKERS), min_size=1), st.integers(0, 50)), max_size=30))
def test_every_block_is_read_by_one_of_its_holders(blocks: list[tuple[set[str], int]]) -> None:
    homes = choose_holders([sorted(holders) for holders, _ in blocks], [size for _, size in blocks])
    assert all(home in holders for home, (holders, _) in zip(homes, blocks, strict=True))


@given(st.lists(st.integers(), max_size=40), st.integers(1, 12))
def test_runs_are_complete_and_about_equal(positions: list[int], n_runs: int) -> None:
    cut = runs(positions, n_runs)
    assert [position for run in cut for position in run] == positions
    lengths = [len(run) for run in cut]
    assert len(cut) == min(n_runs, len(positions))
    assert not cut or max(lengths) - min(lengths) <= 1
