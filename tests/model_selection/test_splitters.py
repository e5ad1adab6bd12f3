"""Folds on Dask data are scikit-learn's where they are not drawn; else exact, uniform, whatever the blocks."""

from __future__ import annotations

import warnings

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import sklearn.model_selection as theirs
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from scipy.stats import chi2
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

import daskml_kit.model_selection as ours
from daskml_kit.exceptions import DataError
from daskml_kit.model_selection import Split
from daskml_kit.model_selection.splits.base import folds_in_memory
from daskml_kit.model_selection.splits.stratify import stratified_folds_in_memory

UNEVEN = (3, 0, 11, 1, 20, 5)
N_ROWS = sum(UNEVEN)
TEN = np.arange(10)


@st.composite
def blocked(draw, least=6):
    """Labels, groups, and the lengths of blocks that some of are empty."""
    lengths = draw(st.lists(st.integers(0, 9), min_size=1, max_size=6).filter(lambda x: sum(x) >= least))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = sum(lengths)
    y, groups = rng.integers(0, draw(st.integers(1, 4)), n), rng.integers(0, draw(st.integers(2, 12)), n)
    return np.array(["d", "b", "a", "c"])[y], groups, tuple(lengths)


def lazily(values, lengths):
    return da.from_array(values, chunks=(lengths,))


def row_numbers(splits):
    return [tuple(map(np.sort, pair)) for pair in dask.compute(*splits)]


