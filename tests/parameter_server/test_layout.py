"""Layouts cut between whole rows, and gradients are cut as parameters are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from daskml_kit.exceptions import DataError
from daskml_kit.numerics.row_sparse import SparseRows
from daskml_kit.parameter_server.layout import Layout, cut, non_finite

shapes = st.dictionaries(
    st.text(min_size=1, max_size=3),
    st.lists(st.integers(0, 6), max_size=3).map(tuple),
    min_size=1,
    max_size=5,
)


def numbered(shapes, dtype=float):
    """Return arrays whose elements are all different."""
    start, arrays = 0, {}
    for name, shape in shapes.items():
        size = int(np.prod(shape, dtype=int))
        arrays[name] = np.arange(start, start + size, dtype=dtype).reshape(shape)
        start += size
    return arrays


@given(shapes, st.integers(1, 7))
def test_servers_hold_whole_rows_and_all_of_them(shapes, n_servers):
    arrays = numbered(shapes)
    layout = Layout.of(arrays, n_servers)
    assert layout.n_servers == n_servers
    assert list(layout.cuts) == sorted(layout.cuts)
    vector, seen = layout.flatten(arrays), {name: [] for name in arrays}
    for server, part in enumerate(layout.ranges()):
        for span in layout.spans(server):
            seen[span.name] += range(span.first, span.last)
            rows = arrays[span.name].reshape(layout.field(span.name).n_rows, -1)[span.first : span.last]
            assert_array_equal(vector[part][span.slice], rows.ravel())
    for name, array in arrays.items():
        assert seen[name] == (list(range(layout.field(name).n_rows)) if array.size else [])


@given(shapes, st.integers(1, 7), st.sampled_from([np.float32, np.float64]))
def test_what_is_flattened_comes_back(shapes, n_servers, dtype):
    arrays = numbered(shapes, dtype)
    layout = Layout.of(arrays, n_servers)
    found = layout.unflatten(layout.flatten(arrays))
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == dtype
        assert_array_equal(found[name], array)


def test_even_ranges_where_rows_are_small():
    layout = Layout.of({"a": np.zeros(1000), "b": np.zeros((100, 10))}, 4)
    assert np.diff(layout.cuts).tolist() == [500] * 4


def test_a_layout_of_any_size_is_made_without_its_numbers():
    rows = np.broadcast_to(0.0, (10**12, 3))
    assert Layout.of({"w": rows}, 4).cuts == (0, 75 * 10**10, 15 * 10**11, 225 * 10**10, 3 * 10**12)


@given(st.data())
def test_each_row_is_located_once(data):
    layout = Layout.of(numbered({"a": (3,), "w": (data.draw(st.integers(1, 20)), 3), "b": ()}), 4)
    n_rows = layout.field("w").n_rows
    rows = np.array(data.draw(st.lists(st.integers(0, n_rows - 1), max_size=30)), int)
    positions = []
    for server, own, numbers in layout.locate("w", rows):
        (span,) = [span for span in layout.spans(server) if span.name == "w"]
        assert ((numbers >= 0) & (numbers < span.last - span.first)).all()
        assert_array_equal(numbers + span.first, rows[own])
        positions += own.tolist()
    assert sorted(positions) == list(range(len(rows)))


@given(st.data())
def test_gradients_are_cut_without_loss(data):
    shapes = {"a": (4,), "w": (7, 2), "b": (), "t": (3, 2, 2)}
    layout = Layout.of(numbered(shapes), data.draw(st.integers(1, 5)))
    gradients, dense = {}, {name: np.zeros(shape) for name, shape in shapes.items()}
    for name in data.draw(st.lists(st.sampled_from(sorted(shapes)), unique=True)):
        if shapes[name] and data.draw(st.booleans()):
            rows = np.array(data.draw(st.lists(st.integers(0, shapes[name][0] - 1), max_size=9)), int)
            values = np.arange(1.0, 1 + rows.size * dense[name][0].size).reshape(len(rows), *shapes[name][1:])
            gradients[name] = SparseRows(rows, values)
            np.add.at(dense[name], rows, values)
        else:
            gradients[name] = dense[name] = numbered({name: shapes[name]})[name] + 1
    vector = np.zeros(layout.size)
    for server, (part, told) in enumerate(zip(layout.ranges(), cut(layout, gradients), strict=True)):
        if not isinstance(told, tuple):
            vector[part] = told
            continue
        for piece in told:
            (span,) = [span for span in layout.spans(server) if span.name == piece.name]
            view = vector[part][span.slice].reshape(-1, span.width)
            assert len(set(piece.rows)) == len(piece.rows)
            view[piece.rows] += piece.values
    assert_array_equal(vector, layout.flatten(dense))


LAYOUT = Layout.of(numbered({"w": (3, 2), "b": (2,)}), 2)


@pytest.mark.parametrize(
    ("gradients", "message"),
    [
        ({"w": np.zeros((2, 3)), "b": np.zeros(2)}, r"gradients\['w'\]: expected shape \(3, 2\), got \(2, 3\)"),
        ({"w": np.zeros((2, 3))}, r"gradients\['w'\]: expected shape \(3, 2\), got \(2, 3\)"),
        ({"x": np.zeros(2)}, "'x' is no parameter: expected one of 'w', 'b'"),
        ({"x": np.zeros(2), "b": np.zeros(2)}, "'x' is no parameter"),
        ({"w": SparseRows(np.array([0, 3]), np.zeros((2, 2)))}, r"rows\['w'\]: expected rows from 0 to 2, got 0 to 3"),
        ({"w": SparseRows(np.array([-1]), np.zeros((1, 2)))}, r"rows\['w'\]: expected rows from 0 to 2, got -1 to -1"),
        ({"w": SparseRows(np.array([0.5]), np.zeros((1, 2)))}, r"rows\['w'\]: expected a vector of whole numbers"),
        ({"w": SparseRows(np.array([[0]]), np.zeros((1, 2)))}, r"rows\['w'\]: expected a vector of whole numbers"),
        (
            {"w": SparseRows(np.array([0]), np.zeros((2, 2)))},
            r"gradients\['w'\]: expected shape \(1, 2\), got \(2, 2\)",
        ),
        ({"w": np.array("text"), "b": np.zeros(2)}, r"gradients\['w'\]: expected shape"),
        ({"b": np.array(["1", "2"]), "w": np.zeros((3, 2))}, r"gradients\['b'\]: expected real numbers, got <U1"),
        ({"b": np.array([1, 2j])}, r"gradients\['b'\]: expected real numbers, got complex128"),
    ],
)
def test_wrong_gradients(gradients, message):
    with pytest.raises(DataError, match=message):
        cut(LAYOUT, gradients)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_where_gradients_are_not_finite(bad):
    whole = {"b": np.zeros(2), "w": np.array([[0, 1], [2, bad], [np.inf, -np.inf]])}
    assert non_finite(whole) == f"gradients['w']: expected finite numbers, got {bad} at (1, 1)"
    assert non_finite({"w": SparseRows(np.array([2]), np.array([[0, bad]]))}).endswith("at (0, 1)")
    assert non_finite({"w": np.full(3, 1.7e308), "v": np.array([1.7e308, -1.7e308])}) is None


@pytest.mark.parametrize("dtype", [int, bool, complex, object, "U3"])
def test_parameters_are_floats(dtype):
    with pytest.raises(DataError, match=r"params\['w'\]: expected an array of floats, got dtype"):
        Layout.of({"w": np.zeros(2, dtype)}, 1)
