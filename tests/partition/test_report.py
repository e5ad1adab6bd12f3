"""A report says what NumPy and pandas say of the same rows, reads the data once, and advises what mends it."""

from __future__ import annotations

import sys

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from distributed import futures_of, wait
from hypothesis import given, settings
from hypothesis import strategies as st

from daskml_kit.data.collections import size_of
from daskml_kit.exceptions import DataError
from daskml_kit.partition import PartitionReport, partition_report
from daskml_kit.partition.block_scan import count_rows, heaviest, merge_heavy_hitters

LENGTHS = st.lists(st.integers(0, 30), min_size=1, max_size=6).filter(any)


def frame_of(rows, lengths):
    """Return a Dask frame of partitions of these lengths, which it does not know."""
    parts = [rows.iloc[end - n : end] for n, end in zip(lengths, np.cumsum(lengths), strict=True)]
    return dd.from_map(lambda part: parts[part], list(range(len(parts))), meta=rows.iloc[:0])


def unknown(array):
    """Return the array with block lengths that are not known."""
    return array[da.ones(array.shape[0], chunks=(array.chunks[0],)) > 0]


@pytest.fixture
def counted():
    """A way to count how often each block of an array is read."""
    reads = []

    def count(array, name):
        def read(block, block_info=None):
            reads.append((name, block_info[0]["chunk-location"][0]))
            return block

        return array.map_blocks(read, dtype=array.dtype, meta=np.empty((0,) * array.ndim, array.dtype))

    count.reads = reads
    return count


@settings(max_examples=15, deadline=None)
@given(LENGTHS, st.integers(0, 2**16), st.booleans())
def test_numbers_are_those_of_numpy(lengths, seed, lengths_unknown):
    rng, n = np.random.default_rng(seed), sum(lengths)
    X, y, keys = rng.normal(size=(n, 3)), rng.integers(0, 3, n), rng.choice(list("abcd"), n, p=[0.6, 0.2, 0.1, 0.1])
    chunks = tuple(lengths)
    dX, dy = da.from_array(X, chunks=(chunks, 3)), da.from_array(y, chunks=(chunks,))
    if lengths_unknown:
        dX, dy = unknown(dX), unknown(dy)
    report = partition_report(dX, dy, labels=dy, by=da.from_array(keys, chunks=(chunks,)), top=2)

    assert report.blocks["rows"].tolist() == lengths
    assert report.blocks["bytes"].tolist() == [length * 4 * 8 for length in lengths]
    assert report.n_bytes == X.nbytes + y.nbytes
    assert report.n_empty == lengths.count(0)
    assert report.skew == pytest.approx(max(lengths) / np.mean(lengths))
    block_of = np.repeat(np.arange(len(lengths)), lengths)
    expected = pd.crosstab(block_of, y).reindex(range(len(lengths)), fill_value=0)
    np.testing.assert_array_equal(report.labels, expected)
    assert report.labels.columns.tolist() == expected.columns.tolist()
    shares = np.bincount(y) / n
    for block, length in enumerate(lengths):
        distance = report.blocks["label_distance"][block]
        if length:
            own = np.bincount(y[block_of == block], minlength=len(shares)) / length
            assert distance == pytest.approx(np.abs(own - shares).sum() / 2, abs=1e-12)
        else:
            assert np.isnan(distance)
    counts = pd.Series(keys).value_counts()
    assert report.hot_keys["rows"].tolist() == counts.tolist()[:2]
    assert all(counts[key] == rows for key, rows in report.hot_keys["rows"].items())
    assert report.hash_skew == pytest.approx(max(1, counts.max() / n * len(lengths)))
    assert report.key_error == 0


