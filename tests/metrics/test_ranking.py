"""Ranking metrics are those of a loop over users, for ids of any type and pairs in blocks."""

from __future__ import annotations

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest

from daskml_kit.exceptions import DataError
from daskml_kit.metrics import mean_average_precision_at_k, ndcg_at_k, precision_at_k, recall_at_k

RNG = np.random.default_rng(0)
N_USERS, N_ITEMS, K = 30, 25, 5
PAIRS = np.unique(RNG.integers(0, (N_USERS, N_ITEMS), size=(200, 2)), axis=0)
USERS = RNG.permutation(N_USERS)[:20]
PAIRS = PAIRS[PAIRS[:, 0] != USERS[3]]  # who has no relevant item
ITEMS = np.array([RNG.permutation(N_ITEMS)[: K + 2] for _ in USERS])


def precision(hits, n):
    return sum(hits) / len(hits)


def recall(hits, n):
    return sum(hits) / n


def average_precision(hits, n):
    return sum(sum(hits[: r + 1]) / (r + 1) for r in range(len(hits)) if hits[r]) / min(n, len(hits))


def gain(hits, n):
    discounts = [1 / np.log2(r + 2) for r in range(len(hits))]
    return sum(d for d, hit in zip(discounts, hits, strict=True) if hit) / sum(discounts[:n])


METRICS = {
    precision_at_k: precision,
    recall_at_k: recall,
    mean_average_precision_at_k: average_precision,
    ndcg_at_k: gain,
}
BLOCKS = {
    "memory": lambda pairs: pairs,
    "frame in memory": lambda pairs: pd.DataFrame(pairs),
    "array": lambda pairs: da.from_array(pairs, chunks=((50, 0, len(pairs) - 50), 1)),
    "frame": lambda pairs: dd.from_pandas(pd.DataFrame(pairs, columns=["u", "i"]), npartitions=3),
}


def expected_of(metric, k):
    values = []
    for user, items in zip(USERS, ITEMS, strict=True):
        relevant = set(PAIRS[PAIRS[:, 0] == user, 1])
        if relevant:
            values.append(METRICS[metric]([item in relevant for item in items[:k]], len(relevant)))
    return np.mean(values)


@pytest.mark.parametrize("blocks", BLOCKS)
@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.__name__)
def test_the_values_are_those_of_a_loop(metric, blocks):
    for k in (1, K):
        assert metric(BLOCKS[blocks](PAIRS), USERS, ITEMS, k=k) == pytest.approx(expected_of(metric, k))
    named = np.array([f"n{i}" for i in range(N_USERS)])
    as_text = BLOCKS[blocks](named[PAIRS].astype(object))
    assert metric(as_text, named[USERS], named[ITEMS], k=K) == pytest.approx(expected_of(metric, K))


def test_what_stands_for_no_item_is_no_hit():
    pairs = np.array([[0, 1], [0, 2]])
    assert precision_at_k(pairs, [0], [[1, -1]], k=2) == 0.5
    words = np.array([["u", "a"], ["u", "b"]], object)
    assert precision_at_k(words, ["u"], np.array([["a", None]], object), k=2) == 0.5


def test_bad_input_is_named():
    for users, items, k, message in (
        (USERS, ITEMS, 99, "items: expected the items of 20 users, at least k=99 each"),
        (USERS, ITEMS[:3], 2, "items: expected the items of 20 users"),
        (USERS[:1].repeat(20), ITEMS, 2, "users: expected each user once"),
        (ITEMS, ITEMS, 2, "users: expected a vector"),
        (USERS + 100, ITEMS, 2, "y_true: expected relevant items of some of the users, got none"),
        (USERS, ITEMS, 0, "k: expected an integer"),
    ):
        with pytest.raises(ValueError, match=message):
            ndcg_at_k(PAIRS, users, items, k=k)
    for pairs in (PAIRS[:, 0], ITEMS, da.from_array(ITEMS), da.from_array(PAIRS[:, 0])):
        with pytest.raises(DataError, match="y_true: expected two columns"):
            recall_at_k(pairs, USERS, ITEMS, k=2)
