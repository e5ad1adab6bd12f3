"""Classification data as data frames."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import dask.dataframe as dd
import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from daskml_kit.datasets.generate import Chunks, Recipe, Rows, arrays, check_numbers, draw_seed, frame
from daskml_kit.datasets.make_classification import make_classification
from daskml_kit.typing import Array


@dataclass(frozen=True, eq=False)
class Times(Recipe):
    """Points in time that are uniform between two, to the second."""

    start: np.datetime64
    seconds: int

    @property
    def width(self) -> int:
        return 1

    def draw(self, rng: np.random.Generator, rows: Array) -> tuple[Array, ...]:
        return (self.start + rng.integers(self.seconds, size=len(rows)).astype("timedelta64[s]"),)


def make_classification_df(
    n_samples: int = 10000,
    response_rate: float = 0.5,
    predictability: float = 0.1,
    random_state: Any = None,
    chunks: Chunks = None,
    dates: tuple[date, date] | None = None,
    **kwargs: Any,
) -> tuple[dd.DataFrame, dd.Series]:
    """Generate a classification problem of two classes as data frames, block by block.

    Parameters
    ----------
    n_samples : int
    response_rate : float from 0 to 1
        Share of the rows of class 1.
    predictability : float from 0 to 1
        Share of the rows whose class is not drawn at random: 1 is easiest.
    random_state : int, RandomState or None
    chunks : int or tuple of int, optional
        Rows a partition, or the rows of each; by default partitions of about 16 MiB. The rows are the same for any.
    dates : pair of date or datetime, optional
        Adds a column ``date``, uniform from the first up to the second, to the second.
    **kwargs
        Of `make_classification`.

    Returns
    -------
    X : dask DataFrame with the columns ``var0``, ``var1`` and so on, float64, and ``date`` with ``dates``
    y : dask Series ``target``, int64

    Raises
    ------
    ValueError
        Where an argument is out of range.

    Examples
    --------
    >>> X, y = make_classification_df(n_samples=100, n_features=4, random_state=0, chunks=50)
    >>> X.columns.tolist(), X.divisions
    (['var0', 'var1', 'var2', 'var3'], (0, 50, 99))
    """
    check_numbers(0, 1, response_rate=response_rate, predictability=predictability)
    state = check_random_state(random_state)
    X, y = make_classification(
        n_samples=n_samples,
        flip_y=1 - predictability,
        random_state=state,
        weights=[1 - response_rate, response_rate],
        chunks=chunks,
        **kwargs,
    )
    parts = [X]
    if dates is not None:
        parts += arrays(Rows(_between(dates), n_samples, draw_seed(state)), X.chunks[0])
    return frame(features, parts), frame(target, [y])


def features(parts: list[Array], start: int) -> pd.DataFrame:
    """Return a frame of the features, and the dates if there are any, whose index begins at ``start``."""
    X, *dates = parts
    index = pd.RangeIndex(start, start + len(X))
    made = pd.DataFrame(X, index=index, columns=[f"var{column}" for column in range(X.shape[1])])
    return made.assign(date=dates[0]) if dates else made


def target(parts: list[Array], start: int) -> pd.Series[Any]:
    """Return the classes as a series whose index begins at ``start``."""
    return pd.Series(parts[0], pd.RangeIndex(start, start + len(parts[0])), name="target")


def _between(dates: tuple[date, date]) -> Times:
    first, last = (pd.Timestamp(moment) for moment in dates)
    if first.tz is not None or last.tz is not None:
        raise ValueError(f"dates: expected dates without a time zone, got {dates!r}")
    seconds = int((last - first).total_seconds())
    if seconds < 1:
        raise ValueError(f"dates: expected the first a second or more before the second, got {dates!r}")
    return Times(first.to_datetime64().astype("datetime64[us]"), seconds)
