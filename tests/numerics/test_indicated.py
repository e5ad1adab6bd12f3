"""Rows with stand-ins and indicators are the same however they are cut, dense and sparse."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal

from daskml_kit.numerics.missing import NO_GAPS, Gaps, Indicated, indicate

X = np.array([[1.0, np.nan, 0.0], [np.nan, 5.0, 2.0], [0.0, np.nan, 3.0]])
GAPS = Gaps(np.array([0, 1]), np.array([9.0, 8.0]))
WHOLE = np.array([[1.0, 8, 0, 0, 1], [9, 5, 2, 1, 0], [0, 8, 3, 0, 1]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_by_slices_and_numbers(dtype):
    rows = Indicated(X.astype(dtype), GAPS)
    assert (rows.shape, rows.dtype) == ((3, 5), dtype)
    assert_array_equal(rows[1:], WHOLE[1:])
    assert rows[1:].dtype == dtype
    chosen = rows[np.array([2, 0])]
    assert isinstance(chosen, Indicated)
    assert_array_equal(chosen[:], WHOLE[[2, 0]])
    assert_array_equal(np.asarray(rows), WHOLE)


def test_sparse_rows_are_the_dense_ones_and_nothing_is_written_to():
    stored = sp.csr_array(X)
    before = stored.data.copy()
    assert_array_equal(indicate(stored, GAPS).toarray(), WHOLE)
    assert_array_equal(stored.data, before)


def test_columns_that_were_whole_keep_what_is_missing_now():
    gaps = Gaps(np.array([1]), np.array([8.0]))
    for rows in (X, sp.csr_array(X)):
        found = indicate(rows, gaps)[:]
        assert np.isnan(found.toarray() if sp.issparse(found) else found).sum() == 1


def test_whole_numbers_become_floats():
    rows = Indicated(np.arange(4).reshape(2, 2), NO_GAPS)
    assert rows[:].dtype == rows.dtype == np.float64
