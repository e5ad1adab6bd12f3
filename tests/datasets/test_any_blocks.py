"""The rows are the same for any blocks and workers, drawn once, and drawn late."""

from __future__ import annotations

import pickle

import dask
import dask.array as da
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daskml_kit.datasets import (
    make_blobs,
    make_classification,
    make_classification_df,
    make_counts,
    make_ratings,
    make_regression,
)
from daskml_kit.datasets.generate import RandomRows
from daskml_kit.engines.open import open_engine
from daskml_kit.reductions.moments import Moments

N = 700
WIDE = 400  # features, so that a tile is less than N rows
GENERATORS = {
    "classification": lambda **o: make_classification(N, WIDE, 4, n_classes=3, **o),
    "classification in order": lambda **o: make_classification(N, WIDE, shuffle=False, **o),
    "regression": lambda **o: make_regression(N, WIDE, noise=1.0, n_targets=2, **o),
    "regression of low rank": lambda **o: make_regression(N, WIDE, effective_rank=3, **o),
    "blobs": lambda **o: make_blobs(N, WIDE, centers=5, **o),
    "counts": lambda **o: make_counts(N, WIDE, **o),
    "frames": lambda **o: make_classification_df(
        N, n_features=WIDE, dates=(pd.Timestamp("2020-01-01"), pd.Timestamp("2021-01-01")), **o
    ),
    "ratings": lambda **o: (make_ratings(60, 40, N, n_factors=WIDE, **o),),
}


def computed(collections):
    return [np.asarray(part) for part in dask.compute(*collections, scheduler="sync")]


@pytest.fixture(params=GENERATORS)
def generate(request):
    return GENERATORS[request.param]


@pytest.fixture
def draws(monkeypatch):
    """The blocks that were drawn."""
    seen, between = [], RandomRows.between

    def counted(self, start, stop):
        seen.append((self.draw.func.__name__, start, stop))
        return between(self, start, stop)

    monkeypatch.setattr(RandomRows, "between", counted)
    return seen


@pytest.mark.parametrize("name", GENERATORS)
def test_rows_do_not_depend_on_the_blocks(name):
    whole = computed(GENERATORS[name](random_state=3, chunks=N))

    @settings(max_examples=4, deadline=None)
    @given(st.lists(st.integers(1, N - 1), max_size=4, unique=True))
    def any_cuts(cuts):
        sizes = tuple(np.diff([0, *sorted(cuts), N]).tolist())
        for part, expected in zip(computed(GENERATORS[name](random_state=3, chunks=sizes)), whole, strict=True):
            np.testing.assert_array_equal(part, expected)

    any_cuts()


def test_tiles_are_less_than_the_rows_tested_above():
    assert RandomRows(None, WIDE, N, seed=0).tile_rows < N / 2


@pytest.mark.slow
def test_workers_draw_the_same_rows(client):
    made = {name: client.compute(list(generate(random_state=5, chunks=200))) for name, generate in GENERATORS.items()}
    for name, there in made.items():
        here = computed(GENERATORS[name](random_state=5, chunks=N))
        for part, expected in zip(client.gather(there), here, strict=True):
            np.testing.assert_array_equal(np.asarray(part), expected)


def test_parts_that_are_computed_together_are_drawn_once(generate, draws):
    collections = generate(random_state=0, chunks=200)
    assert draws == []
    dask.compute(*collections, scheduler="sync")
    assert len(draws) == len(set(draws))
    dated = {name for name, _, _ in draws} >= {"draw_times"}
    assert len(draws) == 4 * (1 + dated)


def test_a_fit_draws_each_block_once_a_pass(draws):
    X, y = make_regression(N, 5, chunks=200, random_state=0)
    with open_engine(X, y) as engine:
        engine.answer(Moments())
    assert sorted(draws) == [
        ("draw_linear", 0, 200),
        ("draw_linear", 200, 400),
        ("draw_linear", 400, 600),
        ("draw_linear", 600, 700),
    ]


def test_the_graph_is_small_and_quick_for_large_data():
    X, y = make_classification(10**8, 50, 10, n_classes=4, chunks=10**5, random_state=0)
    assert X.numblocks == (1000, 1)
    assert len(pickle.dumps((X, y))) < 300_000
    assert len(pickle.dumps(make_ratings(10**7, 1000, 10**8, random_state=0))) < 200_000
    np.testing.assert_array_equal(y[-3:].compute(), y.blocks[-1].compute()[-3:])


def test_a_seed_names_the_arrays_and_none_is_fresh():
    same, again = make_blobs(random_state=1)[0], make_blobs(random_state=1)[0]
    assert same.name == again.name
    assert same.name != make_blobs(random_state=2)[0].name
    assert make_blobs()[0].name != make_blobs()[0].name
    state = np.random.RandomState(0)
    first, second = make_blobs(random_state=state)[0], make_blobs(random_state=state)[0]
    assert (first != second).any().compute()


def test_tiles_do_not_repeat_one_another():
    X, _ = make_counts(N, WIDE, random_state=0)
    assert len(np.unique(X[:, 0].compute())) == N


@pytest.mark.parametrize(
    ("chunks", "sizes"),
    [
        (300, (300, 300, 100)),
        (np.int64(350), (350, 350)),
        (-1, (700,)),
        (10_000, (700,)),
        ((100, 600), (100, 600)),
        ([100, 600], (100, 600)),
        ((300, 3), (300, 300, 100)),
        ((300, -1), (300, 300, 100)),
        (((100, 600), (3,)), (100, 600)),
    ],
)
def test_chunks_are_rows_a_block_or_of_each_or_a_shape(chunks, sizes):
    X, y = make_counts(N, 3, random_state=0, chunks=chunks)
    assert X.chunks == (sizes, (3,))
    assert y.chunks == (sizes,)


@pytest.mark.parametrize("chunks", [0, -2, 2.5, "auto", True, (100, 100), (300, 2), (0, 700), ((300,), (3,)), ()])
def test_chunks_that_do_not_make_up_the_rows_are_named(chunks):
    with pytest.raises(ValueError, match=r"chunks: expected .* 700 in all"):
        make_counts(N, 3, chunks=chunks)


def test_blocks_have_a_sensible_size_by_default():
    X, _ = make_regression(10**7, 20, random_state=0)
    assert 8 * 2**20 < X.blocks[0].nbytes < 32 * 2**20
    assert make_blobs()[0].numblocks == (1, 1)


def test_arrays_and_frames_tell_their_types(generate):
    for collection in generate(random_state=0, chunks=300):
        part = collection.compute(scheduler="sync")
        if isinstance(collection, da.Array):
            assert (part.dtype, part.shape) == (collection.dtype, collection.shape)
        else:
            assert collection.divisions == (0, 300, 600, N - 1)
            pd.testing.assert_index_equal(part.index, pd.RangeIndex(N))
            kinds = "dtypes" if part.ndim == 2 else "dtype"
            assert np.all(getattr(collection, kinds) == getattr(part, kinds))
