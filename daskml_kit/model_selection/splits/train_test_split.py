"""Random, stratified and grouped split into training and test rows: train_test_split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dask.dataframe as dd
import numpy as np
import pandas as pd
import sklearn.model_selection
from sklearn.utils import indexable

from daskml_kit.data.align import Rows, align_rows
from daskml_kit.data.collections import is_dask, take
from daskml_kit.exceptions import DataError
from daskml_kit.model_selection.splits.base import check_not_names, column_of, legacy_random_state, seed_of
from daskml_kit.model_selection.splits.folds import (
    Folds,
    RowAssignment,
    assign_rows,
)
from daskml_kit.model_selection.splits.shuffle_split import (
    GroupShuffleSplit,
    Size,
    assign_within_blocks,
    one_split_per_column,
    split_sizes,
    stratified,
    with_rest,
)
from daskml_kit.model_selection.splits.stratify import count_classes
from daskml_kit.numerics.permutation import key_of

DEFAULT_TEST_SIZE = 0.25


def train_test_split(
    *arrays: Any,
    test_size: Size = None,
    train_size: Size = None,
    random_state: Any = None,
    shuffle: bool | None = None,
    stratify: Any = None,
    groups: Any = None,
    blockwise: bool = False,
    convert_mixed_types: bool = False,
) -> list[Any]:
    """Split collections into rows to train on and rows to test on.

    In memory this is `sklearn.model_selection.train_test_split`. Of Dask collections the parts are lazy and of exact
    sizes, and nothing but ``stratify`` and ``groups`` is read to find them: which rows are drawn follows from their
    numbers. Rows keep their order and stay in their blocks; `daskml_kit.partition.random_partition` moves them.

    Parameters
    ----------
    *arrays : Dask arrays, DataFrames or Series, NumPy arrays, pandas objects or CSR matrices
        Of the same rows. Beside a Dask collection the others become Dask collections too.
    test_size, train_size : float in (0, 1), int or None
        A fraction or a number of rows; None is the complement of the other, and 0.25 for testing where both are
        None. With ``groups`` a fraction or a number of groups.
    random_state : int, RandomState, Generator or None
        With an int the same rows are drawn however they are blocked.
    shuffle : bool, optional
        By default True: rows are drawn at random. False: the first rows train, those after them test.
    stratify : collection of one column, optional
        Both parts have each class's proportion, up to one row. It is read once here, once with the parts.
    groups : collection of one column, optional
        Rows of one group stay together. It is read twice here. There must be room for the distinct groups.
    blockwise : bool
        Draw the fraction from each block by itself, up to one row: every block is then in both parts.
    convert_mixed_types : bool
        Where there are arrays and frames, return arrays for all. By default each collection keeps its kind.

    Returns
    -------
    list
        Training and test rows of each of ``arrays``. Dask arrays have known chunk sizes. Blocks
        without rows of a part are left out.

    Raises
    ------
    ValueError
        Where sizes are out of range, classes too small, or options do not go together; a `DataError` where lengths
        differ, or labels or groups cannot be used.

    See Also
    --------
    ShuffleSplit : Several splits.
    daskml_kit.partition.random_partition : Moves rows to random blocks.

    Examples
    --------
    >>> import dask.array as da
    >>> X, y = da.arange(20, chunks=8).reshape(20, 1), np.arange(20) % 2
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, stratify=y, random_state=0)
    >>> X_train.shape, np.bincount(y_test.compute())
    ((16, 1), array([2, 2]))
    """
    if not arrays:
        raise ValueError("At least one array required as input")
    check_not_names(stratify=stratify, groups=groups)
    ways = [name for name, on in (("stratify", stratify is not None), ("groups", groups is not None)) if on]
    ways += [name for name, on in (("shuffle=False", not _shuffles(shuffle)), ("blockwise=True", blockwise)) if on]
    if len(ways) > 1:
        hint = "; StratifiedGroupKFold splits by both" if ways == ["stratify", "groups"] else ""
        raise DataError(f"{ways[0]} and {ways[1]} are not implemented together, use one of them{hint}")
    if convert_mixed_types:
        arrays = _as_arrays(arrays)
    if not any(map(is_dask, (*arrays, stratify, groups))):
        if blockwise:
            raise DataError("blockwise=True: expected a Dask collection, data in memory has no blocks")
        return _in_memory(arrays, test_size, train_size, random_state, _shuffles(shuffle), stratify, groups)
    named = {f"arrays[{i}]": array for i, array in enumerate(arrays)}
    by = {name: part for name, part in (("stratify", stratify), ("groups", groups)) if part is not None}
    rows = align_rows({**named, **by})
    folds = _one_split(rows, test_size, train_size, random_state, ways)
    return folds.take_columns(0, rows.columns[: len(arrays)])


def _one_split(rows: Rows, test_size: Size, train_size: Size, random_state: Any, ways: Sequence[str]) -> Folds:
    if test_size is None and train_size is None:
        test_size = DEFAULT_TEST_SIZE
    if ways == ["groups"]:
        return GroupShuffleSplit(1, test_size=test_size, train_size=train_size, random_state=random_state)._folds(rows)
    sizes = split_sizes(rows.n_rows, test_size, train_size, DEFAULT_TEST_SIZE)
    if ways == ["stratify"]:
        return stratified(count_classes(column_of(rows, "stratify"), rows.lengths), sizes, 1, random_state)
    if ways == ["shuffle=False"]:
        column = assign_rows(RowAssignment(with_rest(sizes, rows.n_rows)), rows.lengths)
    elif ways:
        column = assign_within_blocks(rows.lengths, sizes, seed_of(random_state), 0)
    else:
        column = assign_rows(
            RowAssignment(with_rest(sizes, rows.n_rows), key_of(seed_of(random_state), 0)), rows.lengths
        )
    return Folds.of_columns([column], one_split_per_column(1))


def _in_memory(
    arrays: Sequence[Any],
    test_size: Size,
    train_size: Size,
    random_state: Any,
    shuffle: bool,
    stratify: Any,
    groups: Any,
) -> list[Any]:
    options = {"test_size": test_size, "train_size": train_size, "random_state": legacy_random_state(random_state)}
    if groups is None:
        split = sklearn.model_selection.train_test_split
        return list(split(*arrays, shuffle=shuffle, stratify=stratify, **options))
    if test_size is None and train_size is None:
        options["test_size"] = DEFAULT_TEST_SIZE
    arrays = [array if hasattr(array, "shape") else np.asarray(array) for array in indexable(*arrays)]
    splitter = sklearn.model_selection.GroupShuffleSplit(1, **options)
    ((train, test),) = splitter.split(arrays[0], groups=groups)
    return [take(array, side) for array in arrays for side in (train, test)]


def _shuffles(shuffle: bool | None) -> bool:
    if shuffle not in (None, True, False):
        raise DataError(f"shuffle: expected True, False or None, got {shuffle!r}")
    return shuffle is None or bool(shuffle)


def _as_arrays(collections: Sequence[Any]) -> tuple[Any, ...]:
    frames = [isinstance(c, (dd.DataFrame, dd.Series, pd.DataFrame, pd.Series)) for c in collections]
    if all(frames):
        return tuple(collections)
    return tuple(_as_array(c) if frame else c for c, frame in zip(collections, frames, strict=True))


def _as_array(frame: Any) -> Any:
    return frame.to_dask_array() if is_dask(frame) else frame.to_numpy()