@settings(max_examples=8, deadline=None)
@given(LENGTHS, LENGTHS)
def test_collections_that_are_cut_differently_are_cut_as_the_first(first, second):
    y = np.arange(sum(first)) % 3
    if sum(second) > sum(first):
        first, second, y = second, first, np.arange(sum(second)) % 3
    second = [*second, sum(first) - sum(second)]
    X = da.zeros((len(y), 2), chunks=(tuple(first), 2))
    other = da.from_array(y, chunks=(tuple(second),))
    report = partition_report(X, other, labels=other)
    assert report.blocks["rows"].tolist() == first
    expected = pd.crosstab(np.repeat(np.arange(len(first)), first), y).reindex(range(len(first)), fill_value=0)
    np.testing.assert_array_equal(report.labels, expected)


def test_data_frames_with_several_key_columns():
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"a": rng.integers(0, 3, 90), "b": rng.choice(["x", "y"], 90), "c": rng.normal(size=90)})
    report = partition_report(frame_of(rows, [40, 0, 50]), labels="b", by=["a", "b"], top=100)
    expected = rows.groupby(["a", "b"]).size()
    assert report.hot_keys["rows"].to_dict() == expected.to_dict()
    assert report.hot_keys["rows"].is_monotonic_decreasing
    assert report.hot_keys.index.names == ["a", "b"]
    assert report.hot_keys["share"].sum() == pytest.approx(1)
    assert report.blocks["bytes"].tolist() == [size_of(rows[:40]), 0, size_of(rows[40:])]
    assert report.labels.sum().to_dict() == rows["b"].value_counts().to_dict()


def test_categories_that_differ_between_blocks_count_as_what_they_stand_for():
    blocks = [pd.Series(["a", "b"], dtype="category"), pd.Series(["b", "c", "b"], dtype="category")]
    labels = dd.from_map(lambda block: blocks[block], [0, 1], meta=pd.Series([], dtype=pd.CategoricalDtype(["?"])))
    report = partition_report(labels, labels=labels, by=labels)
    assert report.labels.to_dict("list") == {"a": [1, 0], "b": [1, 2], "c": [0, 1]}
    assert report.hot_keys["rows"].to_dict() == {"b": 3, "a": 1, "c": 1}


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_missing_labels_and_keys_are_one_value(missing):
    values = np.array(["b", missing, "a", None, "b", np.nan], dtype=object)
    y = da.from_array(values, chunks=3)
    report = partition_report(y, labels=y, by=y)
    assert report.labels.columns[:2].tolist() == ["a", "b"]
    assert pd.isna(report.labels.columns[2])
    assert report.labels.to_numpy().tolist() == [[1, 1, 1], [0, 1, 2]]
    assert report.hot_keys["rows"].tolist() == [3, 2, 1]
    assert "missing labels: 3" in str(report)
    assert "(missing)" in str(report)


def test_labels_of_several_types_and_floats_beside_integers():
    report = partition_report(da.from_array(np.array([1, "a", 1, "b"], dtype=object), chunks=2), labels=np.arange(4))
    assert report.labels.shape == (2, 4)
    mixed = da.from_array(np.array([2, "a", 1, "b"], dtype=object), chunks=2)
    assert partition_report(mixed, labels=mixed).labels.columns.tolist() == [1, 2, "a", "b"]
    blocks = [pd.Series([1, 2]), pd.Series([1.0, np.nan])]
    labels = dd.from_map(lambda block: blocks[block], [0, 1], meta=pd.Series([], dtype=float))
    counts = partition_report(labels, labels=labels).labels
    assert counts[1.0].tolist() == [1, 1]
    assert counts.to_numpy().tolist() == [[1, 1, 0], [1, 0, 1]]


@pytest.mark.parametrize("make", [np.asarray, pd.DataFrame, sp.csr_array])
def test_values_in_memory_are_one_block(make):
    values = make(np.eye(4))
    report = partition_report(values, list("aabb"), labels=pd.Series(list("aabb")), by=np.array([[1, 2]] * 4))
    assert report.blocks["rows"].tolist() == [4]
    assert report.n_bytes == size_of(values) + np.array(list("aabb")).nbytes
    assert report.workers is None
    assert report.worker_skew is None
    assert report.labels.to_numpy().tolist() == [[2, 2]]
    assert report.hot_keys["rows"].to_dict() == {(1, 2): 4}
    assert report.max_label_distance == report.mean_label_distance == 0


