"""Description of the columns of a data frame, and their correlations, each in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dask.dataframe as dd
import numpy as np
import pandas as pd

from daskml_kit.arguments import check_number
from daskml_kit.engines.open import open_engine, open_table
from daskml_kit.exceptions import DataError
from daskml_kit.reductions.column_summary import ColumnSummaries, ColumnSummary
from daskml_kit.reductions.gram import Gram, Scatter
from daskml_kit.validation import plain_strings


def describe(
    frame: dd.DataFrame | pd.DataFrame, *, quantiles: Sequence[float] = (0.25, 0.5, 0.75), top: int = 3, seed: int = 0
) -> pd.DataFrame:
    """Describe the columns of a data frame, whatever their types, in one pass over its rows.

    Parameters
    ----------
    frame : Dask DataFrame or pandas DataFrame
    quantiles : sequence of float, default (0.25, 0.5, 0.75)
        Shares of the values of a numeric column. They are exact of up to 20,000 values, else of so many that are drawn:
        the rank of a quantile is then right to some 0.35 % of the rows (one standard error).
    top : int, default 3
        Most frequent values that are told of a column with at most 1,000 distinct ones, or else of the drawn values.
    seed : int, default 0
        Of the draw.

    Returns
    -------
    pandas DataFrame
        A row for each column: its ``type``, ``count`` of values, ``missing``, ``infinite``, ``distinct`` values (exact
        below 4,096, else to some 1.6 %; NaN of lists), ``mean`` and ``std`` (with n - 1) of finite numbers, ``min``,
        the quantiles, ``max``, and ``top`` values with their shares.

    Raises
    ------
    DataError
        Where ``frame`` is no data frame, or a column's name comes twice.
    ValueError
        Where a quantile is no share, or ``top`` no count.

    See Also
    --------
    corr : Correlations of numeric columns.
    daskml_kit.partition.partition_report : Sizes and skew of blocks.

    References
    ----------
    Bar-Yossef et al., "Counting distinct elements in a data stream", 2002.

    Examples
    --------
    >>> frame = dd.from_pandas(pd.DataFrame({"size": [1.0, 2.0, None, 5.0], "town": ["Ulm", "Ulm", "Bonn", "Ulm"]}))
    >>> describe(frame)[["count", "missing", "distinct", "50%"]]
          count  missing  distinct  50%
    size      3        1       3.0  2.0
    town      4        0       2.0  NaN
    >>> describe(frame).loc["town", "top"]
    'Ulm 75 %, Bonn 25 %'
    """
    for share in [quantiles] if isinstance(quantiles, str) or not np.iterable(quantiles) else quantiles:
        check_number("quantiles", share, low=0, high=1)
    check_number("top", top, low=0, integer=True)
    check_number("seed", seed, low=0, integer=True)
    if isinstance(frame, pd.DataFrame):
        frame = dd.from_pandas(frame, npartitions=1)
    if not isinstance(frame, dd.DataFrame):
        raise DataError(f"frame: expected a Dask or pandas DataFrame, got {type(frame).__name__}")
    if frame.columns.duplicated().any():
        raise DataError(f"frame: the column {frame.columns[frame.columns.duplicated()][0]!r} comes twice")
    with open_table(plain_strings(frame)) as engine:
        (found,) = engine.answer(ColumnSummaries(seed))
    rows = {name: _described(summary, quantiles, top) for name, summary in zip(frame.columns, found, strict=True)}
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.insert(0, "type", [str(dtype) for dtype in frame.dtypes])
    return table


def _described(summary: ColumnSummary, quantiles: Sequence[float], top: int) -> dict[str, Any]:
    numeric = summary.mean is not None and summary.squares is not None
    n_finite = summary.present - summary.infinite
    std = np.sqrt((summary.squares or 0.0) / (n_finite - 1)) if numeric and n_finite > 1 else np.nan
    finite: Any = summary.drawn[np.isfinite(summary.drawn)] if numeric else []
    return {
        "count": summary.present,
        "missing": summary.n_rows - summary.present,
        "infinite": summary.infinite,
        "distinct": summary.n_distinct(),
        "mean": summary.mean if numeric else np.nan,
        "std": std,
        "min": np.nan if summary.low is None else summary.low,
        **{f"{100 * share:g}%": np.quantile(finite, share) if numeric else np.nan for share in quantiles},
        "max": np.nan if summary.high is None else summary.high,
        "top": _top(summary, top),
    }


def _top(summary: ColumnSummary, most: int) -> str:
    """Return the most frequent values with their shares; nothing where no value comes twice."""
    counts = summary.counts
    if counts is None and summary.hashes is not None:
        counts = pd.Series(summary.drawn).value_counts()
    if counts is None or not len(counts) or counts.max() < 2:
        return ""
    # equal counts by their values' names, so that the order does not depend on the blocks
    order = sorted(counts.items(), key=lambda pair: (-pair[1], str(pair[0])))[:most]
    return ", ".join(f"{value} {100 * count / counts.sum():.3g} %" for value, count in order)


def corr(X: Any, sample_weight: Any = None) -> Any:
    """Return Pearson's correlation of each pair of columns, in one pass over the rows.

    Parameters
    ----------
    X : Dask array or DataFrame, NumPy array, pandas DataFrame or sparse matrix, of shape (n_samples, n_features)
        Numbers, of which none is missing.
    sample_weight : array or Dask array of shape (n_samples,), optional

    Returns
    -------
    DataFrame or array of shape (n_features, n_features)
        A pandas DataFrame with the names of the columns for a data frame. NaN beside a constant column.

    Raises
    ------
    DataError
        Where the data cannot be used; it names the argument and the block.

    See Also
    --------
    describe : Counts, moments and quantiles of columns of any type.
    daskml_kit.covariance.EmpiricalCovariance : Covariances, as an estimator.

    Examples
    --------
    >>> import dask.array as da
    >>> corr(da.from_array([[0.0, 1.0], [1.0, 3.0], [2.0, 5.0]], chunks=(2, 2))).round(3)
    array([[1., 1.],
           [1., 1.]])
    """
    scatter: Scatter
    with open_engine(X, None, sample_weight, many_passes=False) as engine:
        (scatter,) = engine.answer(Gram())
    if not scatter.weight > 0:
        raise DataError(f"X: expected rows of positive weight, got {scatter.n_rows} rows that weigh {scatter.weight:g}")
    size = np.sqrt(np.diag(scatter.product))
    with np.errstate(divide="ignore", invalid="ignore"):
        found = scatter.product / np.outer(size, size)
    np.fill_diagonal(found, np.where(size > 0, 1.0, np.nan))
    names = getattr(X, "columns", None)
    return found if names is None else pd.DataFrame(found, index=list(names), columns=list(names))
