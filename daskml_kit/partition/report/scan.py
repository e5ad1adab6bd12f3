"""One look at each block: how long and large it is, which classes and keys it has."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial
from typing import Any, NamedTuple

import dask.dataframe as dd
import numpy as np
import pandas as pd
import scipy.sparse as sp
from dask.base import is_dask_collection, tokenize
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph

from daskml_kit.data.align import check_lengths
from daskml_kit.data.indexing import n_rows
from daskml_kit.data.memory import size_of
from daskml_kit.exceptions import DataError
from daskml_kit.partition.keys import Keys
from daskml_kit.partition.report.heavy_hitters import Heavy, heaviest, merged, tally
from daskml_kit.partition.report.inspect import Laid


class Question(NamedTuple):
    """What is asked of a block: where the classes and the keys are, if any are to be counted."""

    labels: Keys | None
    by: Keys | None


def find_keys(name: str, given: Any, collections: dict[str, Any]) -> Keys | None:
    """Return where ``given`` is; a collection of its own is added to ``collections``."""
    if given is None:
        return None
    if isinstance(given, (str, int, tuple)) or (
        isinstance(given, list) and all(isinstance(n, Hashable) for n in given)
    ):
        return _columns(name, given, collections)
    if not hasattr(given, "shape") or not 1 <= len(given.shape) <= 2:
        raise DataError(f"{name}: expected a column name, or a collection of one dimension or two, got {given!r}")
    if name == "labels" and given.shape[1:] not in ((), (1,)):
        raise DataError(f"labels: expected one column, got {given.shape[1]}")
    for part, collection in enumerate(collections.values()):
        if collection is given:
            return Keys(part, None)
    collections[name] = given
    return Keys(len(collections) - 1, None)


def _columns(name: str, given: Any, collections: dict[str, Any]) -> Keys:
    columns = tuple(given) if isinstance(given, list) else (given,)
    if name == "labels" and len(columns) != 1:
        raise DataError(f"labels: expected one column, got {len(columns)}")
    for part, (called, collection) in enumerate(collections.items()):
        if isinstance(collection, (dd.DataFrame, pd.DataFrame)):
            missing = [column for column in columns if column not in collection.columns]
            if missing or not columns:
                have = ", ".join(map(repr, collection.columns))
                raise DataError(f"{name}: expected columns of {called} ({have}), got {', '.join(map(repr, missing))}")
            return Keys(part, columns)
    raise DataError(f"{name}: expected an array or Series beside arrays, got {given!r}; there is no DataFrame given")


def key_names(by: Any, keys: Keys) -> list[Any]:
    """Return what the columns of the keys are called: ``by`` is what the caller gave for them."""
    if keys.columns is not None:
        return list(keys.columns)
    if hasattr(by, "columns"):
        return list(by.columns)
    width = by.shape[1] if len(by.shape) == 2 else 1
    name = getattr(by, "name", None) if isinstance(by, (dd.Series, pd.Series)) else None
    return [name if name is not None else "key"] if width == 1 else [f"key {i}" for i in range(width)]


MAX_CLASSES = 1000
MAX_NUMBERS = 20
"""Distinct floats above which they look like a quantity rather than classes."""
MERGE_WIDTH = 8


class Facts(NamedTuple):
    """What is small of an answer: the rows of the block, its bytes in each collection that was read, its classes."""

    rows: int
    sizes: list[int]
    classes: pd.DataFrame | None


class Answer(NamedTuple):
    """The facts of some blocks, in order, and their most frequent keys, if those were asked for."""

    facts: list[Facts]
    keys: Heavy | None


class Seen(NamedTuple):
    """What is known of all blocks after a look.

    Parameters
    ----------
    lengths : list of int
        Rows of each block.
    sizes : list of list of int
        For each collection the bytes of each block.
    classes : list of DataFrame
        For each block its `tally` of the labels, if they were asked for.
    keys : Heavy, optional
    """

    lengths: list[int]
    sizes: list[list[int]]
    classes: list[pd.DataFrame]
    keys: Heavy | None


def look_at_all(laid: Sequence[Laid], question: Question) -> Seen:
    """Look at each block once, where it lies, if there is anything to find out.

    Only collections of which something is asked or unknown are read. Nothing that is read is kept; the keys are
    merged in a tree.
    """
    asked = {keys.part for keys in question if keys is not None}
    read = [column.lengths is None or column.sizes is None or at in asked for at, column in enumerate(laid)]
    known = next((column.lengths for column in laid if column.lengths is not None), None)
    facts, keys = _read(laid, read, known, question) if any(read) else Answer([], None)
    return Seen(
        known if known is not None else [fact.rows for fact in facts],
        [c.sizes if c.sizes is not None else [fact.sizes[at] for fact in facts] for at, c in enumerate(laid)],
        [fact.classes for fact in facts if fact.classes is not None],
        keys,
    )


def _read(laid: Sequence[Laid], read: Sequence[bool], lengths: list[int] | None, question: Question) -> Answer:
    names = [column.name for column in laid]
    nothing: list[list[Any]] = [[] for _ in laid[0].pieces]
    columns = [column.pieces if wanted else nothing for column, wanted in zip(laid, read, strict=True)]
    blocks = list(zip(*columns, strict=True))
    looks = [partial(look, question, names, i, lengths[i] if lengths else None) for i in range(len(blocks))]
    if not is_dask_collection(laid[0].pieces[0][0]):
        return merge_answers([look_at(block) for look_at, block in zip(looks, blocks, strict=True)])
    needed = [piece for block in blocks for pieces in block for piece in pieces]
    name = f"daskml-look-{tokenize(looks, [piece.key for piece in needed])}"
    layer: dict[Any, Any] = {
        (name, 0, i): (look_at, [[piece.key for piece in pieces] for pieces in block])
        for i, (look_at, block) in enumerate(zip(looks, blocks, strict=True))
    }
    top, level = list(layer), 0
    while len(top) > 1:
        level += 1
        groups = [top[i : i + MERGE_WIDTH] for i in range(0, len(top), MERGE_WIDTH)]
        top = [(name, level, i) for i in range(len(groups))]
        layer.update({key: (merge_answers, group) for key, group in zip(top, groups, strict=True)})
    graph = HighLevelGraph.from_collections(name, layer, dependencies=needed)
    answer: Answer = Delayed(top[0], graph, layer=name).compute()
    return answer


def merge_answers(answers: Sequence[Answer]) -> Answer:
    """Return the answers of neighboring blocks as one."""
    keys = [answer.keys for answer in answers if answer.keys is not None]
    return Answer([fact for answer in answers for fact in answer.facts], merged(keys) if keys else None)


def look(
    question: Question, names: Sequence[str], index: int, length: int | None, pieces: Sequence[Sequence[Any]]
) -> Answer:
    """Return what is asked of block ``index``.

    Parameters
    ----------
    question : Question
    names : sequence of str
        Those of the collections.
    index : int
    length : int, optional
        Rows of the block, where they are known.
    pieces : sequence of sequences
        What the block consists of in each collection, nothing where it is not read.

    Raises
    ------
    DataError
        Where collections differ in length, or labels are no classes.
    """
    first = {name: block[0] for name, block in zip(names, pieces, strict=True) if block}
    rows = n_rows(next(iter(first.values()))) if length is None else length
    check_lengths(list(first), list(first.values()), index, rows)
    sizes = [sum(size_of(piece) for piece in block) for block in pieces]
    classes = None if question.labels is None else tally(_values(pieces, question.labels, "labels", index))
    if classes is not None:
        require_classes(classes[0], f" in block {index}")
    keys = None if question.by is None else heaviest(tally(_values(pieces, question.by, "by", index)))
    return Answer([Facts(rows, sizes, classes)], keys)


def require_classes(distinct: pd.Series[Any], where: str) -> None:
    """Raise a `DataError` where the distinct labels are too many to be classes, or some are fractions and many."""
    bins = "cut a continuous target into bins first, for instance by dask.array.digitize"
    if len(distinct) > MAX_CLASSES:
        raise DataError(
            f"labels: expected classes, got {len(distinct)} distinct values{where}, more than {MAX_CLASSES}; {bins}"
        )
    if not pd.api.types.is_float_dtype(distinct.dtype):
        return
    numbers = distinct.dropna()
    fractions = numbers[numbers % 1 > 0]
    if len(numbers) > MAX_NUMBERS and len(fractions):
        raise DataError(
            f"labels: expected classes, got {len(numbers)} distinct numbers{where}, among them {fractions.iloc[0]}; "
            f"{bins}"
        )


def _values(pieces: Sequence[Sequence[Any]], keys: Keys, name: str, index: int) -> list[Any]:
    block = pieces[keys.part]
    if sp.issparse(block[0]):
        raise DataError(f"{name}: expected dense values, got a sparse array in block {index}")
    whole = block[0] if len(block) == 1 else np.concatenate(block, axis=1)
    return [values for _, values in keys._replace(part=0).of([whole])]