def test_sparse_blocks_and_arrays_cut_between_columns():
    dense = sp.random_array((20, 6), density=0.5, format="csr", rng=np.random.default_rng(0))
    X = da.concatenate([da.from_array(dense[:12], chunks=(12, 6)), da.from_array(dense[12:], chunks=(8, 6))])
    assert partition_report(X).blocks["bytes"].tolist() == [size_of(dense[:12]), size_of(dense[12:])]
    values = np.arange(24).reshape(6, 4) % 3
    cut = da.from_array(values, chunks=(4, 3))
    report = partition_report(cut, by=cut)
    assert report.blocks["bytes"].tolist() == [128, 64]
    assert report.hot_keys["rows"].to_dict() == pd.DataFrame(values).value_counts().to_dict()


def test_no_rows_at_all():
    X = da.zeros((0, 2), chunks=(1, 2))
    y = da.zeros(0, chunks=1)
    report = partition_report(X, y, labels=y, by=y)
    assert (report.n_rows, report.skew, report.hash_skew, report.n_empty) == (0, 1, 1, 1)
    assert report.labels.shape == (1, 0)
    assert "rows 0, blocks 1" in str(report)
    assert "rows 0" in report._repr_html_()


def test_known_arrays_are_not_read(counted):
    X = counted(da.zeros((9, 2), chunks=(4, 2)), "X")
    assert partition_report(X).n_bytes == 144
    assert counted.reads == []


def test_one_pass_reads_what_is_asked_for_and_no_more(counted):
    X = counted(da.zeros((9, 2), chunks=(4, 2)), "X")
    y, lengthless = counted(da.zeros(9, chunks=4), "y"), unknown(counted(da.zeros(9, chunks=4), "z"))
    with dask.config.set(scheduler="sync"):
        partition_report(X, lengthless, y, labels=y, by=y)
    assert sorted(counted.reads) == [(name, block) for name in "yz" for block in range(3)]


def test_a_frame_is_read_once():
    reads = []

    def read(block):
        reads.append(block)
        return pd.DataFrame({"a": [block] * 3, "b": [1, 2, 3]})

    frame = dd.from_map(read, [0, 1, 2], meta=pd.DataFrame({"a": [0], "b": [0]}))
    with dask.config.set(scheduler="sync"):
        report = partition_report(frame, labels="b", by="a")
    assert report.blocks["rows"].tolist() == [3, 3, 3]
    assert sorted(reads) == [0, 1, 2]


def test_persisted_data_is_looked_at_where_it_lies(client):
    rows = pd.DataFrame({"a": np.arange(60) % 4, "b": ["x", "y", "z"] * 20})
    X, frame = da.random.random((60, 3), chunks=(10, 2)).persist(), dd.from_pandas(rows, npartitions=6).persist()
    wait([*futures_of(X), *futures_of(frame)])
    report = partition_report(X, frame, labels="b", by="a")
    workers = report.workers
    assert set(workers.index) == set(client.nthreads())
    assert workers["blocks"].sum() == 6
    assert workers["rows"].sum() == 60
    assert workers["bytes"].sum() == report.n_bytes
    assert workers["share"].sum() == pytest.approx(1)
    held = [future.key for future in futures_of([X, frame])]
    assert report.n_bytes == sum(client.nbytes(held, summary=False).values())
    assert report.worker_skew == pytest.approx(workers["bytes"].max() / workers["bytes"].mean())
    assert report.labels.to_numpy().sum() == 60
    assert sorted(workers["name"]) == ["0", "1"]
    assert sorted(partition_report(X).plot().axes[0].get_legend_handles_labels()[1]) == ["0", "1"]
    for shown in (str(report), report._repr_html_()):
        assert not [worker for worker in workers.index if worker in shown]


