"""A hash of keys that is the same on every machine, in every process and for every width of dtype."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from daskml_kit.exceptions import DataError

FIRST, SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def hash_keys(columns: Sequence[tuple[str, Any]]) -> NDArray[np.uint64]:
    """Return a hash of each row of the key ``columns``, of which there is at least one.

    Equal values have equal hashes: 3, 3.0 and ``np.int8(3)``, "a" as object, Arrow string or category, an instant in
    any unit and time zone.

    Parameters
    ----------
    columns : sequence of (name, array or Series)

    Raises
    ------
    DataError
        Where a key is missing, or of a kind that has no hash here.

    References
    ----------
    Numbers: the finalizer of S. Vigna's splitmix64. Strings: SipHash, by `pandas.util.hash_array`.

    Examples
    --------
    >>> from_int, from_float = (hash_keys([("k", np.array([7, 8], dtype))]) for dtype in ("i1", "f4"))
    >>> bool((from_int == from_float).all())
    True
    """
    hashes = _hash_column(*columns[0])
    for name, values in columns[1:]:
        hashes = _mixed(hashes * GOLDEN + _hash_column(name, values))
    return hashes


def _hash_column(name: str, values: Any) -> NDArray[np.uint64]:
    series = values if isinstance(values, pd.Series) else pd.Series(values)
    n_missing = int(series.isna().sum())
    if n_missing:
        row = int(np.flatnonzero(series.isna().to_numpy())[0])
        raise DataError(
            f"by: {name} has missing keys, {n_missing} of them here, the first in row {row}: drop or fill them"
        )
    if isinstance(series.dtype, pd.CategoricalDtype):
        codes = series.cat.codes.to_numpy()
        return _hash_column(name, series.cat.categories.to_series())[codes] if len(codes) else _mixed(codes)
    return _hash_values(name, series)


def _hash_values(name: str, series: pd.Series[Any]) -> NDArray[np.uint64]:
    dtype = series.dtype
    if pd.api.types.is_bool_dtype(dtype) or pd.api.types.is_integer_dtype(dtype):
        kind = np.uint64 if pd.api.types.is_unsigned_integer_dtype(dtype) else np.int64
        return _mixed(series.to_numpy(dtype=kind))
    if pd.api.types.is_float_dtype(dtype):
        return _hash_floats(series.to_numpy(dtype=np.float64))
    if isinstance(dtype, pd.ArrowDtype) and dtype.kind in "mMO":
        return _hash_objects(name, series.astype(object))
    if pd.api.types.is_datetime64_any_dtype(dtype) or pd.api.types.is_timedelta64_dtype(dtype):
        return _hash_times(series.dt.tz_convert(None) if getattr(dtype, "tz", None) else series)
    if pd.api.types.is_object_dtype(dtype):
        return _hash_objects(name, series)
    if pd.api.types.is_string_dtype(dtype):
        return np.asarray(pd.util.hash_array(series.to_numpy(dtype=object)))
    raise DataError(f"by: expected keys that are numbers, strings, categories or times, got {name} of dtype {dtype}")


def _hash_objects(name: str, series: pd.Series[Any]) -> NDArray[np.uint64]:
    kind = pd.api.types.infer_dtype(series)
    if kind in ("string", "empty"):
        return np.asarray(pd.util.hash_array(series.to_numpy(dtype=object)))
    if kind in ("integer", "boolean", "floating", "mixed-integer-float"):
        numbers = pd.to_numeric(series)
        if pd.api.types.is_object_dtype(numbers):
            raise DataError(f"by: expected integers of 64 bits, got {name} with larger ones")
        return _hash_values(name, numbers)
    try:
        if kind in ("datetime64", "datetime", "date"):
            return _hash_values(name, pd.to_datetime(series))
        if kind in ("timedelta64", "timedelta"):
            return _hash_values(name, pd.to_timedelta(series))
    except ValueError as error:  # such as times of which only some have a zone
        raise DataError(f"by: {name} with {kind}: {error}") from None
    raise DataError(f"by: expected keys of one kind, numbers, strings, categories or times, got {name} with {kind}")


def _hash_floats(values: NDArray[np.float64]) -> NDArray[np.uint64]:
    whole = np.floor(values) == values
    signed, unsigned = whole & (np.abs(values) < 2.0**63), whole & (values >= 2.0**63) & (values < 2.0**64)
    bits = values.view(np.uint64).copy()
    bits[signed] = values[signed].astype(np.int64).view(np.uint64)
    bits[unsigned] = values[unsigned].astype(np.uint64)
    return _mixed(bits)


def _hash_times(series: pd.Series[Any]) -> NDArray[np.uint64]:
    values = series.to_numpy()
    unit = np.datetime_data(values.dtype)[0]
    if unit not in PER_SECOND:
        values, unit = values.astype(f"{values.dtype.kind}8[s]"), "s"
    seconds, rest = np.divmod(values.view(np.int64), PER_SECOND[unit])
    return _mixed(_mixed(seconds) + (rest * (10**9 // PER_SECOND[unit])).view(np.uint64))


def _mixed(values: Any) -> NDArray[np.uint64]:
    bits = np.asarray(values)
    bits = bits.astype(np.int64).view(np.uint64) if bits.dtype.kind == "i" else bits.astype(np.uint64)
    bits += GOLDEN
    bits = (bits ^ (bits >> np.uint64(30))) * FIRST
    bits = (bits ^ (bits >> np.uint64(27))) * SECOND
    return np.asarray(bits ^ (bits >> np.uint64(31)))
