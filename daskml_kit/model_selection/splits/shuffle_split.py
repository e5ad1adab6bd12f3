"""Random train/test splits of exact sizes: of rows, stratified by class, and of whole groups; train_test_split."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeGuard

import dask.dataframe as dd
import numpy as np
import pandas as pd
import sklearn.model_selection
from sklearn.utils import indexable

from daskml_kit.arguments import check_flags
from daskml_kit.data.align import Rows, align_rows
from daskml_kit.data.collections import is_dask, take
from daskml_kit.exceptions import DataError
from daskml_kit.model_selection.splits.base import (
    Splitter,
    check_not_names,
    column_of,
    drawn_seed,
    legacy_random_state,
    warn_of_groups,
)
from daskml_kit.model_selection.splits.folds import Folds, IdColumn, RowAssignment, assign_blocks, assign_rows
from daskml_kit.model_selection.splits.group_k_fold import assign_groups, count_groups
from daskml_kit.model_selection.splits.stratify import ClassCounts, assign_classes, count_classes, largest_remainder
from daskml_kit.numerics.permutation import key_of
from daskml_kit.typing import Array

Size: TypeAlias = float | int | None


class SplitSizes(NamedTuple):
    """Numbers of rows (or groups) that train, that test, and that do neither."""

    train: int
    test: int
    rest: int


def split_sizes(n: int, test_size: Size, train_size: Size, default: float, unit: str = "samples") -> SplitSizes:
    """Return the numbers of training and test rows as scikit-learn rounds them: test up, train down.

    Parameters
    ----------
    n : int
    test_size, train_size : float in (0, 1), int or None
        A fraction or a number; None is the complement of the other.
    default : float
        Fraction of test rows where both are None.
    unit : str
        Noun for the n in errors.

    Raises
    ------
    ValueError
        Where a size is out of range, both together are more than n, or nothing is left to train on.

    Examples
    --------
    >>> split_sizes(10, 0.25, None, 0.1)
    SplitSizes(train=7, test=3, rest=0)
    """
    if test_size is None and train_size is None:
        test_size = default
    for name, size in (("test_size", test_size), ("train_size", train_size)):
        _check(name, size, n, unit)
    if _is_fraction(test_size) and _is_fraction(train_size) and train_size + test_size > 1:
        raise ValueError(
            f"The sum of test_size and train_size = {train_size + test_size}, should be in the (0, 1) range. "
            "Reduce test_size and/or train_size."
        )
    test = None if test_size is None else _count(test_size, n, math.ceil)
    train = n - (test or 0) if train_size is None else _count(train_size, n, math.floor)
    test = n - train if test is None else test
    if train + test > n:
        raise ValueError(
            f"The sum of train_size and test_size = {train + test}, should be smaller than the number of {unit} {n}. "
            "Reduce test_size and/or train_size."
        )
    if train == 0:
        raise ValueError(
            f"With n_{unit}={n}, test_size={test_size} and train_size={train_size}, the resulting train set will be "
            "empty. Adjust any of the aforementioned parameters."
        )
    return SplitSizes(train, test, n - train - test)


def _check(name: str, size: Size, n: int, unit: str) -> None:
    if size is None:
        return
    if isinstance(size, bool) or not isinstance(size, numbers.Real):
        raise ValueError(f"Invalid value for {name}: {size!r}")
    if not 0 < size < (1 if _is_fraction(size) else n):
        raise ValueError(
            f"{name}={size} should be either positive and smaller than the number of {unit} {n} "
            "or a float in the (0, 1) range"
        )


def _is_fraction(size: Size) -> TypeGuard[float]:
    return size is not None and not isinstance(size, numbers.Integral)


def _count(size: float, n: int, rounded: Callable[[float], int]) -> int:
    return rounded(size * n) if _is_fraction(size) else int(size)


class ShuffleSplit(Splitter, sklearn.model_selection.ShuffleSplit):  # type: ignore[misc]
    """Random splits, each drawn anew, of exact sizes.

    Parameters, validation and, on data in memory, results are those of `sklearn.model_selection.ShuffleSplit`. On
    Dask data the assignment of a row depends on the seed, its number and their number alone, however rows are blocked.

    Parameters
    ----------
    n_splits : int, default 10
    test_size, train_size : float in (0, 1), int or None
        A fraction or a number of rows; None is the complement of the other, and 0.1 for testing where both are None.
    random_state : int, RandomState, Generator or None
    blockwise : bool, default False
        Draw from each block of Dask data by itself, up to one row: each block is then in both parts. Data in memory is
        one block.

    See Also
    --------
    StratifiedShuffleSplit : With each class's proportion.
    train_test_split : A single split.

    Examples
    --------
    >>> import dask.array as da
    >>> splits = ShuffleSplit(2, test_size=0.25, random_state=0).split(da.zeros((8, 1), chunks=(5, 1)))
    >>> [(len(train), len(test)) for train, test in splits]
    [(6, 2), (6, 2)]
    """

    def __init__(
        self,
        n_splits: int = 10,
        *,
        test_size: Size = None,
        train_size: Size = None,
        random_state: Any = None,
        blockwise: bool = False,
    ) -> None:
        super().__init__(n_splits, test_size=test_size, train_size=train_size, random_state=random_state)
        self.blockwise = blockwise

    def __repr__(self) -> str:
        if self.blockwise:
            return str(super().__repr__())
        own = {name: getattr(self, name) for name in ("test_size", "train_size", "random_state")}
        return repr(sklearn.model_selection.ShuffleSplit(self.n_splits, **own))

    def _folds(self, rows: Rows) -> Folds:
        warn_of_groups(self, rows)
        check_flags(blockwise=self.blockwise)
        sizes = split_sizes(rows.n_rows, self.test_size, self.train_size, 0.1)
        seed, numbers = drawn_seed(self.random_state), range(self.n_splits)
        if self.blockwise:
            return Folds.of_columns(assign_within_blocks(rows.lengths, sizes, seed, number) for number in numbers)
        return Folds.of_columns(
            assign_rows(RowAssignment(sizes, key_of(seed, number)), rows.lengths) for number in numbers
        )


class StratifiedShuffleSplit(Splitter, sklearn.model_selection.StratifiedShuffleSplit):  # type: ignore[misc]
    """Random splits, each drawn anew, of exact sizes, stratified by class up to one row.

    Parameters, validation and, on data in memory, results are those of
    `sklearn.model_selection.StratifiedShuffleSplit`. One pass over y counts its classes.

    Parameters
    ----------
    n_splits : int, default 10
        Number of splits.
    test_size, train_size : float in (0, 1), int or None
        A fraction or a number of rows; None is the complement of the other.
    random_state : int, RandomState, Generator or None
        Seed of the draws.

    See Also
    --------
    ShuffleSplit : Without classes.
    StratifiedKFold : Each row is tested once.

    Examples
    --------
    >>> import dask.array as da
    >>> y = da.arange(12, chunks=5) % 3
    >>> ((train, test),) = StratifiedShuffleSplit(1, test_size=0.25, random_state=0).split(y, y)
    >>> np.bincount(y[test].compute())
    array([1, 1, 1])
    """

    def _folds(self, rows: Rows) -> Folds:
        warn_of_groups(self, rows)
        sizes = split_sizes(rows.n_rows, self.test_size, self.train_size, 0.1)
        return stratified(count_classes(column_of(rows, "y"), rows.lengths), sizes, self.n_splits, self.random_state)


class GroupShuffleSplit(Splitter, sklearn.model_selection.GroupShuffleSplit):  # type: ignore[misc]
    """Random splits, each drawn anew, of whole groups; sizes are fractions, or numbers, of groups.

    Parameters, validation and, on data in memory, results are those of `sklearn.model_selection.GroupShuffleSplit`.
    One pass over the groups finds them; the client must have room for the distinct ones.

    Parameters
    ----------
    n_splits : int, default 5
        Number of splits.
    test_size, train_size : float in (0, 1), int or None
        A fraction or a number of groups; None is the complement of the other.
    random_state : int, RandomState, Generator or None
        Seed of the draws.

    See Also
    --------
    GroupKFold : Each group is tested once.
    ShuffleSplit : Without groups.

    Examples
    --------
    >>> import dask.array as da
    >>> groups = da.arange(12, chunks=5) % 4
    >>> ((train, test),) = GroupShuffleSplit(1, test_size=0.25, random_state=0).split(groups, groups=groups)
    >>> len(np.unique(groups[test].compute())), len(test)
    (1, 3)
    """

    def _folds(self, rows: Rows) -> Folds:
        groups = column_of(rows, "groups")
        counted = count_groups(groups, rows.lengths)
        n_groups, seed = len(counted.groups), drawn_seed(self.random_state)
        sizes = split_sizes(n_groups, self.test_size, self.train_size, 0.2, "groups")
        columns = []
        for number in range(self.n_splits):
            folds = RowAssignment(sizes, key_of(seed, number)).ids(0, n_groups)
            columns.append(assign_groups(groups, rows.lengths, counted.groups, folds, len(sizes)))
        return Folds.of_columns(columns)


def stratified(counted: ClassCounts, sizes: SplitSizes, n_splits: int, random_state: Any) -> Folds:
    """Return stratified random splits of these total sizes.

    Raises
    ------
    DataError
        Where a class has a single row, or there are fewer training or test rows than classes.
    """
    name = counted.labels.name
    if (counted.counts < 2).any():
        raise DataError(
            f"{name}: The least populated classes in {name} have only 1 member, which is too few. The minimum number "
            "of groups for any class cannot be less than 2. Classes with too few members are: "
            f"{counted.classes[counted.counts < 2].tolist()}"
        )
    for part, size in (("train", sizes.train), ("test", sizes.test)):
        if size < len(counted.classes):
            raise DataError(
                f"The {part}_size = {size} should be greater or equal to the number of classes = {len(counted.classes)}"
            )
    seed = drawn_seed(random_state)
    return Folds.of_columns(
        assign_classes(counted, class_sizes(counted.counts, sizes, (seed, i)), (seed, i)) for i in range(n_splits)
    )


def class_sizes(counts: Array, sizes: SplitSizes, seed: tuple[int, ...]) -> Array:
    """Return the rows of each class that train, test, and do neither (n_classes, 3)."""
    rng = np.random.default_rng(seed)
    train = largest_remainder(counts, sizes.train, rng)
    test = largest_remainder(counts - train, sizes.test, rng)
    return np.stack([train, test, counts - train - test], axis=1)


def assign_within_blocks(lengths: Sequence[int], sizes: SplitSizes, seed: int, number: int) -> IdColumn:
    """Return the ids of a random split that draws from each block by itself."""
    parts = class_sizes(np.asarray(lengths), sizes, (seed, number)).tolist()
    drawn = [RowAssignment(tuple(part), key_of(seed, number, block)) for block, part in enumerate(parts)]
    return assign_blocks([(rows, 0, length) for rows, length in zip(drawn, lengths, strict=True)])


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
    check_flags(blockwise=blockwise, convert_mixed_types=convert_mixed_types)
    ways = [name for name, on in (("stratify", stratify is not None), ("groups", groups is not None)) if on]
    ways += [name for name, on in (("shuffle=False", not _shuffles(shuffle)), ("blockwise=True", blockwise)) if on]
    if len(ways) > 1:
        hint = "; StratifiedGroupKFold splits by both" if ways == ["stratify", "groups"] else ""
        raise DataError(f"{ways[0]} and {ways[1]} are not implemented together, use one of them{hint}")
    if convert_mixed_types:
        arrays = _as_arrays(arrays)
    test_size = DEFAULT_TEST_SIZE if test_size is None and train_size is None else test_size
    options = {"test_size": test_size, "train_size": train_size, "random_state": legacy_random_state(random_state)}
    if not any(map(is_dask, (*arrays, stratify, groups))):
        if blockwise:
            raise DataError("blockwise=True: expected a Dask collection, data in memory has no blocks")
        if groups is None:
            split = sklearn.model_selection.train_test_split
            return list(split(*arrays, shuffle=_shuffles(shuffle), stratify=stratify, **options))
        arrays = tuple(array if hasattr(array, "shape") else np.asarray(array) for array in indexable(*arrays))
        splitter = sklearn.model_selection.GroupShuffleSplit(1, **options)
        ((train, test),) = splitter.split(arrays[0], groups=groups)
        return [take(array, side) for array in arrays for side in (train, test)]
    named = {f"arrays[{i}]": array for i, array in enumerate(arrays)}
    by = {name: part for name, part in (("stratify", stratify), ("groups", groups)) if part is not None}
    rows = align_rows({**named, **by})
    folds = _one_split(rows, options, ways)
    return folds.take_columns(0, rows.columns[: len(arrays)])


def _one_split(rows: Rows, options: Mapping[str, Any], ways: Sequence[str]) -> Folds:
    if ways == ["groups"]:
        return GroupShuffleSplit(1, **options)._folds(rows)
    if ways in ([], ["blockwise=True"]):
        return ShuffleSplit(1, **options, blockwise=bool(ways))._folds(rows)
    sizes = split_sizes(rows.n_rows, options["test_size"], options["train_size"], DEFAULT_TEST_SIZE)
    if ways == ["stratify"]:
        return stratified(count_classes(column_of(rows, "stratify"), rows.lengths), sizes, 1, options["random_state"])
    return Folds.of_columns([assign_rows(RowAssignment(sizes), rows.lengths)])


def _shuffles(shuffle: bool | None) -> bool:
    if shuffle not in (None, True, False):
        raise DataError(f"shuffle: expected True, False or None, got {shuffle!r}")
    return shuffle is None or bool(shuffle)


def _as_arrays(collections: Sequence[Any]) -> tuple[Any, ...]:
    kinds = dd.DataFrame, dd.Series, pd.DataFrame, pd.Series
    if all(isinstance(c, kinds) for c in collections):
        return tuple(collections)
    return tuple(_as_array(c) if isinstance(c, kinds) else c for c in collections)


def _as_array(frame: Any) -> Any:
    return frame.to_dask_array() if is_dask(frame) else frame.to_numpy()
