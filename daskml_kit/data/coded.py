"""CSR matrices of one-hot columns, stored as the number of a column for each row and category."""

from __future__ import annotations

import threading
from abc import ABC
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from daskml_kit.typing import Array

ARRAYS = ("data", "indices", "indptr")
_expanding = threading.Lock()


class CodeParts(NamedTuple):
    """Rows of one-hot columns and numbers.

    Parameters
    ----------
    kind : type
        The class of SciPy that a matrix of these extends, `csr_array` or `csr_matrix`.
    codes : array of unsigned int of shape (n_rows, n_categorical)
        The column of each one, ascending in a row; ``n_columns`` or more where a category has none.
    dense : float array of shape (n_rows, n_dense)
        Columns of numbers.
    columns : int array of shape (n_dense,)
        Where these are, ascending.
    n_columns : int
        The width of the matrix.
    spans : int array of shape (n_categorical, 2)
        The first column of each category, and the one behind its last: a row has no two ones in one of these.
    """

    kind: Any
    codes: Array
    dense: Array
    columns: Array
    n_columns: int
    spans: Array

    def matrix(self) -> Any:
        return coded(*self)

    def stored(self) -> dict[str, Array]:
        """Return the arrays of a CSR matrix with the ones, and the numbers that are not zero."""
        position = np.int32 if self.codes.size + self.dense.size < 2**31 else np.int64
        places = np.tile(self.columns, (len(self.codes), 1))
        indices = np.concatenate([self.codes.astype(position), places], axis=1)
        values = np.concatenate([np.ones(self.codes.shape, self.dense.dtype), self.dense], axis=1)
        if len(self.columns):
            order = np.argsort(indices, axis=1, kind="stable")
            indices, values = np.take_along_axis(indices, order, 1), np.take_along_axis(values, order, 1)
        kept = (indices < self.n_columns) & (values != 0)
        starts = np.zeros(len(self.codes) + 1, position)
        np.cumsum(kept.sum(axis=1), out=starts[1:])
        return {"data": values[kept], "indices": indices[kept].astype(position, copy=False), "indptr": starts}


class CodedRows(ABC):
    """A CSR matrix that holds `CodeParts`, and becomes an ordinary one where its arrays are asked for.

    A number of a one-hot column takes the two bytes of its code in place of twelve, and loops over codes neither read
    nor multiply ones. Everything else sees SciPy's matrix: ``data``, ``indices`` and ``indptr`` are made at the first
    look at one of them, after which the codes are gone, since the arrays may be written. Another thread may do so at
    any time: a method that finds no codes is that of the ordinary matrix.

    `coded` makes one.
    """

    def __new__(cls, *args: Any, **options: Any) -> Any:
        """Return an ordinary matrix: SciPy makes results by the class of an operand."""
        return cls.kind(*args, **options)

    kind: Any
    codes = property(lambda self: codes_of(self).codes)
    dense = property(lambda self: codes_of(self).dense)
    columns = property(lambda self: codes_of(self).columns)
    spans = property(lambda self: codes_of(self).spans)

    def __getattr__(self, name: str) -> Any:
        if name not in ARRAYS:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        _expand(self)
        return vars(self)[name]

    def __setattr__(self, name: str, value: Any) -> None:
        if name in (*ARRAYS, "dtype", "shape"):
            _expand(self)
        object.__setattr__(self, name, value)

    def __reduce__(self) -> Any:
        own = codes_of(self)
        return self.__reduce_ex__(2) if own is None else (coded, tuple(own))

    def __getitem__(self, key: Any) -> Any:
        own = codes_of(self)
        if own is None:
            return self[key]
        if isinstance(key, np.ndarray) and key.ndim == 1 and key.dtype.kind in "iu":  # which is faster than an index
            return own._replace(codes=np.take(own.codes, key, axis=0), dense=np.take(own.dense, key, axis=0)).matrix()
        if isinstance(key, slice) or (isinstance(key, np.ndarray) and key.ndim == 1):
            return own._replace(codes=own.codes[key], dense=own.dense[key]).matrix()
        return own.kind.__getitem__(self, key)

    @property
    def dtype(self) -> np.dtype[Any]:
        own = codes_of(self)
        found: np.dtype[Any] = (self.data if own is None else own.dense).dtype
        return found

    @property
    def nnz(self) -> int:
        """The numbers that are not zero."""
        own = codes_of(self)
        if own is None:
            return len(self.data)
        return int(np.count_nonzero(own.codes < own.n_columns) + np.count_nonzero(own.dense))

    def astype(self, dtype: Any, casting: str = "unsafe", copy: bool = True) -> Any:
        own = codes_of(self)
        if own is None:
            return self.astype(dtype, casting, copy)
        dense = own.dense.astype(dtype, casting=casting, copy=False)
        return self if not copy and dense is own.dense else own._replace(dense=dense).matrix()

    def copy(self) -> Any:
        own = codes_of(self)
        return self.copy() if own is None else own.matrix()  # codes are never written


