"""Matrices of codes: SciPy's in all they are asked, and the same numbers in sums over codes as over CSR."""

from __future__ import annotations

import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn.linear_model
import sklearn.model_selection
from distributed.protocol import deserialize, serialize
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from daskml_kit.compose import make_column_transformer
from daskml_kit.data.block import Block, as_block
from daskml_kit.data.coded import CodedRows, code_type, coded, codes_of, recognized, side_by_side, used_columns
from daskml_kit.data.collections import join, size_of
from daskml_kit.linear_model import LogisticRegression, solve
from daskml_kit.model_selection import GridSearchCV
from daskml_kit.numerics import csr, encoding
from daskml_kit.numerics.arrow import Arrow
from daskml_kit.numerics.csr import row_slice, sandwich, take_columns, times, transposed_times
from daskml_kit.numerics.losses import Logistic, Softmax
from daskml_kit.numerics.targets import Codes, OneVsRest
from daskml_kit.preprocessing import OneHotEncoder as KitEncoder
from daskml_kit.preprocessing import StandardScaler as KitScaler
from daskml_kit.reductions.gram import Gram
from daskml_kit.reductions.loss import LossAt
from daskml_kit.reductions.summary import Summary

LEVELS = (3, 5, 2)


def make(n_rows=40, dense=2, absent=True, dtype=np.float64, kind=sp.csr_array, seed=0):
    """Return columns of categories around numbers, some of them zero, as a matrix of codes and as a dense one."""
    draw = np.random.default_rng(seed)
    parts = []
    for levels in LEVELS:
        codes = draw.integers(0, levels + absent, (n_rows, 1)).astype(np.uint16)
        parts.append(
            coded(kind, codes, np.empty((n_rows, 0), dtype), np.empty(0, np.intp), levels, np.array([[0, levels]]))
        )
    numbers = draw.normal(size=(n_rows, dense)).astype(dtype) * (draw.random((n_rows, dense)) > 0.2)
    parts[1:1] = [numbers[:, :1], numbers[:, 1:]]
    X = side_by_side(parts, kind, np.dtype(dtype))
    dense_parts = [p if isinstance(p, np.ndarray) else np.eye(p.shape[1] + 1, p.shape[1])[p.codes[:, 0]] for p in parts]
    return X, np.hstack(dense_parts).astype(dtype)


@pytest.mark.parametrize("kind", [sp.csr_array, sp.csr_matrix])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_looks_like_scipys_matrix(kind, dtype):
    X, dense = make(dtype=dtype, kind=kind)
    assert isinstance(X, kind)
    assert sp.issparse(X)
    assert X.shape == dense.shape
    assert X.dtype == dtype
    assert X.nnz == np.count_nonzero(dense)
    expanded = X.copy()
    np.testing.assert_array_equal(expanded.toarray(), dense)
    expected = kind(dense)
    for name in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(expanded, name), getattr(expected, name))
    assert type(expanded) is kind
    assert expanded.has_canonical_format
    assert isinstance(X, CodedRows), "a copy has been expanded, not the matrix"


def test_written_arrays_are_kept():
    X, dense = make()
    X.data *= 2
    np.testing.assert_array_equal(X.toarray(), 2 * dense)
    X, dense = make()
    X.data = np.full(X.nnz, 3.0)
    np.testing.assert_array_equal(X.toarray(), 3.0 * (dense != 0))


@pytest.mark.parametrize("kind", [sp.csr_array, sp.csr_matrix])
def test_arithmetic_is_scipys(kind):
    plain = kind(make()[1])
    operations = [
        lambda a, b: a + b,
        lambda a, b: a - 2 * b,
        lambda a, b: a.maximum(b),
        lambda a, b: a != b,
        lambda a, b: a.multiply(b),
        lambda a, b: a.T @ b,
        lambda a, b: sp.vstack([a, b]),
        lambda a, b: a[:, 2:5],
    ]
    for operation in operations:
        found = operation(make(kind=kind)[0], make(kind=kind, seed=0)[0])
        np.testing.assert_array_equal(found.toarray(), operation(plain, plain).toarray())
        assert not isinstance(found, CodedRows)


def test_a_matrix_that_another_thread_expands():
    blocks = [make(300, kind=kind)[0] for kind in (sp.csr_array, sp.csr_matrix) for _ in range(30)]
    before, found = sys.getswitchinterval(), []
    sys.setswitchinterval(1e-6)

    def use(X):
        found.extend((X[:9].shape, X.astype(np.float32).dtype, pickle.loads(pickle.dumps(X)).shape, X.copy().nnz))

    try:
        with ThreadPoolExecutor(4) as pool:
            done = [pool.submit(work, X) for X in blocks for work in (use, lambda X: X.indptr, use)]
            assert [future.exception() for future in done if future.exception() is not None] == []
    finally:
        sys.setswitchinterval(before)
    assert len(found) == 8 * len(blocks)


