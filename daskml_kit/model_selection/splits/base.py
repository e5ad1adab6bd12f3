"""Splitter base class: Dask input and folds for scikit-learn's splitters."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from daskml_kit.arguments import check_number, random_state_of
from daskml_kit.data.align import Column, Rows, align_rows
from daskml_kit.data.collections import is_dask, n_rows
from daskml_kit.exceptions import DataError
from daskml_kit.model_selection.splits.folds import TEST, TRAIN, Folds, Split, id_dtype
from daskml_kit.typing import Array


class Splitter:
    """Mixin, before a scikit-learn splitter, that gives it Dask input.

    Data in memory is scikit-learn's own affair. Of Dask data X is never read; where its lengths are not known they are
    counted.
    """

    def to_sklearn(self) -> Any:
        """Return scikit-learn's splitter with the same parameters.

        Returns
        -------
        splitter
            Of the scikit-learn class that this one extends.
        """
        twin = copy.copy(self)
        twin.__class__ = next(kind for kind in type(self).__mro__ if kind.__module__.startswith("sklearn."))
        return twin

    def split(self, X: Any = None, y: Any = None, groups: Any = None) -> Iterator[tuple[Any, Any]]:
        """Return the training and test row numbers of each split, as scikit-learn does.

        They index arrays, NumPy's and Dask's, but a Dask DataFrame has no ``iloc`` that takes them:
        ``splitter.assign(X, y).take(number, X, y)`` gives the rows themselves, of collections of any kind.

        Parameters
        ----------
        X : Dask collection, or anything that scikit-learn takes
        y, groups : as X, optional

        Returns
        -------
        iterator of (train, test)
            In memory scikit-learn's arrays; on Dask data lazy ones, ascending, with known chunk sizes.

        Raises
        ------
        DataError
            As `assign`.
        """
        if not any(map(is_dask, (X, y, groups))):
            check_sizes(self)
            check_not_names(y=y, groups=groups)
            return self._split_in_memory(X, y, groups)
        return self.assign(X, y, groups).numbers()

    def assign(self, X: Any, y: Any = None, groups: Any = None) -> Folds:
        """Return the folds as an integer per row, lazily on Dask data.

        Parameters
        ----------
        X : Dask collection, or anything that scikit-learn takes
        y, groups : as X, optional

        Returns
        -------
        Folds
            Columns of ids, and the ids that train and test in each split.

        Raises
        ------
        DataError
            Where lengths differ, or labels or groups cannot be used, or are but the name of a column.
        """
        check_sizes(self)
        check_not_names(y=y, groups=groups)
        given = {name: part for name, part in (("X", X), ("y", y), ("groups", groups)) if part is not None}
        if not any(map(is_dask, given.values())):
            first = next(iter(given.values()))
            return self._folds_in_memory(n_rows(first), self._split_in_memory(X, y, groups))
        return self._folds(align_rows(given))

    def _split_in_memory(self, X: Any = None, y: Any = None, groups: Any = None) -> Iterator[tuple[Array, Array]]:
        """Return scikit-learn's own splits; beside its seeds ``random_state`` may be a `numpy.random.Generator`."""
        own = self
        if isinstance(getattr(self, "random_state", None), np.random.Generator):
            own = copy.copy(self)
            own.random_state = legacy_random_state(self.random_state)  # type: ignore[attr-defined]
        return super(Splitter, own).split(X, y, groups)  # type: ignore[misc, no-any-return]

    def _folds(self, rows: Rows) -> Folds:
        """Return the folds of aligned Dask collections named X, y and groups."""
        raise NotImplementedError

    def _folds_in_memory(self, n_rows: int, splits: Iterator[tuple[Array, Array]]) -> Folds:
        """Return the folds of data in memory, of which scikit-learn makes these ``splits``."""
        return folds_in_memory(n_rows, splits)


LEAST = {"n_splits": 1, "n_repeats": 1, "p": 1, "n_groups": 1, "gap": 0}
"""Parameters of splitters that are integers of at least so much."""


def check_sizes(splitter: Any) -> None:
    """Raise where a number of splits, groups or rows is none, which scikit-learn's constructors do not all look at."""
    given = {**vars(splitter), **getattr(splitter, "cvargs", {})}
    for name, least in LEAST.items():
        if name in given:
            check_number(name, given[name], low=least, integer=True)


def check_not_names(**given: Any) -> None:
    """Raise a `DataError` where the name of a column is given for its values: scikit-learn takes arrays alone."""
    for argument, values in given.items():
        if isinstance(values, str):
            raise DataError(f"{argument}: expected a value per row, got the name {values!r}; pass frame[{values!r}]")


def legacy_random_state(random_state: Any) -> Any:
    """Return a `numpy.random.Generator` as the `RandomState` that shares its stream; anything else as it is."""
    is_generator = isinstance(random_state, np.random.Generator)
    return np.random.RandomState(random_state.bit_generator) if is_generator else random_state


def drawn_seed(random_state: Any) -> int:
    """Return one integer drawn from a seed, RandomState, Generator or None."""
    return int(random_state_of(legacy_random_state(random_state)).randint(np.iinfo(np.int64).max, dtype=np.int64))


def column_of(rows: Rows, name: str) -> Column:
    """Return the column of that name.

    Raises
    ------
    ValueError
        Where it was not given.
    """
    for column in rows.columns:
        if column.name == name:
            return column
    raise ValueError(f"The '{name}' parameter should not be None.")


