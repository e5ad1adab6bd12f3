"""Which values are missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from daskml_kit.typing import Array


def missing_mask(values: Any, marker: Any) -> Array:
    """Return where ``values``, an array or a pandas column, are ``marker``, as scikit-learn's imputers see it.

    NaN is not None; pd.NA stands for every kind of missing value.

    Examples
    --------
    >>> missing_mask(np.array(["a", None, np.nan], dtype=object), np.nan)
    array([False, False,  True])
    >>> missing_mask(np.array([1, -1]), -1)
    array([False,  True])
    """
    if marker is pd.NA or (is_nan(marker) and values.dtype != object):
        return np.asarray(pd.isna(values))
    plain = np.asarray(values)
    if is_nan(marker):
        return np.fromiter((is_nan(value) for value in plain.flat), bool, plain.size).reshape(plain.shape)
    if marker is None:
        return np.fromiter((value is None for value in plain.flat), bool, plain.size).reshape(plain.shape)
    return np.asarray(plain == marker)


def is_nan(value: Any) -> bool:
    return isinstance(value, (float, np.floating)) and bool(np.isnan(value))
