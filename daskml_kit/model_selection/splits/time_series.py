"""Splits that train on the past and test on what follows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import sklearn.model_selection

from daskml_kit.engines.rows import Rows
from daskml_kit.errors import DataError
from daskml_kit.model_selection.splits.cut import Cut
from daskml_kit.model_selection.splits.folds import Folds, Split
from daskml_kit.model_selection.splits.id_column import by_row
from daskml_kit.model_selection.splits.splitter import Splitter, warn_of_groups
from daskml_kit.typing import Array


class TimeSeriesSplit(Splitter, sklearn.model_selection.TimeSeriesSplit):  # type: ignore[misc]
    """Splits of rows in the order of time: each tests the rows that follow those it trains on.

    Parameters, validation and results, on data in memory and on Dask data, are those of
    `sklearn.model_selection.TimeSeriesSplit`. All splits share one column of ids, whose parts end wherever a training
    or a test set begins or ends.

    Examples
    --------
    >>> import dask.array as da
    >>> for train, test in TimeSeriesSplit(2, gap=1).split(da.zeros((6, 1), chunks=(4, 1))):
    ...     print(train.compute(), test.compute())
    [0] [2 3]
    [0 1 2] [4 5]
    """

    def folds(self, rows: Rows) -> Folds:
        warn_of_groups(self, rows)
        cut, splits = _cut_at(self._windows(rows.n_rows), rows.n_rows)
        return Folds.of_columns([by_row(cut, rows.lengths)], splits)

    def folds_in_memory(self, n_rows: int, splits: Iterator[tuple[Array, Array]]) -> Folds:
        windows = [(train[0], train[-1] + 1, test[0], test[-1] + 1) for train, test in splits]
        cut, shared = _cut_at(windows, n_rows)
        return Folds((cut.ids(0, n_rows),), shared)

    def _windows(self, n_rows: int) -> list[tuple[int, int, int, int]]:
        """Return of each split the first and the end of its training rows, and those of its test rows."""
        n_folds = self.n_splits + 1
        size = n_rows // n_folds if self.test_size is None else self.test_size
        if n_folds > n_rows:
            raise DataError(f"Cannot have number of folds={n_folds} greater than the number of samples={n_rows}.")
        if n_rows - self.gap - size * self.n_splits <= 0:
            raise DataError(
                f"Too many splits={self.n_splits} for number of samples={n_rows} with test_size={size} and "
                f"gap={self.gap}."
            )
        windows = []
        for start in range(n_rows - self.n_splits * size, n_rows, size):
            end = start - self.gap
            windows.append((max(end - (self.max_train_size or end), 0), end, start, start + size))
        return windows


def _cut_at(windows: Sequence[tuple[int, int, int, int]], n_rows: int) -> tuple[Cut, list[Split]]:
    """Return the rows cut wherever a training or a test set begins or ends, and which parts each split has."""
    edges = np.unique([0, n_rows, *np.ravel(windows)])
    parts = np.searchsorted(edges, windows).tolist()
    splits = [Split(0, tuple(range(a, b)), tuple(range(c, d))) for a, b, c, d in parts]
    return Cut(tuple(np.diff(edges).tolist())), splits