@pytest.mark.parametrize(("first", "last"), [(40_000, 40_000), (65_534, 3), (3, 65_534), (65_536, 2)])
def test_columns_beyond_what_two_bytes_count(first, last):
    n_rows = 2_000
    codes = [np.linspace(0, levels - 1, n_rows).astype(np.int64)[:, None] for levels in (first, last)]
    parts = [
        coded(
            sp.csr_array,
            own.astype(code_type(levels)),
            np.empty((n_rows, 0)),
            np.empty(0, np.intp),
            levels,
            np.array([[0, levels]]),
        )
        for own, levels in zip(codes, (first, last), strict=True)
    ]
    X = side_by_side([parts[0], np.ones((n_rows, 1)), parts[1]], sp.csr_array, np.dtype(float))
    indices = X.copy().indices.reshape(n_rows, 3)
    np.testing.assert_array_equal(indices, np.hstack([codes[0], np.full((n_rows, 1), first), first + 1 + codes[1]]))


@pytest.mark.parametrize("kind", [sp.csr_array, sp.csr_matrix])
def test_travels_as_codes(kind):
    X, dense = make(kind=kind)
    for copy in (pickle.loads(pickle.dumps(X)), deserialize(*serialize(X))):
        assert isinstance(copy, CodedRows)
        assert isinstance(copy, kind)
        np.testing.assert_array_equal(copy.toarray(), dense)
    assert size_of(X) == X.codes.nbytes + X.dense.nbytes


def test_rows_and_types_stay_codes():
    X, dense = make()
    for rows in (slice(3, 9), np.array([5, 2, 2]), dense[:, 0] > 0):
        assert isinstance(X[rows], CodedRows)
        np.testing.assert_array_equal(X[rows].toarray(), dense[rows])
    single = X.astype(np.float32)
    assert isinstance(single, CodedRows)
    assert single.dtype == np.float32
    np.testing.assert_array_equal(X.copy()[2:4, 1:].toarray(), dense[2:4, 1:])


def test_unaligned_codes_off_the_wire_are_aligned():
    X, dense = make()
    raw = np.zeros(X.codes.nbytes + 1, np.uint8)[1:]
    raw[:] = X.codes.view(np.uint8).ravel()
    X = codes_of(X)._replace(codes=raw.view(np.uint16).reshape(X.codes.shape)).matrix()
    assert not X.codes.flags.aligned
    found = as_block(X).X
    assert found.codes.flags.aligned
    np.testing.assert_array_equal(found.toarray(), dense)


@pytest.mark.parametrize("absent", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products_are_those_of_dense_rows(dtype, absent):
    X, dense = make(dtype=dtype, absent=absent)
    draw = np.random.default_rng(1)
    weight = draw.random(len(dense)).astype(dtype)
    close = {"rtol": 1e-5, "atol": 1e-5} if dtype == np.float32 else {"rtol": 1e-12, "atol": 1e-12}
    for width in (1, 3):
        matrix, other = (draw.normal(size=(n, width)).astype(dtype) for n in (dense.shape[1], len(dense)))
        np.testing.assert_allclose(times(X, matrix), dense @ matrix, **close)
        np.testing.assert_allclose(transposed_times(X, other), dense.T @ other, **close)
    np.testing.assert_allclose(transposed_times(X, weight), dense.T @ weight, **close)
    np.testing.assert_allclose(sandwich(X, weight), (dense * weight[:, None]).T @ dense, **close)
    np.testing.assert_array_equal(row_slice(X, slice(4, 7)).toarray(), dense[4:7])


def test_relabeled_columns():
    X, dense = make()
    few = X[np.flatnonzero((dense[:, 0] == 0) & (dense[:, 6] == 0))]
    columns = np.delete(np.arange(dense.shape[1]), [0, 6])
    expected = few.copy().toarray()[:, columns]
    np.testing.assert_array_equal(take_columns(few, columns).toarray(), expected)
    assert (used_columns(codes_of(few)) <= ~np.isin(np.arange(dense.shape[1]), [0, 6])).all()


@pytest.fixture(params=["compiled", "SciPy"])
def loops(request, monkeypatch):
    monkeypatch.setattr(csr, "MANY_CODED_PAIRS", 0 if request.param == "compiled" else np.inf)


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize("labels", [2, 3])
@pytest.mark.parametrize("order", [1, 2])
def test_losses_are_those_of_csr(order, labels):
    X, dense = make(200)
    draw = np.random.default_rng(2)
    y, weight = draw.integers(0, labels, 200), draw.random(200)
    k = 1 if labels == 2 else labels
    loss, target = (Logistic(), OneVsRest(np.array([1]))) if k == 1 else (Softmax(k), Codes(np.arange(k)))
    ask = LossAt(loss, target, draw.normal(size=(1, k, dense.shape[1] + 1)), order)
    both = [ask.chunk(Block(rows, y, weight)) for rows in (X, sp.csr_array(dense))]
    assert isinstance(X, CodedRows)
    for ours, theirs in zip(*both, strict=True):
        if ours is not None:
            np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-11)


