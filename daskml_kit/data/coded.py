"""CSR matrices of one-hot columns, stored as the number of a column for each row and category."""

from __future__ import annotations

import threading
from abc import ABC
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from daskml_kit.typing import Array

_expanding = threading.Lock()


class CodedRows(ABC):
    """A CSR matrix that holds codes, and becomes an ordinary one where its arrays are asked for.

    A number of a one-hot column takes the two bytes of its code in place of twelve, and loops over codes neither read
    nor multiply ones. Everything else sees SciPy's matrix: ``data``, ``indices`` and ``indptr`` are made at the first
    look at one of them, after which the codes are gone, since the arrays may be written.

    `coded` makes one.

    Attributes
    ----------
    codes : array of unsigned int of shape (n_rows, n_categorical)
        The column of each one, ascending in a row; ``n_columns`` or more where a category has none.
    dense : float array of shape (n_rows, n_dense)
        Columns of numbers.
    columns : int array of shape (n_dense,)
        Where these are, ascending.
    spans : int array of shape (n_categorical, 2)
        The first column of each category, and the one behind its last: a row has no two ones in one of these.
    kind : type
        The class of SciPy that this one extends.
    """

    kind: Any
    codes: Array
    dense: Array
    columns: Array
    spans: Array

    def __getattr__(self, name: str) -> Any:
        if name not in ("data", "indices", "indptr"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        with _expanding:
            if name not in vars(self):
                self._expand()
        return vars(self)[name]

    def __reduce__(self) -> Any:
        return (coded, (self.kind, *self.arrays, self.spans))

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice) or (isinstance(key, np.ndarray) and key.ndim == 1):
            return self._like(self.codes[key], self.dense[key])
        return self.kind.__getitem__(self, key)

    @property
    def shape(self) -> tuple[int, int]:
        rows, columns = self.kind.shape.fget(self)
        return int(rows), int(columns)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.dense.dtype

    @cached_property
    def nnz(self) -> int:
        """The numbers that are not zero."""
        return int(np.count_nonzero(self.codes < self.shape[1]) + np.count_nonzero(self.dense))

    @property
    def n_bytes(self) -> int:
        return self.codes.nbytes + self.dense.nbytes

    @property
    def arrays(self) -> tuple[Array, Array, Array, int]:
        """The arguments of loops over codes."""
        return self.codes, self.dense, self.columns, self.shape[1]

    def astype(self, dtype: Any, casting: str = "unsafe", copy: bool = True) -> Any:
        dense = self.dense.astype(dtype, casting=casting, copy=False)  # type: ignore[call-overload]  # any casting
        return self if not copy and dense is self.dense else self._like(self.codes, dense)

    def copy(self) -> Any:
        return self._like(self.codes, self.dense)  # neither is ever written

    def expanded(self) -> Any:
        """Return an ordinary matrix, and stay as it is."""
        plain = self.copy()
        plain._expand()
        return plain

    def aligned(self) -> Any:
        """Return the same in aligned memory."""
        parts = (part if part.flags.aligned else part.copy() for part in (self.codes, self.dense))
        return self._like(*parts)

    def relabeled(self, chosen: Array) -> Any:
        """Return the columns ``chosen`` (ascending); no row has a number in others."""
        places = np.full(self.shape[1] + 1, len(chosen), self.codes.dtype)
        places[chosen] = np.arange(len(chosen))
        kept = places[self.columns] < len(chosen)
        codes = places[np.minimum(self.codes, self.shape[1])]
        columns = places[self.columns[kept]].astype(np.intp)
        return coded(self.kind, codes, self.dense[:, kept], columns, len(chosen), np.searchsorted(chosen, self.spans))

    def used_columns(self) -> Array:
        """Return of each column whether a row may have a number there."""
        used = np.zeros(max(self.shape[1], int(self.codes.max(initial=0))) + 1, bool)
        used[self.codes] = True
        used[self.columns] = True
        return used[: self.shape[1]]

    def _like(self, codes: Array, dense: Array) -> Any:
        return coded(self.kind, codes, dense, self.columns, self.shape[1], self.spans)

    def _expand(self) -> None:
        """Become the ordinary matrix, with the ones and the numbers that are not zero."""
        n_rows, n_columns = self.shape
        position = np.int32 if self.codes.size + self.dense.size < 2**31 else np.int64
        indices = np.concatenate([self.codes.astype(position), np.tile(self.columns, (n_rows, 1))], axis=1)
        values = np.concatenate([np.ones(self.codes.shape, self.dtype), self.dense], axis=1)
        order = np.argsort(indices, axis=1, kind="stable") if len(self.columns) else None
        if order is not None:
            indices, values = np.take_along_axis(indices, order, 1), np.take_along_axis(values, order, 1)
        stored = (indices < n_columns) & (values != 0)
        starts = np.zeros(n_rows + 1, position)
        np.cumsum(stored.sum(axis=1), out=starts[1:])
        arrays = {"data": values[stored], "indices": indices[stored].astype(position, copy=False), "indptr": starts}
        vars(self).update(arrays)  # in this order: `code_arrays` of another thread finds either codes or these
        self.__class__ = self.kind
        for name in ("codes", "dense", "columns", "spans", "nnz"):
            vars(self).pop(name, None)
        self.has_canonical_format = True


def _extension(name: str, kind: Any) -> Any:
    """Return a subclass of SciPy's ``kind`` with the methods of `CodedRows`: of two bases no object becomes one."""
    inherited = ("_abc_impl", "__abstractmethods__", "__dict__", "__weakref__")
    own = {name: member for name, member in vars(CodedRows).items() if name not in inherited}
    return CodedRows.register(type(name, (kind,), {**own, "kind": kind, "__qualname__": name}))