def test_workers_are_told_apart_and_named(client):
    one, other = sorted(client.nthreads())
    most = client.persist(da.arange(12, chunks=4), workers=[one])
    rest, y = (client.persist(da.arange(n, chunks=4), workers=[other]) for n in (4, 16))
    X = da.concatenate([most, rest])  # other names of what is held
    wait(futures_of([X, y]))

    report = partition_report(X)
    assert report.blocks["worker"].tolist() == [one, one, one, other]
    assert report.workers["blocks"].to_dict() == {one: 3, other: 1}
    assert report.workers["rows"].to_dict() == {one: 12, other: 4}
    assert report.workers["bytes"].to_dict() == {one: 96, other: 32}
    assert report.worker_skew == 1.5
    names = {worker: str(info["name"]) for worker, info in client.scheduler_info(n_workers=-1)["workers"].items()}
    assert report.workers["name"].to_dict() == names
    assert f"worker {names[one]} holds 75.0% of the bytes: rebalance(...)" in str(report)

    apart = partition_report(X, y)
    assert apart.blocks["apart"].tolist() == [True, True, True, False]
    assert (
        "parts of the same rows on different workers in 3 of 4 blocks, so that each pass moves some: place(...)"
        in str(apart)
    )
    assert "too few blocks, 1, to keep 2 workers busy: random_partition(..., npart" in str(partition_report(rest))


def test_a_block_on_several_workers_has_one_home_and_counts_on_each(client):
    X = da.arange(16, chunks=4).persist()
    client.replicate(futures_of(X))
    report = partition_report(X)
    assert report.workers["bytes"].tolist() == [128, 128]
    assert report.workers["blocks"].tolist() == [2, 2]
    assert report.n_bytes == 128


def test_partitions_in_another_order_are_found_where_they_lie(client):
    frame = dd.from_map(lambda n: pd.DataFrame({"a": [n] * n}), range(1, 7), meta=pd.DataFrame({"a": [0]})).persist()
    wait(futures_of(frame))
    places = {key[1]: workers[0] for key, workers in client.who_has(futures_of(frame)).items()}
    report = partition_report(frame.partitions[::-1])
    assert report.blocks["rows"].tolist() == [6, 5, 4, 3, 2, 1]
    assert report.blocks["worker"].tolist() == [places[partition] for partition in reversed(range(6))]


def test_lazy_data_on_a_cluster_lies_nowhere(client):
    frame = dd.from_pandas(pd.DataFrame({"a": range(20)}), npartitions=4)
    report = partition_report(frame, by="a", top=3)
    assert report.workers is None
    assert report.blocks["worker"].isna().all()
    assert report.blocks["rows"].sum() == 20
    assert len(report.hot_keys) == 3
    assert not futures_of(frame)


def test_a_block_that_cannot_be_computed_says_why(client):
    def fail(block):
        raise ArithmeticError("no such number")

    X = da.ones(4, chunks=2).map_blocks(fail, dtype=float, meta=np.empty(0)).persist()
    with pytest.raises(ArithmeticError, match="no such number"):
        partition_report(X)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=40), min_size=1, max_size=9), st.integers(1, 6))
def test_counts_in_bounded_memory_keep_their_promise(blocks, capacity):
    parts = [heaviest(count_rows([np.array(block)]), capacity=capacity) for block in blocks]
    while len(parts) > 1:
        parts = [merge_heavy_hitters(parts[i : i + 3], capacity) for i in range(0, len(parts), 3)]
    kept, error = parts[0]
    truth = pd.Series(np.concatenate(blocks)).value_counts()
    assert len(kept) <= capacity
    assert error <= truth.sum() / (capacity + 1)
    found = dict(zip(kept[0].tolist(), kept["rows"].tolist(), strict=True))
    for key, rows in truth.items():
        assert found.get(key, 0) <= rows <= found.get(key, 0) + error


