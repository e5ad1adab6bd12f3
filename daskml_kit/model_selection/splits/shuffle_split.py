"""Random splits into two sides of exact sizes, of rows, of rows by class, and of whole groups."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias, TypeGuard

import numpy as np
import sklearn.model_selection

from daskml_kit.data.align import Rows
from daskml_kit.exceptions import DataError
from daskml_kit.model_selection.splits.base import Splitter, column_of, seed_of, warn_of_groups
from daskml_kit.model_selection.splits.folds import TEST, TRAIN, Cut, Folds, Split, by_row
from daskml_kit.model_selection.splits.group_k_fold import Homes, by_group, read_groups
from daskml_kit.model_selection.splits.stratify import Strata, by_class, proportional, read_strata
from daskml_kit.numerics.permutation import key_of
from daskml_kit.typing import Array

Size: TypeAlias = float | int | None


class Sizes(NamedTuple):
    """Rows, or groups, of the two sides of a split; together at most all."""

    train: int
    test: int


def split_sizes(n: int, test_size: Size, train_size: Size, default: float, unit: str = "samples") -> Sizes:
    """Return the sizes of both sides of n rows as scikit-learn counts them: test rounds up, train down.

    Parameters
    ----------
    n : int
    test_size, train_size : float in (0, 1), int or None
        A share or a number; None is what the other leaves.
    default : float
        The share of the test set where both are None.
    unit : str
        What errors call the n.

    Raises
    ------
    ValueError
        Where a size is out of range, both together are more than n, or nothing is left to train on.

    Examples
    --------
    >>> split_sizes(10, 0.25, None, 0.1)
    Sizes(train=7, test=3)
    """
    if test_size is None and train_size is None:
        test_size = default
    for name, size in (("test_size", test_size), ("train_size", train_size)):
        _check(name, size, n, unit)
    if _is_share(test_size) and _is_share(train_size) and train_size + test_size > 1:
        raise ValueError(
            f"The sum of test_size and train_size = {train_size + test_size}, should be in the (0, 1) range. "
            "Reduce test_size and/or train_size."
        )
    test = None if test_size is None else _count(test_size, n, math.ceil)
    train = None if train_size is None else _count(train_size, n, math.floor)
    sizes = Sizes(n - (test or 0) if train is None else train, n - (train or 0) if test is None else test)
    if sum(sizes) > n:
        raise ValueError(
            f"The sum of train_size and test_size = {sum(sizes)}, should be smaller than the number of {unit} {n}. "
            "Reduce test_size and/or train_size."
        )
    if sizes.train == 0:
        raise ValueError(
            f"With n_{unit}={n}, test_size={test_size} and train_size={train_size}, the resulting train set will be "
            "empty. Adjust any of the aforementioned parameters."
        )
    return sizes


def _check(name: str, size: Size, n: int, unit: str) -> None:
    if size is None:
        return
    if isinstance(size, bool) or not isinstance(size, numbers.Real):
        raise ValueError(f"Invalid value for {name}: {size!r}")
    if not 0 < size < (1 if _is_share(size) else n):
        raise ValueError(
            f"{name}={size} should be either positive and smaller than the number of {unit} {n} "
            "or a float in the (0, 1) range"
        )


def _is_share(size: Size) -> TypeGuard[float]:
    return size is not None and not isinstance(size, numbers.Integral)


def _count(size: float, n: int, rounded: Callable[[float], int]) -> int:
    return rounded(size * n) if _is_share(size) else int(size)


class ShuffleSplit(Splitter, sklearn.model_selection.ShuffleSplit):  # type: ignore[misc]
    """Random splits, each drawn anew, of exact sizes.

    Parameters, validation and, on data in memory, results are those of `sklearn.model_selection.ShuffleSplit`. On
    Dask data the side of a row depends on the seed, its number and their number alone, however rows are blocked.

    Examples
    --------
    >>> import dask.array as da
    >>> splits = ShuffleSplit(2, test_size=0.25, random_state=0).split(da.zeros((8, 1), chunks=(5, 1)))
    >>> [(len(train), len(test)) for train, test in splits]
    [(6, 2), (6, 2)]
    """

    def folds(self, rows: Rows) -> Folds:
        warn_of_groups(self, rows)
        sizes = split_sizes(rows.n_rows, self.test_size, self.train_size, 0.1)
        seed, parts = seed_of(self.random_state), with_rest(sizes, rows.n_rows)
        columns = [by_row(Cut(parts, key_of(seed, number)), rows.lengths) for number in range(self.n_splits)]
        return Folds.of_columns(columns, one_a_column(self.n_splits))


class StratifiedShuffleSplit(Splitter, sklearn.model_selection.StratifiedShuffleSplit):  # type: ignore[misc]
    """Random splits, each drawn anew, of exact sizes, whose sides have each class's share up to one row.

    Parameters, validation and, on data in memory, results are those of
    `sklearn.model_selection.StratifiedShuffleSplit`. One pass over y counts its classes.

    Examples
    --------
    >>> import dask.array as da
    >>> y = da.arange(12, chunks=5) % 3
    >>> ((train, test),) = StratifiedShuffleSplit(1, test_size=0.25, random_state=0).split(y, y)
    >>> np.bincount(y[test].compute())
    array([1, 1, 1])
    """

    def folds(self, rows: Rows) -> Folds:
        warn_of_groups(self, rows)
        sizes = split_sizes(rows.n_rows, self.test_size, self.train_size, 0.1)
        return stratified(read_strata(column_of(rows, "y"), rows.lengths), sizes, self.n_splits, self.random_state)


class GroupShuffleSplit(Splitter, sklearn.model_selection.GroupShuffleSplit):  # type: ignore[misc]
    """Random splits, each drawn anew, of whole groups; sizes are shares, or numbers, of groups.

    Parameters, validation and, on data in memory, results are those of `sklearn.model_selection.GroupShuffleSplit`.
    One pass over the groups finds them; the client must have room for the distinct ones.

    Examples
    --------
    >>> import dask.array as da
    >>> groups = da.arange(12, chunks=5) % 4
    >>> ((train, test),) = GroupShuffleSplit(1, test_size=0.25, random_state=0).split(groups, groups=groups)
    >>> len(np.unique(groups[test].compute())), len(test)
    (1, 3)
    """

    def folds(self, rows: Rows) -> Folds:
        groups = column_of(rows, "groups")
        census = read_groups(groups, rows.lengths)
        n_groups, seed = len(census.groups), seed_of(self.random_state)
        parts = with_rest(split_sizes(n_groups, self.test_size, self.train_size, 0.2, "groups"), n_groups)
        columns = []
        for number in range(self.n_splits):
            homes = Homes(census.groups, Cut(parts, key_of(seed, number)).ids(0, n_groups))
            columns.append(by_group(groups, rows.lengths, homes, len(parts)))
        return Folds.of_columns(columns, one_a_column(self.n_splits))


def stratified(strata: Strata, sizes: Sizes, n_splits: int, random_state: Any) -> Folds:
    """Return splits with these sizes in all, and of each class its share.

    Raises
    ------
    DataError
        Where a class has a single row, or a side has less rows than there are classes.
    """
    name = strata.labels.name
    if (strata.counts < 2).any():
        raise DataError(
            f"{name}: The least populated classes in {name} have only 1 member, which is too few. The minimum number "
            "of groups for any class cannot be less than 2. Classes with too few members are: "
            f"{strata.classes[strata.counts < 2].tolist()}"
        )
    for side, size in sizes._asdict().items():
        if size < len(strata.classes):
            raise DataError(
                f"The {side}_size = {size} should be greater or equal to the number of classes = {len(strata.classes)}"
            )
    seed = seed_of(random_state)
    columns = [by_class(strata, shares(strata.counts, sizes, (seed, i)), (seed, i)) for i in range(n_splits)]
    return Folds.of_columns(columns, one_a_column(n_splits))


def shares(counts: Array, sizes: Sizes, seed: tuple[int, ...]) -> Array:
    """Return of each class how many rows train, test, and do neither (n_classes, 3)."""
    rng = np.random.default_rng(seed)
    train = proportional(counts, sizes.train, rng)
    test = proportional(counts - train, sizes.test, rng)
    return np.stack([train, test, counts - train - test], axis=1)


def with_rest(sizes: Sizes, n: int) -> tuple[int, ...]:
    """Return the numbers that train, that test, and that do neither."""
    return (*sizes, n - sum(sizes))


def one_a_column(n_splits: int) -> list[Split]:
    return [Split(column, (TRAIN,), (TEST,)) for column in range(n_splits)]
