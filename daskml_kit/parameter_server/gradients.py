"""Gradients by name, cut into what each server is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from daskml_kit.errors import DataError
from daskml_kit.numerics.rows import Rows, sum_rows
from daskml_kit.parameter_server.layout import Field, Layout, check_real
from daskml_kit.parameter_server.messages import Gradient, RowGradient
from daskml_kit.typing import Array


def cut(layout: Layout, gradients: Mapping[str, Any]) -> list[Gradient]:
    """Return what each server is told of ``gradients``, arrays or `Rows`; parameters without any stay as they are.

    Where there is none for a server, it is told so, and counts the step.

    Raises
    ------
    DataError
        Where a name is unknown, or a shape is not the parameter's.
    """
    if len(gradients) == len(layout.fields) and not any(isinstance(g, Rows) for g in gradients.values()):
        vector = _vector(layout, gradients)
        return [vector[part] for part in layout.ranges()]
    told: list[list[RowGradient]] = [[] for _ in range(layout.n_servers)]
    for name, gradient in gradients.items():
        field = layout.field(name)
        rows, values = _rows(field, gradient, np.dtype(layout.dtype))
        for server, positions in layout.shares(name, rows):
            first = next(span.first for span in layout.spans(server) if span.name == name)
            told[server].append(RowGradient(name, rows[positions] - first, values[positions]))
    return [tuple(parts) for parts in told]


def check_rows(field: Field, rows: Any) -> Array:
    """Return row numbers as an array.

    Raises
    ------
    DataError
        Where they are not whole numbers, or not rows of the field.
    """
    numbers = np.asarray(rows)
    if numbers.ndim != 1 or (numbers.size and numbers.dtype.kind not in "iu"):
        raise DataError(
            f"rows[{field.name!r}]: expected a vector of whole numbers, got {numbers.dtype} {numbers.shape}"
        )
    if numbers.size and not 0 <= numbers.min() <= numbers.max() < field.n_rows:
        raise DataError(
            f"rows[{field.name!r}]: expected rows from 0 to {field.n_rows - 1}, got {numbers.min()} to {numbers.max()}"
        )
    return numbers.astype(np.int64, copy=False)


def non_finite(gradients: Mapping[str, Any]) -> str | None:
    """Return where a gradient holds a NaN or an infinity; None where all are finite."""
    for name, gradient in gradients.items():
        values = np.asarray(gradient.values if isinstance(gradient, Rows) else gradient)
        with np.errstate(all="ignore"):  # a sum of large numbers may overflow, and is then looked at one by one
            total = values.sum()
        if not np.isfinite(total) and not np.isfinite(values).all():
            place = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
            return f"gradients[{name!r}]: expected finite numbers, got {values[place]} at {place}"
    return None


def _vector(layout: Layout, gradients: Mapping[str, Any]) -> Array:
    """Return all gradients as one vector; one array alone, of the servers' dtype, is not copied."""
    (name, first), *others = gradients.items()
    alone = np.asarray(first)
    if others or alone.dtype != layout.dtype or alone.shape != layout.field(name).shape:
        return layout.flatten(gradients, "gradients")
    return alone.reshape(-1)


def _rows(field: Field, gradient: Any, dtype: np.dtype[Any]) -> tuple[Array, Array]:
    if isinstance(gradient, Rows):
        rows, values = check_rows(field, gradient.rows), np.asarray(gradient.values)
        expected = (len(rows), *field.shape[1:])
    else:
        values, expected = np.asarray(gradient), field.shape
        rows = np.arange(field.n_rows)
    if values.shape != expected:
        raise DataError(f"gradients[{field.name!r}]: expected shape {expected}, got {values.shape}")
    check_real(values, f"gradients[{field.name!r}]")
    values = values.astype(dtype, copy=False).reshape(len(rows), field.width)
    return (rows, values) if (rows[1:] > rows[:-1]).all() else sum_rows(rows, values)
