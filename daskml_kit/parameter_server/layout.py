"""Named arrays as one vector, cut into ranges of whole rows, one a server."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from daskml_kit.exceptions import DataError
from daskml_kit.numerics.row_sparse import SparseRows, sum_rows
from daskml_kit.parameter_server.protocol import Gradient, RowGradient
from daskml_kit.typing import Array


class Field(NamedTuple):
    """Place and shape of an array in the vector; its rows are those of its first axis."""

    name: str
    start: int
    shape: tuple[int, ...]
    dtype: str

    @property
    def n_rows(self) -> int:
        return self.shape[0] if self.shape else 1

    @property
    def width(self) -> int:
        return math.prod(self.shape[1:])

    @property
    def stop(self) -> int:
        return self.start + self.n_rows * self.width


class FieldRange(NamedTuple):
    """Rows ``first .. last - 1`` of a field that a server holds, from ``start`` of its own vector on."""

    name: str
    first: int
    last: int
    start: int
    width: int

    @property
    def slice(self) -> slice:
        return slice(self.start, self.start + (self.last - self.first) * self.width)


class Layout(NamedTuple):
    """Layout of named arrays in one vector, and the cuts between servers.

    Parameters
    ----------
    fields : tuple of Field
    cuts : tuple of int
        Server i holds the elements ``cuts[i] .. cuts[i + 1] - 1``.
    dtype : str
        Of the vector: float32 or float64.

    Examples
    --------
    >>> layout = Layout.of({"w": np.zeros((3, 2)), "b": np.zeros(2)}, n_servers=2)
    >>> layout.cuts
    (0, 4, 8)
    >>> {name: array.shape for name, array in layout.unflatten(np.arange(8.0)).items()}
    {'w': (3, 2), 'b': (2,)}
    """

    fields: tuple[Field, ...]
    cuts: tuple[int, ...]
    dtype: str

    @classmethod
    def of(cls, params: Mapping[str, Array], n_servers: int) -> Layout:
        """Return the layout of ``params`` over ``n_servers``, each with about as many elements.

        Raises
        ------
        DataError
            Where an array is not of real numbers.
        """
        fields, start = [], 0
        for name, array in params.items():
            if array.dtype.kind != "f":
                raise DataError(f"params[{name!r}]: expected an array of floats, got dtype {array.dtype}")
            fields.append(Field(name, start, array.shape, array.dtype.str))
            start = fields[-1].stop
        dtype = np.result_type(*(array.dtype for array in params.values()), np.float32)
        inner = [_nearest_edge(fields, target) for target in np.linspace(0, start, n_servers + 1)[1:-1].tolist()]
        return cls(tuple(fields), (0, *inner, start), np.dtype(dtype).str)

    @property
    def n_servers(self) -> int:
        return len(self.cuts) - 1

    @property
    def size(self) -> int:
        return self.cuts[-1]

    def field(self, name: str) -> Field:
        """Return the field of this name.

        Raises
        ------
        DataError
            Where there is none.
        """
        for field in self.fields:
            if field.name == name:
                return field
        raise DataError(f"{name!r} is no parameter: expected one of {', '.join(repr(f.name) for f in self.fields)}")

    def spans(self, server: int) -> list[FieldRange]:
        """Return the ranges of rows of fields that a server holds."""
        low, high = self.cuts[server], self.cuts[server + 1]
        spans = []
        for field in self.fields:
            start, stop = max(low, field.start), min(high, field.stop)
            if start < stop:
                first, last = ((at - field.start) // field.width for at in (start, stop))
                spans.append(FieldRange(field.name, first, last, start - low, field.width))
        return spans

    def holds_only(self, server: int, names: Collection[str]) -> bool:
        """Return whether a server holds rows of these fields, and of no others."""
        spans = self.spans(server)
        return bool(spans) and all(span.name in names for span in spans)

    def ranges(self) -> Iterator[slice]:
        """Yield the part of the vector of each server."""
        return (slice(a, b) for a, b in pairwise(self.cuts))

    def flatten(self, arrays: Mapping[str, Array], argument: str = "params") -> Array:
        """Return the arrays as one vector.

        Raises
        ------
        DataError
            Where a name is unknown or missing, or a shape is not that of the parameter.
        """
        for name in arrays:
            self.field(name)
        vector = np.empty(self.size, self.dtype)
        for field in self.fields:
            if field.name not in arrays:
                raise DataError(f"{argument}: expected an array for {field.name!r}, got none")
            array = np.asarray(arrays[field.name])
            if array.shape != field.shape:
                raise DataError(f"{argument}[{field.name!r}]: expected shape {field.shape}, got {array.shape}")
            check_real(array, f"{argument}[{field.name!r}]")
            vector[field.start : field.stop] = array.ravel()
        return vector

    def unflatten(self, vector: Array) -> dict[str, Array]:
        """Return the named arrays of a vector, views of it where they have its dtype."""
        return {
            field.name: vector[field.start : field.stop].reshape(field.shape).astype(field.dtype, copy=False)
            for field in self.fields
        }

    def locate(self, name: str, rows: Array | None) -> Iterator[tuple[int, Any, Any]]:
        """Yield the servers of some ``rows`` of a field: server, positions in ``rows``, and its own numbers of them.

        None stands for all rows, and gives slices.
        """
        own = ((server, span) for server in range(self.n_servers) for span in self.spans(server) if span.name == name)
        for server, span in own:
            if rows is None:
                yield server, slice(span.first, span.last), slice(None)
                continue
            positions = np.flatnonzero((rows >= span.first) & (rows < span.last))
            if len(positions):
                yield server, positions, rows[positions] - span.first


def _nearest_edge(fields: Sequence[Field], target: float) -> int:
    """Return where a row of a field begins or ends, as near to ``target`` as can be; of two the first.

    Examples
    --------
    >>> _nearest_edge([Field("w", 0, (3, 4), "<f8"), Field("b", 12, (2,), "<f8")], 6.0)
    4
    """
    edges = [0]
    for field in fields:
        width = max(field.width, 1)
        before = field.start + int(min(max(target, field.start), field.stop) - field.start) // width * width
        edges += [before, min(before + width, field.stop)]
    return min(edges, key=lambda edge: (abs(edge - target), edge))


def check_real(array: Array, argument: str) -> None:
    """Raise a DataError where an array is not of real numbers."""
    if array.dtype.kind not in "fiub":
        raise DataError(f"{argument}: expected real numbers, got {array.dtype}")


def cut(layout: Layout, gradients: Mapping[str, Any], apart: Collection[str] = ()) -> list[Gradient]:
    """Cut ``gradients``, arrays or `SparseRows`, into the part of each server.

    Parameters without a gradient stay as they are. A server without any gets an empty part, and counts the step. Fields
    that are cut ``apart`` are the last of the layout: the vector of all others ends where they begin.

    Raises
    ------
    DataError
        Where a name is unknown, or a shape is not the parameter's.
    """
    fields = tuple(field for field in layout.fields if field.name not in apart)
    if len(gradients) == len(fields) and not any(isinstance(g, SparseRows) for g in gradients.values()):
        vector = _vector(layout._replace(fields=fields, cuts=(0, fields[-1].stop)), gradients)
        return [vector[part] for part in layout.ranges()]
    parts: list[list[RowGradient]] = [[] for _ in range(layout.n_servers)]
    for name, gradient in gradients.items():
        rows, values = _rows(layout.field(name), gradient, np.dtype(layout.dtype))
        for server, positions, own in layout.locate(name, rows):
            parts[server].append(RowGradient(name, own, values[positions]))
    return [tuple(part) for part in parts]


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
    """Return the message about the first NaN or infinity in a gradient; None where all are finite."""
    for name, gradient in gradients.items():
        values = np.asarray(gradient.values if isinstance(gradient, SparseRows) else gradient)
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
    if isinstance(gradient, SparseRows):
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