def codes_of(X: Any) -> Any:
    """Return the `CodeParts` of a matrix, None where it is an ordinary one."""
    return vars(X).get("own_codes") if hasattr(X, "__dict__") else None


def _expand(X: Any) -> None:
    """Make a matrix of codes an ordinary one."""
    with _expanding:
        own = codes_of(X)
        if own is None:
            return
        vars(X).update(own.stored())  # in this order: other threads find either codes or these
        X.__class__ = own.kind
        del vars(X)["own_codes"]
        X.has_canonical_format = True


def expanded(X: Any) -> Any:
    """Return an ordinary matrix for one of codes, which stays as it is."""
    own = codes_of(X)
    if own is None:
        return X
    plain = own.matrix()
    _expand(plain)
    return plain


def aligned(own: CodeParts) -> Any:
    """Return a matrix of codes in aligned memory."""
    codes, dense = (part if part.flags.aligned else part.copy() for part in (own.codes, own.dense))
    return own._replace(codes=codes, dense=dense).matrix()


def take_coded(own: CodeParts, chosen: Array) -> Any:
    """Return the columns ``chosen`` (ascending) as a matrix of codes."""
    places = np.full(own.n_columns + 1, len(chosen), own.codes.dtype)
    places[chosen] = np.arange(len(chosen))
    kept = places[own.columns] < len(chosen)
    codes = places[np.minimum(own.codes, own.n_columns)]
    columns = places[own.columns[kept]].astype(np.intp)
    spans = np.searchsorted(chosen, own.spans)
    return CodeParts(own.kind, codes, own.dense[:, kept], columns, len(chosen), spans).matrix()


def used_columns(own: CodeParts) -> Array:
    """Return of each column whether a row may have a number there."""
    used = np.zeros(max(own.n_columns, int(own.codes.max(initial=0))) + 1, bool)
    used[own.codes] = True
    used[own.columns] = True
    return used[: own.n_columns]


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
    matrix = object.__new__(kind)
    vars(matrix).update(vars(_empty(kind, len(codes), n_columns)))
    vars(matrix)["own_codes"] = CodeParts(kind, codes, dense, columns, n_columns, spans)
    matrix.__class__ = CodedMatrix if kind is sp.csr_matrix else CodedArray
    return matrix


@lru_cache(64)
def _empty(kind: Any, n_rows: int, n_columns: int) -> Any:
    """Return a matrix without arrays: making one takes SciPy as long as what is computed of a tile."""
    matrix = kind((n_rows, n_columns))
    for name in ARRAYS:  # `CodedRows` makes them where they are missing
        delattr(matrix, name)
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
    if any(codes_of(X) is not None or X.data.dtype.kind != "f" or not X.has_canonical_format for X in filled):
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


def below_each_other(parts: Sequence[CodeParts]) -> Any:
    """Return the rows of the same columns as a matrix of codes."""
    codes, dense = (np.concatenate([getattr(part, name) for part in parts]) for name in ("codes", "dense"))
    return parts[0]._replace(codes=codes, dense=dense).matrix()


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
        np.add(part.codes, start, out=own, dtype=codes.dtype, casting="unsafe")
        if (absent := part.codes >= part.shape[1]).any():
            own[absent] = n_columns
        first += part.codes.shape[1]
    dense = np.concatenate(numbers, axis=1, dtype=dtype) if numbers else np.empty((n_rows, 0), dtype)
    spans = np.concatenate([part.spans + start for part, start in encoded])
    return coded(kind, codes, dense, np.concatenate(columns).astype(np.intp), n_columns, spans)