def outcome(splitter, *data):
    """Return the splits, or the text of the error, and of the warnings."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            result = [[side.tolist() for side in pair] for pair in row_numbers(list(splitter.split(*data)))]
        except ValueError as error:
            result = str(error)
    return result, [str(warning.message) for warning in seen]


ORDERED = [
    ("KFold", {}),
    ("KFold", {"n_splits": 2}),
    ("StratifiedKFold", {"n_splits": 3}),
    ("StratifiedKFold", {"n_splits": 5}),
    ("GroupKFold", {"n_splits": 3}),
    ("GroupKFold", {"n_splits": 4, "shuffle": True, "random_state": 3}),
    ("StratifiedGroupKFold", {"n_splits": 3}),
    ("StratifiedGroupKFold", {"n_splits": 2, "shuffle": True, "random_state": 3}),
    ("TimeSeriesSplit", {"n_splits": 3}),
    ("TimeSeriesSplit", {"n_splits": 3, "gap": 2, "max_train_size": 4, "test_size": 2}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), ORDERED)
@settings(max_examples=25, deadline=None)
@given(data=blocked())
def test_splits_that_are_not_drawn_are_those_of_scikit_learn(name, options, data):
    y, groups, lengths = data
    needs_groups = "Group" in name
    memory = (np.zeros((len(y), 1)), y, groups if needs_groups else None)
    lazy = (da.zeros((len(y), 1), chunks=(lengths, 1)), lazily(y, lengths), lazily(groups, lengths))
    with dask.config.set(scheduler="sync"):
        got = outcome(getattr(ours, name)(**options), *lazy[: 3 if needs_groups else 2])
    assert got == outcome(getattr(theirs, name)(**options), *memory)


DRAWN = [
    ("KFold", {"n_splits": 3, "shuffle": True}),
    ("StratifiedKFold", {"n_splits": 3, "shuffle": True}),
    ("RepeatedKFold", {"n_splits": 3, "n_repeats": 2}),
    ("RepeatedStratifiedKFold", {"n_splits": 3, "n_repeats": 2}),
    ("ShuffleSplit", {"n_splits": 2, "test_size": 0.3}),
    ("ShuffleSplit", {"n_splits": 2, "test_size": 7, "train_size": 5}),
    ("StratifiedShuffleSplit", {"n_splits": 2, "test_size": 0.3, "train_size": 0.4}),
    ("GroupShuffleSplit", {"n_splits": 2, "test_size": 0.3}),
]


def drawn_data():
    rng = np.random.default_rng(0)
    return rng.integers(0, 3, N_ROWS), rng.integers(0, 9, N_ROWS)


def drawn(name, options, lengths, seed=5):
    y, groups = (lazily(values, lengths) for values in drawn_data())
    splitter = getattr(ours, name)(random_state=seed, **options)
    return row_numbers(splitter.split(y, y, groups if "Group" in name else None))


@pytest.mark.parametrize(("name", "options"), DRAWN)
def test_drawn_splits_have_the_sizes_of_scikit_learn_whatever_the_blocks(name, options):
    y, groups = drawn_data()
    got = drawn(name, options, UNEVEN)
    groups = groups if "Group" in name else None
    expected = list(getattr(theirs, name)(random_state=5, **options).split(y[:, None], y, groups))
    assert len(got) == len(expected)
    if groups is None:
        assert [[len(side) for side in pair] for pair in got] == [[len(side) for side in pair] for pair in expected]
    for other in ((N_ROWS,), (1,) * N_ROWS):
        for pair, same in zip(got, drawn(name, options, other), strict=True):
            assert_array_equal(pair[0], same[0])
            assert_array_equal(pair[1], same[1])
    other_seed = drawn(name, options, UNEVEN, seed=6)
    assert any(a[1].tolist() != b[1].tolist() for a, b in zip(got, other_seed, strict=True))
    for train, test in got:
        assert not set(train) & set(test)
        assert train.dtype == test.dtype == np.int64


def test_each_class_is_in_each_fold_by_its_share_up_to_one_row():
    y, _ = drawn_data()
    for _, test in drawn("StratifiedKFold", {"n_splits": 4, "shuffle": True}, UNEVEN):
        assert (abs(np.bincount(y[test]) - np.bincount(y) / 4) < 1).all()
    for sides in drawn("StratifiedShuffleSplit", {"test_size": 0.3}, UNEVEN):
        for rows in sides:
            assert (abs(np.bincount(y[rows]) - np.bincount(y) * len(rows) / N_ROWS) <= 1).all()


def test_groups_are_on_one_side_and_their_shares_are_exact():
    _, groups = drawn_data()
    for train, test in drawn("GroupShuffleSplit", {"n_splits": 3, "test_size": 0.3}, UNEVEN):
        sides = set(groups[train]), set(groups[test])
        assert not sides[0] & sides[1]
        assert [len(side) for side in sides] == [6, 3]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["KFold", "StratifiedKFold"])
def test_drawn_folds_are_uniform_over_rows_and_pairs_of_rows(name):
    n_seeds, k = 400, 3
    y = da.from_array(np.arange(12) % 2, chunks=5)
    tables = []
    with dask.config.set(scheduler="sync"):
        for seed in range(n_seeds):
            tables.append(getattr(ours, name)(k, shuffle=True, random_state=seed).assign(y, y).ids[0].compute())
    folds = np.array(tables)
    counts = np.stack([(folds == fold).sum(axis=0) for fold in range(k)])
    expected = n_seeds / k
    assert ((counts - expected) ** 2 / expected).sum() < chi2.ppf(0.999, 12 * (k - 1))
    # rows 0 and 2 are of one class of 6 with 2 a fold, or of 12 with 4 a fold
    same = (folds[:, 0] == folds[:, 2]).sum()
    share = 1 / 5 if name == "StratifiedKFold" else 3 / 11
    assert (same - n_seeds * share) ** 2 / (n_seeds * share * (1 - share)) < chi2.ppf(0.999, 1)


@pytest.mark.parametrize("name", ["KFold", "StratifiedKFold", "ShuffleSplit", "TimeSeriesSplit", "RepeatedKFold"])
def test_in_memory_the_splitter_is_scikit_learns(name):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 2)), np.arange(60) % 3
    mine, reference = getattr(ours, name)(), getattr(theirs, name)()
    if hasattr(mine, "random_state") and name != "KFold" and name != "StratifiedKFold":
        mine.random_state = reference.random_state = 0
    changed = {k: v for k, v in vars(mine).items() if k != "blockwise"}  # of dask-ml, not of scikit-learn
    assert changed == vars(reference)
    assert isinstance(mine, getattr(theirs, name))
    assert mine.get_n_splits() == reference.get_n_splits()
    model = LogisticRegression()
    assert_array_equal(cross_val_score(model, X, y, cv=mine), cross_val_score(model, X, y, cv=reference))


@pytest.mark.parametrize(("name", "options"), [*ORDERED, *((n, {**o, "random_state": 1}) for n, o in DRAWN)])
def test_ids_in_memory_say_the_same_as_the_splits(name, options):
    y, groups = drawn_data()
    groups = groups if "Group" in name else None
    splitter = getattr(ours, name)(**options)
    folds = splitter.assign(y[:, None], y, groups)
    rows = np.arange(N_ROWS)
    if "Repeated" in name:
        assert len(folds.ids) == 2
    elif "KFold" in name or name == "TimeSeriesSplit":
        assert len(folds.ids) == 1
    expected = list(splitter.split(y[:, None], y, groups))
    assert len(folds.splits) == len(expected)
    for number, (train, test) in enumerate(expected):
        got_train, got_test = folds.take(number, rows)
        assert_array_equal(got_train, train)
        assert_array_equal(got_test, test)


@settings(max_examples=100, deadline=None)
@given(
    labels=st.lists(st.integers(-1, 2), min_size=2, max_size=40),
    n_splits=st.integers(2, 5),
    dtype=st.sampled_from(["int64", "int8", "bool"]),
)
def test_plain_strata_are_those_of_scikit_learn(labels, n_splits, dtype):
    y = np.array(labels).astype(dtype)
    label_codes = stratified_folds_in_memory(y, len(y), n_splits)
    assert (label_codes is None) == (np.unique(y, return_counts=True)[1].min() < n_splits)
    if label_codes is not None:
        expected = folds_in_memory(len(y), theirs.StratifiedKFold(n_splits).split(y, y))
        assert_array_equal(label_codes.ids[0], expected.ids[0])
        assert label_codes.splits == expected.splits


@pytest.mark.parametrize("y", [np.array(list("aabb")), np.array([0.0, 0, 1, 1]), [0, 0, 1, 1], np.zeros((4, 1), int)])
def test_labels_that_are_not_plain_are_left_to_scikit_learn(y):
    assert stratified_folds_in_memory(y, 4, 2) is None
    assert stratified_folds_in_memory(np.array([0, 0, 1, 1]), 5, 2) is None


def test_lazy_ids_are_small_integers_in_the_blocks_of_the_rows():
    X = da.zeros((N_ROWS, 2), chunks=(UNEVEN, 1))
    folds = ours.RepeatedKFold(n_splits=3, n_repeats=2, random_state=0).assign(X)
    assert [ids.chunks for ids in folds.ids] == [(UNEVEN,)] * 2
    assert folds.ids[0].dtype == np.int16
    assert folds.ids[0].compute().dtype == np.int16
    assert folds.splits[4] == Split(1, (0, 2), (1,))
    assert (folds.ids[0].compute() != folds.ids[1].compute()).any()


def test_take_keeps_arrays_frames_and_memory_aligned():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": np.arange(N_ROWS), "b": rng.normal(size=N_ROWS)}, index=np.arange(N_ROWS) + 100)
    X = da.from_array(frame.to_numpy(), chunks=(UNEVEN, 1))
    folds = ours.KFold(4, shuffle=True, random_state=0).assign(X)
    taken = folds.take(2, X, dd.from_pandas(frame, npartitions=3), frame.b, frame.index.to_numpy())
    X_train, X_test, *others = taken
    assert len(X_test) == N_ROWS // 4
    assert X_train.shape == (N_ROWS - N_ROWS // 4, 2)
    for train, test in zip(others[::2], others[1::2], strict=True):
        for values, side in ((train, X_train), (test, X_test)):
            rows = side[:, 0].astype(int).compute()
            whole = values.compute()
            assert_array_equal(whole.index - 100 if hasattr(whole, "index") else whole - 100, rows)


def test_take_of_ids_in_memory_cuts_dask_collections():
    X = da.arange(N_ROWS, chunks=(UNEVEN,))
    train, test = ours.KFold(4).assign(np.zeros((N_ROWS, 1))).take(1, X)
    assert_array_equal(test.compute(), np.arange(10, 20))
    assert train.shape == (30,)


def test_rows_of_neither_side_may_be_in_some_blocks_only():
    positions = [(np.arange(5, 20), np.arange(5))]
    rows = da.arange(30, chunks=10)
    train, test = folds_in_memory(30, positions).take(0, rows)
    assert_array_equal(train.compute(), positions[0][0])
    assert_array_equal(test.compute(), positions[0][1])


def test_row_numbers_index_a_dask_array():
    X = da.from_array(np.arange(N_ROWS) * 10, chunks=(UNEVEN,))
    _, test = next(ours.KFold(4).split(X))
    assert_array_equal(X[test].compute(), np.arange(10) * 10)


@pytest.mark.parametrize("kind", ["category", "string", "bool", "datetime64[ns]", "Int64", "float"])
def test_labels_of_any_type_make_the_same_folds(kind):
    codes = np.tile([1, 0, 0, 1, 0], 6)
    values = {
        "category": pd.Series(pd.Categorical.from_codes(codes, ["z", "a"])),
        "string": pd.Series(np.array(["no", "yes"])[codes]),
    }.get(kind, pd.Series(codes).astype(kind))
    y = dd.from_pandas(values, npartitions=4)
    ids = ours.StratifiedKFold(3).assign(y, y).ids[0].compute()
    expected = ours.StratifiedKFold(3).assign(codes, codes).ids[0]
    assert_array_equal(ids, expected)


def test_groups_of_strings_in_frames():
    groups = pd.Series(np.array(["u", "v", "w"])[np.arange(30) % 3])
    folds = ours.GroupKFold(3).assign(
        dd.from_pandas(groups, npartitions=4), groups=dd.from_pandas(groups, npartitions=4)
    )
    assert pd.Series(folds.ids[0].compute()).groupby(groups).nunique().tolist() == [1, 1, 1]


def refuse(block):
    raise AssertionError("X was read")


def test_X_is_never_read_and_labels_once():
    reads = []

    def read(block):
        reads.append(len(block))
        return block

    X = da.zeros((N_ROWS, 1), chunks=(UNEVEN, 1)).map_blocks(refuse, dtype=float, meta=np.empty((0, 1)))
    y = da.from_array(drawn_data()[0], chunks=(UNEVEN,)).map_blocks(read, dtype=int, meta=np.empty(0, int))
    for splitter in (ours.KFold(3), ours.ShuffleSplit(2), ours.TimeSeriesSplit(3)):
        dask.compute(*splitter.split(X))
    assert reads == []
    folds = ours.RepeatedStratifiedKFold(n_splits=3, n_repeats=4, random_state=0).assign(X, y)
    assert sum(reads) == N_ROWS
    list(folds.numbers())
    assert sum(reads) == N_ROWS
    dask.compute(*folds.ids)
    assert sum(reads) == 2 * N_ROWS


def missing(values, row):
    values = values.astype(float)
    values[row] = np.nan
    return values


def test_errors_name_the_argument_and_the_block():
    y, groups = drawn_data()
    lazy = lazily(y, UNEVEN)
    with pytest.raises(DataError, match="y contains NaN: a missing label in block 2, row 1"):
        ours.StratifiedKFold(2).assign(lazy, lazily(missing(y, 4), UNEVEN))
    with pytest.raises(DataError, match="groups contains NaN: a missing label in block 5, row 0"):
        ours.GroupKFold(2).assign(lazy, groups=lazily(missing(groups, 35), UNEVEN))
    with pytest.raises(ValueError, match="The 'groups' parameter should not be None"):
        ours.GroupKFold(2).assign(lazy)
    with pytest.raises(ValueError, match="The 'y' parameter should not be None"):
        ours.StratifiedKFold(2).assign(lazy)
    with pytest.raises(DataError, match="y: Found input variables with inconsistent"):
        ours.StratifiedKFold(2).assign(lazy, lazily(y[:30], (10, 20)))
    with pytest.raises(DataError, match="Got 'continuous' instead"):
        ours.StratifiedKFold(2).assign(lazy, lazy + 0.5)
    with pytest.raises(DataError, match=r"y: expected one column, got shape \(\d+, 2\) in block \d"):
        ours.StratifiedKFold(2).assign(lazy, da.stack([lazy, lazy], axis=1))
    with pytest.raises(DataError, match="y: expected classes, at most 65536 distinct values, got 70000 in block 0"):
        ours.StratifiedKFold(2).assign(da.arange(70_000, chunks=-1), da.arange(70_000, chunks=-1))
    with pytest.warns(UserWarning, match="groups parameter is ignored by KFold"):
        ours.KFold(2).assign(lazy, groups=lazy)
    mixed = da.from_array(np.array(["a", 1] * 20, dtype=object), chunks=20)
    with pytest.raises(DataError, match="y: labels of one type expected, got a mixture in block"):
        ours.StratifiedKFold(2).assign(mixed, mixed)


def test_the_name_of_a_column_is_refused():
    frame = pd.DataFrame({"a": TEN, "late": TEN % 2})
    for X in (frame, dd.from_pandas(frame, npartitions=2)):
        for method in ("split", "assign"):
            with pytest.raises(DataError, match=r"y: expected a value per row, got the name 'late'; pass frame\['la"):
                getattr(ours.StratifiedKFold(2), method)(X, "late")
            with pytest.raises(DataError, match=r"groups: expected a value per row, got the name 'late'; pass frame\["):
                getattr(ours.GroupKFold(2), method)(X, groups="late")


def test_splits_by_time_have_the_same_ids_in_memory_and_on_dask():
    splitter = ours.TimeSeriesSplit(3, gap=1, max_train_size=3, test_size=2)
    here, there = splitter.assign(TEN), splitter.assign(da.from_array(TEN, chunks=4))
    assert_array_equal(here.ids[0], there.ids[0].compute())
    assert here.ids[0].dtype == there.ids[0].dtype
    assert here.splits == there.splits


def test_folds_are_shown_by_their_sizes():
    lazy = ours.RepeatedKFold(n_splits=3, n_repeats=2, random_state=0).assign(da.zeros(4_000, chunks=10))
    assert repr(lazy) == "<Folds: 6 splits of 4,000 rows, 2 columns of ids>"
    assert repr(ours.KFold(2).assign(TEN)) == "<Folds: 2 splits of 10 rows, 1 column of ids>"


def test_a_column_that_changes_between_its_reads_is_told():
    reads = []

    def read(block):
        reads.append(1)
        return block + (len(reads) > 1)

    y = da.zeros(6, chunks=6, dtype=int).map_blocks(read, dtype=int, meta=np.empty(0, int))
    folds = ours.StratifiedKFold(2).assign(da.zeros(6, chunks=6), y)
    with pytest.raises(DataError, match="y: block 0 has other labels than when it was read before"):
        folds.ids[0].compute()


def test_a_seed_may_come_from_anywhere():
    X = da.zeros((N_ROWS, 1), chunks=(UNEVEN, 1))
    state = np.random.RandomState(0)
    ids = [ours.KFold(3, shuffle=True, random_state=state).assign(X).ids[0].compute() for _ in range(2)]
    assert (ids[0] != ids[1]).any()
    again = ours.KFold(3, shuffle=True, random_state=np.random.RandomState(0)).assign(X).ids[0].compute()
    assert_array_equal(ids[0], again)
    fresh = ours.KFold(3, shuffle=True)
    assert (fresh.assign(X).ids[0].compute() != fresh.assign(X).ids[0].compute()).any()


@pytest.mark.slow
def test_a_cluster_makes_the_folds_that_threads_make(client):
    cases = [*DRAWN[:4], *DRAWN[-1:]]
    there = [drawn(name, options, UNEVEN) for name, options in cases]
    with dask.config.set(scheduler="sync"):
        here = [drawn(name, options, UNEVEN) for name, options in cases]
    for one, other in zip(here, there, strict=True):
        for pair, same in zip(one, other, strict=True):
            assert_array_equal(pair[0], same[0])
            assert_array_equal(pair[1], same[1])