def warn_of_groups(splitter: object, rows: Rows) -> None:
    """Warn, as scikit-learn does, where groups were given to a splitter that has no use for them."""
    if any(column.name == "groups" for column in rows.columns):
        warnings.warn(f"The groups parameter is ignored by {type(splitter).__name__}", UserWarning, stacklevel=4)


def check_n_rows(rows: Rows, n_splits: int) -> None:
    """Raise a `DataError` where there are fewer rows than folds."""
    if n_splits > rows.n_rows:
        raise DataError(
            f"Cannot have number of splits n_splits={n_splits} greater than the number of samples: "
            f"n_samples={rows.n_rows}."
        )


def check_class_counts(classes: Array, counts: Array, n_splits: int) -> None:
    """Check, as scikit-learn does, that y has classes, and that they have as many rows as there are folds.

    Raises
    ------
    DataError
        Where y is continuous, or no class has enough rows. Where some have not, a warning says so.
    """
    if classes.dtype.kind == "f" and (classes != np.floor(classes)).any():
        raise DataError("y: Supported target types are: ('binary', 'multiclass'). Got 'continuous' instead.")
    if (n_splits > counts).all():
        raise DataError(f"n_splits={n_splits} cannot be greater than the number of members in each class.")
    if n_splits > counts.min():
        warnings.warn(
            f"The least populated class in y has only {counts.min()} members, which is less than n_splits={n_splits}.",
            UserWarning,
            stacklevel=5,
        )


UNTESTED = -1
"""The id of rows that no split has tested."""


def folds_in_memory(length: int, splits: Iterable[tuple[Array, Array]]) -> Folds:
    """Return splits, given as row numbers, as ids; those that together test no row twice share a column.

    Parameters
    ----------
    length : int
        Number of rows.
    splits : iterable of (train, test)
        Arrays of row numbers, or masks; train and test have none in common.

    Raises
    ------
    DataError
        Where a row is not there, is named twice, or both trains and tests: a row has one id, and counts once.

    Examples
    --------
    >>> folds = folds_in_memory(3, [(np.array([1, 2]), np.array([0])), (np.array([0]), np.array([1, 2]))])
    >>> folds.ids
    (array([0, 1, 1], dtype=int16),)
    >>> folds.splits
    [Split(column=0, train=(1,), test=(0,)), Split(column=0, train=(0,), test=(1,))]
    """
    columns: list[Array] = []  # ids, UNTESTED of rows that are not tested yet
    n_parts: list[int] = []
    places: list[tuple[int, int]] = []
    shared = False  # whether the last column may take another split
    orders: list[tuple[Array, Array] | None] = []
    for number, rows_of in enumerate(splits):
        train, test = _train_test_masks(length, number, *rows_of)
        orders.append(_order(*rows_of))
        whole = int(np.count_nonzero(train)) + int(np.count_nonzero(test)) == length
        if not (whole and shared and (columns[-1][test] == UNTESTED).all()):
            columns.append(np.full(length, UNTESTED, np.int32))
            n_parts.append(0)
            shared = whole
        for rows in (test,) if whole else (train, test):
            columns[-1][rows] = n_parts[-1]
            n_parts[-1] += 1
        places.append((len(columns) - 1, n_parts[-1] - 1 if whole else -1))
    ids = tuple(map(_ids, columns, n_parts))
    present = [np.flatnonzero(np.bincount(column)).tolist() for column in ids]
    ordered = tuple(orders) if any(order is not None for order in orders) else ()
    return Folds(ids, [_split(column, place, present[column]) for column, place in places], orders=ordered)


def _order(*rows_of: Any) -> tuple[Array, Array] | None:
    """Return training and test row numbers where they are not ascending, as estimators may depend on their order."""
    train, test = (np.flatnonzero(rows) if (rows := _as_rows(part)).dtype == bool else rows for part in rows_of)
    ascending = all((np.diff(rows) > 0).all() for rows in (train, test))
    return None if ascending else (train, test)


def _train_test_masks(length: int, number: int, train: Any, test: Any) -> list[Array]:
    """Return training and test rows as masks, once they are checked."""
    masks = []
    n_named = 0
    for name, side in (("training", train), ("test", test)):
        rows, mask = _as_rows(side), np.zeros(length, bool)
        try:
            mask[rows] = True
        except IndexError as error:
            raise DataError(f"cv: {name} rows of split {number}: {error}") from None
        n_named += int(np.count_nonzero(rows)) if rows.dtype == bool else len(rows)
        masks.append(mask)
    if n_named > np.count_nonzero(masks[0] | masks[1]):
        every = np.arange(length)
        counts = sum(np.bincount(every[np.asarray(side)], minlength=length) for side in (train, test))
        raise DataError(
            f"cv: split {number} names row {int(np.argmax(counts))} more than once: training and test rows have to "
            "differ; to repeat rows, as a bootstrap does, give them sample weights"
        )
    return masks


def _ids(column: Array, n_parts: int) -> Array:
    column[column == UNTESTED] = n_parts
    return column.astype(id_dtype(n_parts + 1))


def _as_rows(part: Any) -> Array:
    return np.asarray(part, dtype=None if len(part) else np.int64)


def _split(column: int, place: int, present: Sequence[int]) -> Split:
    if place < 0:
        return Split(column, (TRAIN,), (TEST,))
    return Split(column, tuple(other for other in present if other != place), (place,))
