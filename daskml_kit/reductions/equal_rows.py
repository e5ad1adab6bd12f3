"""Equal rows of categories, merged into weighted ones: the same sums of a loss over fewer rows."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from daskml_kit.data.block import Block
from daskml_kit.data.coded import codes_of
from daskml_kit.numerics.csr import has_many_codes
from daskml_kit.reductions.reduction import Delegate
from daskml_kit.typing import Array

REPEATS = 4
"""Rows that are equal on the average, from which merging them pays: it takes the time of two or three passes."""
SAMPLED_ROWS, SAMPLED_SHARE = 2**15, 1 / 16
"""Rows of a block that tell how many are equal: so many, or the share of it that is more."""

_kept: dict[tuple[int, int | None], _Merged] = {}
"""Blocks that `merged_rows` has made of codes that are still in memory, by these and the powers of targets.

Each pass of a fit reads the same codes; targets that came from another worker are copied for each pass.
"""


def merged_rows(block: Block, powers: int | None = None) -> Block:
    """Return a block in which rows that are equal are one, with the sum of their weights.

    It is the block itself where X has other columns than categories, where it is small, or where less than half of the
    rows would go. The first rows of their kind come in their order, so the same block gives the same bits.

    Parameters
    ----------
    block : Block
        What is made of one whose arrays stay in memory is kept as long as they do.
    powers : int, optional
        Up to which power of the target a loss is a polynomial, see `daskml_kit.numerics.losses.target_powers`. Rows are
        then equal whatever their targets: with 1 they get the mean of these, and with 2 two rows the mean less and plus
        the deviation, each with half of the weight. By default rows with other targets are others.

    Examples
    --------
    >>> from daskml_kit.data.coded import coded
    >>> import scipy.sparse as sp
    >>> codes = np.tile(np.arange(2, dtype=np.uint16), 200_000)[:, None]
    >>> X = coded(sp.csr_array, codes, np.empty((400_000, 0)), np.empty(0, np.intp), 2, np.array([[0, 2]]))
    >>> merged = merged_rows(Block(X, np.arange(400_000) % 4), powers=1)
    >>> merged.X.toarray().tolist(), merged.y.tolist(), merged.weight.tolist()
    ([[1.0, 0.0], [0.0, 1.0]], [1.0, 2.0], [200000.0, 200000.0])
    """
    own = _only_codes(block.X)
    if own is None:
        return block
    key, others = (id(own.codes), powers), (block.y, block.weight, block.fold)
    known = _kept.get(key)
    if known is None or known.codes() is not own.codes or not all(map(_same, known.others, others)):
        known = _Merged(weakref.ref(own.codes, _Forgetting(key)), others, _merge(block, own, powers))
        _kept[key] = known
    return block if known.block is None else known.block


def _same(a: Array | None, b: Array | None) -> bool:
    return a is b or (a is not None and b is not None and np.array_equal(a, b))


class _Merged(NamedTuple):
    """A block whose equal rows are one, None where too few are equal, and what it was made of."""

    codes: weakref.ref[Any]
    others: tuple[Array | None, ...]
    block: Block | None


class _Forgetting:
    """Callback of weak references: what was made of an array goes with it."""

    def __init__(self, key: tuple[int, int | None]) -> None:
        self.key, self.kept = key, _kept  # of a module that ends, names are gone before arrays

    def __call__(self, reference: Any) -> None:
        known = _kept.get(self.key)
        if known is not None and known.codes is reference:  # else another array has its place in memory by now
            _kept.pop(self.key, None)


def count_distinct(block: Block, *, by_target: bool) -> float:
    """Return about how many distinct rows a block has, by a sample; all of them where `merged_rows` would merge none.

    The larger one of two estimates: GEE (Charikar, Chaudhuri, Motwani and Narasayya 2000) knows no bound but that of
    sampling, and Chao's (1984) sees early that nearly all rows are distinct.
    """
    own = _only_codes(block.X)
    if own is None:
        return float(block.n_rows)
    n_rows = block.n_rows
    step = max(n_rows // max(SAMPLED_ROWS, int(n_rows * SAMPLED_SHARE)), 1)
    codes = own.codes[::step]
    labels = [pd.factorize(block.y[::step])[0]] if by_target and block.y is not None else []
    extra = _as_integers(labels, len(codes))
    ids, first = _number(codes, extra, len(codes))
    counts = np.bincount(ids, minlength=len(first))
    if step == 1:
        return float(len(counts))
    once, twice = int((counts == 1).sum()), int((counts == 2).sum())
    gee = np.sqrt(n_rows / len(codes)) * once + len(counts) - once
    chao = len(counts) + once * (once - 1) / (2 * (twice + 1))
    return float(min(max(gee, chao), n_rows))


@dataclass(frozen=True, eq=False)
class OfMergedRows(Delegate):
    """Ask about blocks whose equal rows are one; see `merged_rows`."""

    powers: int | None = None

    def view(self, block: Block) -> Block:
        return merged_rows(block, self.powers)


def _only_codes(X: Any) -> Any:
    """Return the codes of a large matrix of categories alone, None of any other."""
    own = codes_of(X) if has_many_codes(X) else None
    return None if own is None or own.dense.shape[1] else own


def _merge(block: Block, own: Any, powers: int | None) -> Block | None:
    y: Any = block.y
    told_apart = [part for part in (y if powers is None else None, block.fold) if part is not None]
    most = block.n_rows // (2 if powers != 2 else 4)
    ids, first = _number(own.codes, _as_integers(told_apart, block.n_rows), most)
    if len(first) > most:
        return None
    weight = np.bincount(ids, block.weight, minlength=len(first)).astype(np.float64)
    fold = None if block.fold is None else block.fold[first]
    codes = own.codes[first]
    if y is not None:
        y = y[first] if powers is None else _mean(ids, y, block.weight, weight)
    if y is not None and powers == 2:
        apart = np.sqrt(_mean(ids, np.square(block.y - y[ids]), block.weight, weight))
        y, weight = np.concatenate([y - apart, y + apart]), np.concatenate([weight, weight]) / 2
        codes, fold = np.concatenate([codes, codes]), None if fold is None else np.concatenate([fold, fold])
    X = own._replace(codes=codes, dense=np.empty((len(codes), 0), own.dense.dtype)).matrix()
    return Block(X, y, weight, block.index, fold)


def _number(codes: Array, extra: Array, most: int) -> tuple[Array, Array]:
    from daskml_kit.numerics import compiled  # Numba takes a second to import: only where much is to do

    numbered: tuple[Array, Array] = compiled.number_rows(codes, extra, most)
    return numbered


def _as_integers(parts: list[Any], n_rows: int) -> Array:
    """Return columns of numbers as integers of which those that are not equal differ."""
    columns = [part[:, None] if part.ndim == 1 else part for part in parts]
    if not columns:
        return np.empty((n_rows, 0), np.int64)
    whole = [c.astype(np.float64).view(np.int64) if c.dtype.kind == "f" else c.astype(np.int64) for c in columns]
    return np.concatenate(whole, axis=1)


def _mean(ids: Array, values: Array, weight: Array | None, total: Array) -> Array:
    """Return the weighted mean of the values (n_rows,) or (n_rows, n_outputs) of each id; 1 where none has a weight."""
    columns = values.reshape(len(values), -1).T
    sums = [np.bincount(ids, column if weight is None else column * weight, minlength=len(total)) for column in columns]
    # a row without weight counts nowhere, but is to lie in the domain of all losses
    means = np.where(total > 0, np.stack(sums) / np.where(total > 0, total, 1), 1.0)
    return means[0] if values.ndim == 1 else means.T