@pytest.mark.usefixtures("loops")
def test_gram_and_summary_are_those_of_csr():
    X, dense = make(200)
    y = dense[:, 3] - dense[:, 0]
    ours, theirs = (Gram().chunk(Block(rows, y)) for rows in (X, sp.csr_array(dense)))
    np.testing.assert_allclose(ours.product, theirs.product, rtol=1e-11, atol=1e-11)
    summary = Summary(labeled=False, sample_rows=10).chunk(Block(X, y))
    plain = Summary(labeled=False, sample_rows=10).chunk(Block(sp.csr_array(dense), y))
    assert isinstance(X, CodedRows)
    np.testing.assert_array_equal(summary.sample_X.toarray(), plain.sample_X.toarray())
    assert summary.used is not None
    assert (summary.used >= plain.used).all()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.data())
def test_encoded_frames_are_scikit_learns(data):
    n_rows = data.draw(st.integers(1, 30))
    levels = st.sampled_from(["a", "b", "c", None])
    frame = pd.DataFrame(
        {
            "one": pd.Categorical([data.draw(levels) for _ in range(n_rows)], ["c", "a", "b"]),
            "number": [float(data.draw(st.integers(-2, 2))) for _ in range(n_rows)],
            "two": pd.Categorical([data.draw(st.sampled_from("xyz")) for _ in range(n_rows)]),
        }
    )
    options = data.draw(
        st.sampled_from(
            [{}, {"drop": "first"}, {"min_frequency": 3, "handle_unknown": "ignore"}, {"handle_unknown": "ignore"}]
        )
    )
    seen = frame if "handle_unknown" not in options else frame.iloc[: n_rows // 2 + 1]
    parts = [("a", OneHotEncoder(**options), ["one"]), ("b", StandardScaler(), ["number"])]
    parts.append(("c", OneHotEncoder(**options), ["two"]))
    model = ColumnTransformer(parts, sparse_threshold=1.0).fit(seen)
    found = encoding.transform_rows(model, frame)
    expected = model.transform(frame)
    assert sp.issparse(found) == sp.issparse(expected)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(*(rows.toarray() if sp.issparse(rows) else rows for rows in (found, expected)))


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize("expanded", [False, True])
def test_hessians_with_a_diagonal_block_are_the_same(expanded):
    X, dense = make(200)
    span = tuple(int(edge) for edge in X.spans[1])
    assert (dense[:, slice(*span)].sum(axis=1) <= 1).all()
    y, weight = np.arange(200) % 2, np.random.default_rng(3).random(200)
    if expanded:
        X.data.sum()
    w = np.random.default_rng(4).normal(size=(2, 1, dense.shape[1] + 1))
    ask = LossAt(Logistic(), OneVsRest(np.array([1, 1])), w, 2)
    whole, parts = (part.chunk(Block(X, y, weight)) for part in (ask, replace(ask, exclusive=span)))
    strength = np.random.default_rng(5).random(w.shape[2])
    for expected, flat in zip(whole.hess, parts.hess, strict=True):
        hess = Arrow.unpacked(flat, w.shape[2], *span)
        np.testing.assert_allclose(hess @ strength, expected @ strength, atol=1e-12)
        np.testing.assert_allclose(hess.mean_of_diagonal(), np.diag(expected).mean())
        np.testing.assert_allclose(
            hess.with_ridge(strength).solve(strength), np.linalg.solve(expected + np.diag(strength), strength)
        )


def test_one_hot_columns_of_others_are_recognized():
    draw = np.random.default_rng(6)
    parts = [np.eye(levels)[draw.integers(0, levels, 40)] for levels in LEVELS]
    dense = np.hstack([parts[0], draw.normal(size=(40, 1)), *parts[1:], draw.normal(size=(40, 2))])
    plain = sp.csr_array(dense)
    blocks = recognized([plain[:15], plain[15:15], plain[15:]])
    for found, expected in zip(blocks, (dense[:15], dense[:0], dense[15:]), strict=True):
        assert isinstance(found, CodedRows)
        assert found.spans.tolist() == [[0, 3], [4, 9], [9, 11]]
        np.testing.assert_array_equal(found.toarray(), expected)
    overlapping, uneven = plain[:, ::2], sp.csr_array(np.where(np.arange(40)[:, None] == 7, 0, dense))
    for other in (plain * 2.0, overlapping, uneven, plain[:0], sp.csr_array(dense[:, 3:4])):
        assert recognized([other])[0] is other


def test_rows_below_each_other_stay_codes():
    X, dense = make()
    found = join([X[:9], X[9:]])
    assert isinstance(found, CodedRows)
    np.testing.assert_array_equal(found.toarray(), dense)


@pytest.mark.parametrize("n_rows", [3_000, 120_000])
def test_a_category_of_many_levels_is_one_of_all(n_rows):
    draw = np.random.default_rng(7)
    frame = pd.DataFrame(
        {
            "many": pd.Categorical.from_codes(
                draw.permutation(np.resize(np.arange(1_500), n_rows)), [f"level {i}" for i in range(1_500)]
            ),
            "few": pd.Categorical.from_codes(draw.integers(0, 4, n_rows), list("abcd")),
            "number": draw.normal(size=n_rows),
        }
    )
    y = (draw.normal(size=n_rows) + frame["number"] + draw.normal(size=1_500)[frame["many"].cat.codes] > 0).astype(int)
    cuts = [slice(0, n_rows - 500), slice(n_rows - 500, n_rows - 100), slice(n_rows - 100, n_rows)]  # small ones, too
    blocks, targets = ([dd.from_pandas(part.iloc[c], npartitions=1) for c in cuts] for part in (frame, y))
    encode = make_column_transformer((KitEncoder(), ["many", "few"]), ("passthrough", ["number"]))
    X = encode.fit_transform(dd.concat(blocks))
    model = LogisticRegression(tol=1e-8).fit(X, dd.concat(targets))
    assert "of columns 0 to 1499 no row has two" in model.profile_.solver
    assert model.profile_.passes < 20
    rows = sp.csr_matrix(encode.to_sklearn().transform(frame))
    expected = sklearn.linear_model.LogisticRegression(tol=1e-10, solver="newton-cg", max_iter=500).fit(rows, y)
    np.testing.assert_allclose(model.coef_, expected.coef_, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("many", [False, True], ids=["few categories", "many categories"])
def test_fits_on_the_same_encoded_rows_start_where_the_last_has_ended(many, monkeypatch):
    monkeypatch.setattr(solve, "DENSE_COEFFICIENTS", 20 if many else 1_200)
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"plane": draw.zipf(1.5, 4_000) % 40, "month": draw.integers(0, 4, 4_000)}).astype("category")
    frame["delay"] = draw.normal(size=4_000)
    raw = draw.normal(size=40)[frame["plane"].astype(int)] + frame["delay"]
    target = (raw + draw.logistic(size=4_000) > 0).astype(int)
    grid = {"logisticregression__C": np.logspace(-3, 2, 6)}

    def search(kind, model, encode, scale, X, y):
        columns = make_column_transformer((encode(handle_unknown="ignore"), ["plane", "month"]), (scale(), ["delay"]))
        options = {"cv": sklearn.model_selection.KFold(3), "scoring": "neg_log_loss", "refit": False}
        return kind(make_pipeline(columns, model), grid, **options).fit(X, y)

    parts = dd.from_pandas(frame, npartitions=3), dd.from_pandas(target, npartitions=3)
    known, starts = [], []
    in_metric, plan = solve._in_metric, solve._plan
    monkeypatch.setattr(solve, "_in_metric", lambda *given: known.append(given) or in_metric(*given))
    monkeypatch.setattr(solve, "_plan", lambda *given: starts.append(bool(given[-1])) or plan(*given))
    ours = search(GridSearchCV, LogisticRegression(tol=1e-8), KitEncoder, KitScaler, *parts)
    theirs = search(
        sklearn.model_selection.GridSearchCV,
        sklearn.linear_model.LogisticRegression(tol=1e-10, max_iter=10_000),
        *(OneHotEncoder, StandardScaler, frame, target),
    )
    np.testing.assert_allclose(ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"], rtol=1e-6)
    assert sum(starts) == 15  # of 6 penalties on 3 splits, all but the first ones
    assert (len(known) > 7) == many  # in an earlier Hessian, unless that takes many steps