def test_too_many_keys_leave_the_hot_ones_and_say_by_how_much_they_may_be_off():
    rng = np.random.default_rng(0)
    keys = rng.permutation(np.concatenate([np.zeros(20_000, int), np.arange(1, 40_001)]))
    report = partition_report(da.from_array(keys, chunks=15_000), by=keys, top=1)
    assert report.hot_keys.index[0] == 0
    rows = report.hot_keys["rows"].iloc[0]
    assert 0 < report.key_error < len(keys) / 4096
    assert rows <= 20_000 <= rows + report.key_error
    assert f"counts may be {report.key_error} too low" in str(report)
    assert "key 0 alone is 33.3% of all rows, 1.3 times the mean block: hash_partition(" in str(report)


def test_text_names_each_problem_and_what_mends_it():
    lengths = (100, 0, 20, 20)
    y = np.concatenate([np.repeat([0, 1], 50), np.zeros(40, int)])
    y[-1] = 2
    text = str(partition_report(da.from_array(y, chunks=(lengths,)), labels=da.from_array(y, chunks=(lengths,))))
    assert text.splitlines()[0] == "rows 140, blocks 4, 1.09 kiB"
    assert "rows per block: 0 to 100, mean 35.0; skew 2.86 (max over mean)" in text
    assert "! no rows in 1 of 4 blocks: random_partition(...) makes equal ones" in text
    assert "! block 0 has 2.1 times the rows of the mean block with rows: random_partition(...)" in text
    assert "! class shares far from those of all rows, by up to 36.4%, in 3 of 4 blocks: random_partition" in text
    assert (
        "! class 1 is missing from 2 of 3 blocks (other classes missing from some: 1): random_partition(...) mix"
        in text
    )


def test_text_of_an_even_partition_has_no_advice():
    y = da.from_array(np.arange(400) % 2, chunks=100)
    assert "!" not in str(partition_report(y, labels=y))


def test_keys_that_lie_together_are_told_from_those_that_do_not():
    rng = np.random.default_rng(0)
    lengths = (300, 0, 300, 600)
    shuffled = da.from_array(rng.integers(0, 100, 1200), chunks=(lengths,))
    assert partition_report(shuffled, by=shuffled).key_scatter == pytest.approx(1, abs=0.05)
    together = partition_report(shuffled, by=da.from_array(np.repeat(np.arange(12), 100), chunks=(lengths,)))
    assert together.key_scatter == pytest.approx(1 / 3, abs=0.01)
    assert together.hot_keys["blocks"].eq(1).all()
    in_two = partition_report(shuffled, by=da.from_array(np.repeat([0, 1, 2], 400), chunks=(lengths,)), top=1)
    assert in_two.hot_keys["blocks"].to_dict() == {0: 2}
    assert in_two.table.loc[("key", "0")].tolist() == [2, 400, pytest.approx(1 / 3)]
    unique = partition_report(shuffled, by=np.arange(1200))
    assert unique.key_scatter == 1


def test_keys_too_many_to_count_do_not_look_as_if_they_lay_together():
    keys = np.random.default_rng(0).integers(0, 20_000, 60_000)
    report = partition_report(da.from_array(keys, chunks=10_000), by=keys)
    assert report.key_error > 0
    assert report.key_scatter > 0.9


def test_advice_on_rows_by_key_keeps_the_keys_together():
    keys = np.repeat(np.arange(6), [500, 100, 100, 100, 100, 100])
    y = da.from_array(keys % 2, chunks=((500, 100, 0, 100, 100, 0, 100, 100),))
    text = str(partition_report(y, by=keys, labels=y))
    assert "! no rows in 2 of 8 blocks: hash_partition(...) with fewer npartitions leaves fewer" in text
    assert "! block 0 has 3.0 times the rows of the mean block with rows: hash_partition(...) with fewer" in text
    assert "random_partition(...) mixes them, and the keys too" in text
    assert "! key 0 alone is 50.0% of all rows, 4.0 times the mean block: hash_partition(..., max_skew=" in text
    assert text.count("random_partition") == 2


