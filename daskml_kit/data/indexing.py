"""Some rows of an array, a CSR matrix, a data frame or a series, taken and joined alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from daskml_kit.typing import Array


def take(part: Any, rows: Array) -> Any:
    """Return the rows of ``part`` at the positions ``rows``, or where a mask is true.

    Examples
    --------
    >>> take(np.arange(4) * 10, np.array([3, 0]))
    array([30,  0])
    """
    if isinstance(part, (list, tuple)):
        return [part[i] for i in (np.flatnonzero(rows) if rows.dtype == bool else rows).tolist()]
    if isinstance(part, pd.Index) or hasattr(part, "iloc"):
        return part.take(np.flatnonzero(rows) if rows.dtype == bool else rows)
    if sp.issparse(part) or rows.dtype == bool:
        return part[rows]
    return np.take(part, rows, axis=0)


def cut(part: Any, start: int, stop: int) -> Any:
    """Return the rows ``start .. stop - 1`` of ``part``, a view where that is possible."""
    return part.iloc[start:stop] if isinstance(part, (pd.DataFrame, pd.Series)) else part[start:stop]


def join(parts: Sequence[Any]) -> Any:
    """Return the rows of ``parts`` below each other; categories that differ are united.

    Examples
    --------
    >>> join([np.array([1, 2]), np.array([3])])
    array([1, 2, 3])
    """
    first = parts[0]
    if isinstance(first, pd.DataFrame):
        return pd.concat(_with_same_categories(parts)) if len(parts) > 1 else first
    if isinstance(first, pd.Series):
        if isinstance(first.dtype, pd.CategoricalDtype):
            return join([part.to_frame() for part in parts]).iloc[:, 0]
        return pd.concat(list(parts)) if len(parts) > 1 else first
    if isinstance(first, list):
        return [row for part in parts for row in part]
    if sp.issparse(first):
        return sp.vstack(parts, format="csr") if len(parts) > 1 else first
    return np.concatenate(parts) if len(parts) > 1 else first


def n_rows(part: Any) -> int:
    return int(part.shape[0]) if hasattr(part, "shape") else len(part)


def _with_same_categories(frames: Sequence[pd.DataFrame]) -> Sequence[pd.DataFrame]:
    positions = [i for i, dtype in enumerate(frames[0].dtypes) if isinstance(dtype, pd.CategoricalDtype)]
    changed = [frame.copy(deep=False) for frame in frames] if positions else list(frames)
    for position in positions:
        columns = [frame.iloc[:, position] for frame in frames]
        if all(column.dtype == columns[0].dtype for column in columns):
            continue
        united = pd.api.types.union_categoricals(columns).categories
        for frame, column in zip(changed, columns, strict=True):
            frame.isetitem(position, column.cat.set_categories(united))
    return changed
