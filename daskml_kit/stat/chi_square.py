"""Chi-squared tests of labels, on counts of one pass."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import scipy.stats

from daskml_kit.exceptions import DataError
from daskml_kit.metrics.inputs import reduce_scores
from daskml_kit.reductions.distinct_pairs import DistinctPairs, PairTotals


def crosstab(x: Any, y: Any) -> pd.DataFrame:
    """Count the rows of each pair of labels, in one pass.

    Parameters
    ----------
    x, y : array, Dask array or Series of shape (n_samples,)
        Integers, whole numbers, booleans or strings, none of which is missing.

    Returns
    -------
    pandas DataFrame
        Counts; its index are the labels of x, its columns those of y, sorted.

    Raises
    ------
    DataError
        Where labels are missing, fractions or of several types, or lengths differ; it names the argument.

    See Also
    --------
    chi2_contingency : A test of independence.

    Examples
    --------
    >>> import dask.array as da
    >>> x, y = da.from_array(["a", "b", "a", "a"], chunks=2), da.from_array([0, 1, 1, 0], chunks=3)
    >>> crosstab(x, y)
       0  1
    a  2  1
    b  0  1
    """
    found = _counted(x, y)
    rows, row = np.unique(found.truth, return_inverse=True)
    columns, column = np.unique(found.predicted, return_inverse=True)
    table = np.zeros((len(rows), len(columns)), np.int64)
    table[row, column] = found.mass
    return pd.DataFrame(table, rows, columns)


def chi2_contingency(x: Any, y: Any, *, correction: bool = True, lambda_: str | float | None = None) -> Any:
    """Test whether two labels of each row are independent, in one pass.

    Parameters
    ----------
    x, y : array, Dask array or Series of shape (n_samples,)
        Integers, whole numbers, booleans or strings, none of which is missing.
    correction : bool, default True
        Yates' correction where there are two labels of each.
    lambda_ : float or str, optional
        Another statistic of the power divergence family, as in `scipy.stats.power_divergence`.

    Returns
    -------
    scipy.stats result
        ``statistic``, ``pvalue``, ``dof`` and ``expected_freq``: that of `scipy.stats.chi2_contingency` of `crosstab`.

    Raises
    ------
    DataError
        Where labels are missing, fractions or of several types, or lengths differ; it names the argument.

    See Also
    --------
    crosstab : The counts.
    daskml_kit.feature_selection.chi2 : Scores of columns of counts.

    Examples
    --------
    >>> import dask.array as da
    >>> x, y = da.from_array([0, 0, 1, 1] * 5, chunks=7), da.from_array([0, 0, 0, 1] * 5, chunks=20)
    >>> chi2_contingency(x, y).pvalue.round(4)
    np.float64(0.0389)
    """
    return scipy.stats.chi2_contingency(crosstab(x, y).to_numpy(), correction=correction, lambda_=lambda_)


def chisquare(x: Any, f_exp: Any = None, *, ddof: int = 0) -> Any:
    """Test whether labels come as often as expected, in one pass.

    Parameters
    ----------
    x : array, Dask array or Series of shape (n_samples,)
        Integers, whole numbers, booleans or strings, none of which is missing.
    f_exp : mapping of labels to numbers, or sequence of numbers, optional
        Rows that are expected of each label, in a sequence in the order of the sorted labels that occur; by default as
        many of each. Their sum has to be the number of rows.
    ddof : int, default 0
        Degrees of freedom that are taken off.

    Returns
    -------
    scipy.stats result
        ``statistic`` and ``pvalue``: that of `scipy.stats.chisquare` of the counts.

    Raises
    ------
    DataError
        Where labels are missing, fractions or of several types, or not in ``f_exp``.

    See Also
    --------
    kstest : A continuous distribution.

    Examples
    --------
    >>> import dask.array as da
    >>> chisquare(da.from_array([1, 1, 2, 3, 3, 3], chunks=4)).statistic
    np.float64(1.0)
    """
    found = _counted(x, x)
    labels, counts = found.truth.tolist(), dict(zip(found.truth.tolist(), found.mass.tolist(), strict=True))
    if isinstance(f_exp, Mapping):
        unknown = [label for label in labels if label not in f_exp]
        if unknown:
            raise DataError(f"f_exp: expected a number for each label, got none for {unknown[0]!r}")
        labels, f_exp = list(f_exp), list(f_exp.values())
    return scipy.stats.chisquare([counts.get(label, 0) for label in labels], f_exp, ddof=ddof)


def _counted(x: Any, y: Any) -> PairTotals:
    try:
        found: PairTotals = reduce_scores(
            DistinctPairs("x", "y", alike=False), lambda total: total, x, y, None, True, "y"
        )
    except DataError as error:
        raise DataError(re.sub(r"\by_true\b", "x", str(error))) from error
    if not found.n_rows:
        raise DataError("x: expected at least one row, got none")
    order = np.lexsort((found.predicted, found.truth))
    return found._replace(truth=found.truth[order], predicted=found.predicted[order], mass=found.mass[order])
