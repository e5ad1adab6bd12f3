"""How many rows of each class, and which groups, a part of the data gets."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np

from daskml_kit.typing import Array


def dealt(counts: Array, n_folds: int) -> Array:
    """Return the rows of each class (n_classes, n_folds) when the sorted rows are dealt to the folds in turn.

    Parameters
    ----------
    counts : array of shape (n_classes,)
        Rows of each class, in the order in which the classes are dealt.
    n_folds : int

    Examples
    --------
    >>> dealt(np.array([3, 2]), 2)
    array([[2, 1],
           [1, 1]])
    """
    edges = np.concatenate([[0], np.cumsum(counts)])
    dealt_before = (edges[:, None] - np.arange(n_folds) + n_folds - 1) // n_folds
    return np.diff(dealt_before, axis=0)


def proportional(counts: Array, n_drawn: int, rng: np.random.Generator) -> Array:
    """Return how many of ``n_drawn`` rows each class gives: its share, by largest remainder, ties at random.

    Parameters
    ----------
    counts : array of shape (n_classes,)
    n_drawn : int
        At most the sum of ``counts``.
    rng : Generator

    Examples
    --------
    >>> proportional(np.array([5, 2]), 4, np.random.default_rng(0))
    array([3, 1])
    """
    shares = counts.astype(object) * n_drawn  # integers of any size: large data must not overflow
    total = int(counts.sum())
    whole, rest = (shares // total).astype(np.int64), (shares % total).astype(np.float64)
    most = np.lexsort((rng.random(len(counts)), -rest))
    whole[most[: n_drawn - int(whole.sum())]] += 1
    return whole


def lightest_first(sizes: Array, n_folds: int) -> Array:
    """Return the fold of each group: the largest group first, each to the fold that has the fewest rows.

    Examples
    --------
    >>> lightest_first(np.array([1, 5, 3, 2]), 2)
    array([0, 0, 1, 1])
    """
    folds = np.empty(len(sizes), np.int64)
    loads = [(0, fold) for fold in range(n_folds)]
    for group in np.argsort(sizes, kind="stable")[::-1]:
        rows, fold = loads[0]
        folds[group] = fold
        heapq.heapreplace(loads, (rows + int(sizes[group]), fold))
    return folds


def most_alike(counts: Array, n_folds: int, order: Sequence[int] | Array) -> Array:
    """Return the fold of each group such that the folds have classes alike; those most unlike are placed first.

    Each group goes to the fold where it leaves the least spread between the folds' shares of the classes, and among
    equals to the fold with the fewest rows.

    Parameters
    ----------
    counts : array of shape (n_groups, n_classes)
        Rows of each class in each group.
    n_folds : int
    order : sequence of int
        Which of equally spread groups is placed first.
    """
    counts = counts.astype(np.float64)
    totals, table = counts.sum(axis=0), np.zeros((n_folds, counts.shape[1]))
    folds, every = np.empty(len(counts), np.int64), np.arange(n_folds)
    order = np.asarray(order)
    for group in order[np.argsort(-np.std(counts[order], axis=1), kind="stable")]:
        tried = np.repeat(table[None], n_folds, axis=0)
        tried[every, every] += counts[group]
        spreads = np.std(tried / totals, axis=1).mean(axis=1)
        folds[group] = best = _least(spreads.tolist(), table.sum(axis=1).tolist())
        table[best] += counts[group]
    return folds


def _least(spreads: Sequence[float], rows: Sequence[float]) -> int:
    best = 0
    for fold in range(1, len(spreads)):
        close = abs(spreads[fold] - spreads[best]) <= 1e-8 + 1e-5 * abs(spreads[best])
        if spreads[fold] < spreads[best] or (close and rows[fold] < rows[best]):
            best = fold
    return best