def test_a_hot_key_that_was_split_wants_no_more():
    keys = da.from_array(np.repeat([0, 0, 1, 2], 100), chunks=100)
    report = partition_report(keys, by=keys)
    assert report.hash_skew == 2
    assert "a hash partition that splits none of these keys has a skew of at least 2.00" in str(report)
    assert "!" not in str(report)


def test_keys_that_cannot_make_a_skew_are_not_said_to():
    keys = da.from_array(np.arange(400) % 20, chunks=100)
    assert "a hash partition" not in str(partition_report(keys, by=keys))


def test_labels_that_look_like_a_quantity_are_told():
    minutes = da.from_array(np.tile(np.arange(25.0), 8), chunks=100)
    assert "! labels are 25 distinct numbers: if they are no classes" in str(partition_report(minutes, labels=minutes))
    for classes in (minutes.astype(int), minutes % 20, minutes % 10 + 0.5):
        assert "distinct numbers" not in str(partition_report(minutes, labels=classes))
    halves = np.append(np.arange(20) / 2, np.nan)
    assert partition_report(halves, labels=halves).labels.shape == (1, 21)
    with pytest.raises(DataError, match=r"expected classes, got 25 distinct numbers in block \d, among them 0\.5; cut"):
        partition_report(minutes, labels=minutes / 2)
    few = da.from_array(np.arange(30) / 2, chunks=10)
    with pytest.raises(DataError, match=r"got 30 distinct numbers in all, among them 0\.5; cut a continuous"):
        partition_report(few, labels=few)


def test_a_rare_class_is_not_blamed_on_the_order():
    y = np.zeros(400, int)
    y[0] = 1
    text = str(partition_report(da.from_array(y, chunks=100), labels=da.from_array(y, chunks=100)))
    assert (
        "class 1 is missing from 3 of 4 blocks: with 1 rows in all it wants random_partition(..., npartitions=...)"
        in text
    )


def test_many_classes_are_shortened():
    y = da.from_array(np.arange(400) % 100, chunks=200)
    report = partition_report(y, labels=y)
    assert len(report.table) == 100
    assert len(str(report).splitlines()) < 60
    assert report.plot().axes[0].get_legend_handles_labels()[1][-1] == "others"


def test_the_table_is_of_workers_classes_and_keys(client):
    y = da.from_array(np.array(["a", "b", "a", "a"], dtype=object), chunks=2).persist()
    wait(futures_of(y))
    table = partition_report(y, labels=y, by=y).table
    assert table.index.get_level_values("of").tolist() == ["worker", "worker", "class", "class", "key", "key"]
    assert table.loc["class"].to_dict("list") == {"blocks": [2, 1], "rows": [3, 1], "share": [0.75, 0.25]}
    assert table.loc["key"].to_dict("list") == table.loc["class"].to_dict("list")
    assert table.loc["worker"].sum().tolist() == [2, 4, pytest.approx(1)]


def test_html_is_the_table_with_names_escaped():
    evil = '<script>alert("x")</script>'
    rows = pd.DataFrame({evil: ["<b>", "<b>", "&amp;", "<b>"]})
    html = partition_report(frame_of(rows, [2, 2]), labels=evil, by=evil)._repr_html_()
    assert "<script>" not in html
    assert "<b>" not in html
    assert "<th>&lt;b&gt;</th>" in html
    assert "&amp;amp;" in html
    assert "75.0%" in html
    assert "http" not in html


def test_html_of_many_blocks_stays_small():
    assert len(partition_report(da.zeros(5_000, chunks=1))._repr_html_()) < 1_000