CodedArray = _extension("CodedArray", sp.csr_array)
CodedMatrix = _extension("CodedMatrix", sp.csr_matrix)


def coded(kind: Any, codes: Array, dense: Array, columns: Array, n_columns: int, spans: Array) -> Any:
    """Return a matrix of codes that is a ``kind`` of SciPy's, `csr_array` or `csr_matrix`.

    Examples
    --------
    >>> codes, dense = np.array([[0], [1]], np.uint16), np.array([[5.0], [0.0]])
    >>> X = coded(sp.csr_array, codes, dense, np.array([2]), 3, np.array([[0, 2]]))
    >>> X.toarray()
    array([[1., 0., 5.],
           [0., 1., 0.]])
    """
    matrix = kind((len(codes), n_columns), dtype=dense.dtype)
    for name in ("data", "indices", "indptr"):  # `CodedRows` makes them where they are missing
        delattr(matrix, name)
    matrix.__class__ = CodedMatrix if kind is sp.csr_matrix else CodedArray
    matrix.codes, matrix.dense, matrix.columns, matrix.spans = codes, dense, columns, spans
    return matrix


def recognized(matrices: Sequence[Any]) -> Sequence[Any]:
    """Return CSR blocks of one-hot columns and numbers, as encoders make them, as codes; any others as they are.

    Each row stores as many numbers, the i-th of them in columns of its own; those in several columns are ones.

    Examples
    --------
    >>> X = sp.csr_array(np.array([[1.0, 0.0, 5.0], [0.0, 1.0, 7.0]]))
    >>> [found] = recognized([X])
    >>> found.codes.tolist(), found.dense.tolist()
    ([[0], [1]], [[5.0], [7.0]])
    """
    filled = [X for X in matrices if X.shape[0]]
    if any(isinstance(X, CodedRows) or X.data.dtype.kind != "f" or not X.has_canonical_format for X in filled):
        return matrices
    stored = int(filled[0].indptr[1]) if filled else 0
    if stored < 2 or not all((np.diff(X.indptr) == stored).all() for X in filled):
        return matrices
    indices = [X.indices.reshape(-1, stored) for X in filled]
    first, last = np.min([i.min(axis=0) for i in indices], axis=0), np.max([i.max(axis=0) for i in indices], axis=0)
    several = first < last
    if (first[1:] <= last[:-1]).any() or not several.any():
        return matrices
    if not all((X.data.reshape(-1, stored)[:, several] == 1).all() for X in filled):
        return matrices
    columns, spans = first[~several].astype(np.intp), np.stack([first[several], last[several] + 1], axis=1)
    found = []
    for X in matrices:
        codes = X.indices.reshape(-1, stored)[:, several].astype(code_type(X.shape[1]))
        dense = np.ascontiguousarray(X.data.reshape(-1, stored)[:, ~several])
        found.append(coded(sp.csr_array, codes, dense, columns, X.shape[1], spans.astype(np.intp)))
    return found


def below_each_other(parts: Sequence[CodedRows]) -> Any:
    """Return the rows of matrices of codes of the same columns, as such a matrix."""
    first = parts[0]
    codes, dense = (np.concatenate([getattr(part, name) for part in parts]) for name in ("codes", "dense"))
    return coded(first.kind, codes, dense, first.columns, first.shape[1], first.spans)


def code_arrays(X: Any) -> tuple[Array, Array, Array, int] | None:
    """Return the arguments of loops over codes, None where ``X`` is, or has just become, an ordinary matrix."""
    return getattr(X, "arrays", None)


def code_type(n_columns: int) -> type[np.unsignedinteger[Any]]:
    """Return the smallest type of codes of so many columns, and of one that there is not."""
    return np.uint16 if n_columns < np.iinfo(np.uint16).max else np.uint32


def side_by_side(parts: Sequence[Any], kind: Any, dtype: np.dtype[Any]) -> Any:
    """Return matrices of codes and dense columns next to each other, as one matrix of codes.

    Parameters
    ----------
    parts : sequence of CodedRows and arrays of shape (n_rows, n)
    kind : type
        `csr_array` or `csr_matrix`.
    dtype : dtype
        Of the numbers.
    """
    edges = np.cumsum([0, *(part.shape[1] for part in parts)])
    n_rows, n_columns = parts[0].shape[0], int(edges[-1])
    where = [(part, int(start)) for part, start in zip(parts, edges, strict=False)]
    encoded = [(part, start) for part, start in where if isinstance(part, CodedRows)]
    codes = np.empty((n_rows, sum(part.codes.shape[1] for part, _ in encoded)), code_type(n_columns))
    numbers = [part.dense if isinstance(part, CodedRows) else part for part in parts]
    columns = [start + (p.columns if isinstance(p, CodedRows) else np.arange(p.shape[1])) for p, start in where]
    first = 0
    for part, start in encoded:
        own = codes[:, first : first + part.codes.shape[1]]
        np.add(part.codes, start, out=own, casting="unsafe")
        if (absent := part.codes >= part.shape[1]).any():
            own[absent] = n_columns
        first += part.codes.shape[1]
    dense = np.concatenate(numbers, axis=1, dtype=dtype) if numbers else np.empty((n_rows, 0), dtype)
    spans = np.concatenate([part.spans + start for part, start in encoded])
    return coded(kind, codes, dense, np.concatenate(columns).astype(np.intp), n_columns, spans)
