"""Splitter base class: Dask input and folds for scikit-learn's splitters."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from daskml_kit.data.align import Column, Rows, align_rows
from daskml_kit.data.collections import is_dask
from daskml_kit.exceptions import DataError
from daskml_kit.model_selection.splits.folds import Folds, Split
from daskml_kit.model_selection.splits.sklearn_splitters import folds_in_memory
from daskml_kit.typing import Array


class Splitter:
    """Mixin, before a scikit-learn splitter, that gives it Dask input.

    Data in memory is scikit-learn's own affair. Of Dask data X is never read; where its lengths are not known they are
    counted.
    """

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[Any, Any]]:
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
            check_not_names(y=y, groups=groups)
            return super().split(X, y, groups)  # type: ignore[misc, no-any-return]
        return self.assign(X, y, groups).numbers()

    def assign(self, X: Any, y: Any = None, groups: Any = None) -> Folds:
        """Return the folds as an integer per row, lazily on Dask data.

        Parameters
        ----------
        X : Dask collection, or anything that scikit-learn takes
        y, groups : as X, optional

        Raises
        ------
        DataError
            Where lengths differ, or labels or groups cannot be used, or are but the name of a column.
        """
        check_not_names(y=y, groups=groups)
        given = {name: part for name, part in (("X", X), ("y", y), ("groups", groups)) if part is not None}
        if not any(map(is_dask, given.values())):
            first = next(iter(given.values()))
            n_rows = first.shape[0] if hasattr(first, "shape") else len(first)
            return self.folds_in_memory(n_rows, super().split(X, y, groups))  # type: ignore[misc]
        return self.folds(align_rows(given))

    def folds(self, rows: Rows) -> Folds:
        """Return the folds of aligned Dask collections named X, y and groups."""
        raise NotImplementedError

    def folds_in_memory(self, n_rows: int, splits: Iterator[tuple[Array, Array]]) -> Folds:
        """Return the folds of data in memory, of which scikit-learn makes these ``splits``."""
        return folds_in_memory(n_rows, splits)


def check_not_names(**given: Any) -> None:
    """Raise a `DataError` where the name of a column is given for its values: scikit-learn takes arrays alone."""
    for argument, values in given.items():
        if isinstance(values, str):
            raise DataError(f"{argument}: expected a value per row, got the name {values!r}; pass frame[{values!r}]")


def seed_of(random_state: Any) -> int:
    """Return one integer drawn from what scikit-learn takes as ``random_state``."""
    return int(check_random_state(random_state).randint(np.iinfo(np.int64).max, dtype=np.int64))


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


def k_fold_splits(n_splits: int, n_repeats: int = 1) -> list[Split]:
    """Return the splits that test each id of each column, and train on the others."""
    return [
        Split(repeat, tuple(other for other in range(n_splits) if other != fold), (fold,))
        for repeat in range(n_repeats)
        for fold in range(n_splits)
    ]


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