def test_a_plot_shows_the_rows_of_blocks_by_class():
    y = da.from_array(np.array(["$a$b$", "x", "x", "x"], dtype=object), chunks=2)
    (axes,) = partition_report(y).plot().axes
    assert [bar.get_height() for bar in axes.patches] == [2, 2]
    assert axes.get_legend() is None
    figure = partition_report(y, labels=y, by=y).plot()
    figure.canvas.draw()
    (axes,) = figure.axes
    assert axes.get_title() == "rows per block (dashed: mean)"
    assert axes.get_legend_handles_labels()[1] == ["x", r"\$a\$b\$"]
    assert [bar.get_height() for bar in axes.patches] == [1, 2, 1, 0]


def test_a_picture_without_matplotlib_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ModuleNotFoundError, match="pip install matplotlib"):
        partition_report(da.zeros(3)).plot()


@pytest.mark.parametrize(
    ("collections", "options", "message"),
    [
        ((), {}, "collections: expected at least one"),
        ((da.zeros(3),), {"top": 0}, "top: expected a number of keys, at least 1, got 0"),
        ((da.zeros(3),), {"top": True}, "top: expected a number"),
        ((da.zeros(3),), {"labels": "y"}, "labels: .* got 'y'; there is no DataFrame"),
        ((da.zeros(3),), {"by": 3.5}, "by: expected column names, or dense keys .*, got 3.5"),
        ((da.zeros(3),), {"by": da.zeros((3, 1, 1))}, "by: expected column names, or dense keys"),
        ((da.zeros((3, 2)),), {"labels": da.zeros((3, 2))}, "labels: expected one column, got 2"),
        ((pd.DataFrame({"a": [1], "b": [2]}),), {"labels": ["a", "b"]}, "labels: expected one column, got 2"),
        ((pd.DataFrame({"a": [1]}),), {"by": ["a", "q"]}, r"by: expected columns of collections\[0\] \('a'\), got 'q'"),
        ((pd.DataFrame({"a": [1]}),), {"by": []}, "by: expected columns"),
        ((np.zeros(3),), {"labels": np.zeros(4)}, "labels: .* expected 3 rows"),
        ((da.zeros(3, chunks=2),), {"labels": np.zeros(4)}, "labels: .* expected 3 rows"),
        (
            (da.zeros(3, chunks=2), unknown(da.zeros(4, chunks=2))),
            {},
            r"collections\[1\]: .* expected 1 rows, got 2 in block 1",
        ),
        ((np.float64(3),), {}, r"collections\[0\]: expected rows"),
        ((da.zeros(()),), {}, r"collections\[0\]: expected rows"),
        ((sp.csr_array((3, 1)),), {"by": sp.csr_array((3, 1))}, "by: expected .* dense keys .*, got a sparse matrix"),
        ((da.zeros(2500),), {"labels": np.arange(2500)}, "labels: expected classes, got 2500 .* in block 0, more than"),
        (
            (da.zeros(1500, chunks=750),),
            {"labels": da.arange(1500, chunks=750)},
            "labels: expected classes, got 1500 .* in all",
        ),
    ],
)
def test_bad_arguments_are_named(collections, options, message):
    with pytest.raises(DataError, match=message):
        partition_report(*collections, **options)


def test_the_report_is_a_value():
    report = partition_report(da.zeros(3))
    assert isinstance(report, PartitionReport)
    with pytest.raises(AttributeError):
        report.blocks = None
    assert repr(report) == str(report)


def test_arguments_are_left_as_they_were():
    rows = pd.DataFrame({"a": [2, 1, 2]})
    before = rows.copy()
    partition_report(rows, labels="a", by="a")
    pd.testing.assert_frame_equal(rows, before)
    lengthless = unknown(da.zeros(4, chunks=2))
    partition_report(lengthless)
    assert np.isnan(lengthless.chunks[0]).all()
