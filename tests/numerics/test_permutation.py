"""Every order of rows is as likely as any other, as far as counting can tell, and each is a bijection."""

from __future__ import annotations

from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from daskml_kit.numerics.permutation import Permutation, key_of

KEYS = st.integers(0, 2**64 - 1)


def assert_uniform(counts):
    """By a chi-square test: keys are fixed, so it fails for good or never."""
    counts = np.ravel(counts)
    statistic = ((counts - counts.mean()) ** 2).sum() / counts.mean()
    assert chi2.sf(statistic, counts.size - 1) > 1e-3
    assert chi2.cdf(statistic, counts.size - 1) > 1e-3, "more even than chance"


def orders(n, n_keys, *key):
    return np.array([Permutation(n, key_of(*key, seed)).places(0, n) for seed in range(n_keys)])


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 15, 16, 17, 1000, 65535, 65536, 65537, 300_000])
@pytest.mark.parametrize("key", [0, 2**63])
def test_every_place_is_taken_once(n, key):
    places = Permutation(n, key).places(0, n)
    assert places.dtype == np.int64
    np.testing.assert_array_equal(np.sort(places), np.arange(n))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 3000), KEYS)
def test_every_place_is_taken_once_for_any_size(n, key):
    np.testing.assert_array_equal(np.sort(Permutation(n, key).places(0, n)), np.arange(n))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 70_000), KEYS, st.lists(st.floats(0, 1), max_size=5))
def test_any_ranges_make_the_same_order(n, key, cuts):
    order = Permutation(n, key)
    edges = [0, *sorted(int(cut * n) for cut in cuts), n]
    ranges = [order.places(a, b) for a, b in pairwise(edges)]
    np.testing.assert_array_equal(np.concatenate(ranges), order.places(0, n))
    np.testing.assert_array_equal(order.of(np.arange(n)[::-1]), order.places(0, n)[::-1])


@settings(max_examples=30, deadline=None)
@given(st.integers(2**20, 2**50), KEYS)
def test_places_of_far_rows_are_different_and_inside(n, key):
    places = Permutation(n, key).places(n - 1000, n)
    assert len(np.unique(places)) == 1000
    assert places.min() >= 0
    assert places.max() < n


@pytest.mark.parametrize("n", [2, 3, 4])
def test_all_orders_of_few_rows_are_as_likely(n):
    every = {order: i for i, order in enumerate(permutations(range(n)))}
    found = [every[tuple(order)] for order in orders(n, 100 * len(every), 1).tolist()]
    assert_uniform(np.bincount(found, minlength=len(every)))


@pytest.mark.parametrize("n", [7, 50])
def test_each_row_comes_to_each_place_as_often(n):
    found = orders(n, 2000, 2)
    counts = np.array([np.bincount(found[:, row], minlength=n) for row in range(n)])
    # rows and columns of the table have fixed sums, which leaves (n - 1)^2 degrees of freedom
    statistic = ((counts - 2000 / n) ** 2).sum() / (2000 / n)
    assert 1e-3 < chi2.sf(statistic, (n - 1) ** 2) < 1 - 1e-3


@pytest.mark.parametrize("n", [7, 50])
def test_the_distance_of_neighbors_is_uniform(n):
    found = orders(n, 1000, 3)
    apart = (found[:, 1::2] - found[:, 0 : n - n % 2 : 2]) % n
    assert_uniform(np.bincount(apart.ravel(), minlength=n)[1:])


@pytest.mark.parametrize("n", [60_000, 70_000])
def test_pairs_of_neighbors_fall_anywhere(n):
    places = Permutation(n, key_of(4)).places(0, n - n % 2)
    bins = 24
    cells = places * bins // n
    assert_uniform(np.bincount(cells[::2] * bins + cells[1::2], minlength=bins**2))


@pytest.mark.parametrize("n", [60_000, 1_000_000])
def test_blocks_of_the_data_reach_all_blocks_of_the_result(n):
    cells = Permutation(n, key_of(5)).places(0, n) * 16 // n
    table = np.array([np.bincount(part, minlength=16) for part in np.array_split(cells, 16)])
    statistic = ((table - n / 256) ** 2).sum() / (n / 256)
    assert 1e-3 < chi2.sf(statistic, 15 * 15) < 1 - 1e-3


@pytest.mark.parametrize("n", [50, 70_000])
def test_keys_are_independent(n):
    first = np.concatenate([Permutation(n, key).places(0, n) for key in range(0, 40, 2)])
    second = np.concatenate([Permutation(n, key).places(0, n) for key in range(1, 40, 2)])
    table = np.zeros((10, 10), int)
    np.add.at(table, (first * 10 // n, second * 10 // n), 1)
    expected = len(first) / 100
    assert 1e-3 < chi2.sf(((table - expected) ** 2).sum() / expected, 81) < 1 - 1e-3


def test_each_part_changes_the_key():
    keys = [key_of(*parts) for parts in [(0, 0, 1), (0, 1, 0), (1, 0, 0), (1, 1, 0), (1, 0, 1), (2**31, 0, 1)]]
    assert len(set(keys)) == len(keys)


def test_orders_stay_what_they_are():
    assert Permutation(10, key_of(0)).places(0, 10).tolist() == [5, 3, 4, 8, 0, 1, 2, 7, 9, 6]
    assert Permutation(10**9, key_of(0)).places(0, 3).tolist() == [461862042, 275191531, 391902829]
