"""Blocks of numbers as files of plain arrays, mapped into memory to read them: the same bits with nothing decoded."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import scipy.sparse as sp

from daskml_kit.data.block import Block
from daskml_kit.data.coded import coded, codes_of
from daskml_kit.data.collections import PARTS, Place
from daskml_kit.files import content_of, opener, word_sum
from daskml_kit.typing import Array

STRIP_BYTES = 2**20


class Pieces(NamedTuple):
    """A part of a block as named arrays, and the function that makes the part of them again."""

    arrays: Mapping[str, Array]
    build: Callable[..., Any]


class StoredArray(NamedTuple):
    """An array in a file, how it lies there, and its type and strides in memory: other strides may round otherwise."""

    path: Path
    checksum: int
    shape: tuple[int, ...]
    kept: np.dtype[Any]
    order: Literal["C", "F"]
    dtype: np.dtype[Any]
    strides: tuple[int, ...]

    @classmethod
    def write(cls, path: Path, array: Array, kept: Array) -> Self:
        """Write an array as ``kept``, which has the same values."""
        with open(path, "wb", opener=opener) as file:
            np.save(file, kept, allow_pickle=False)
        order: Literal["C", "F"] = "F" if kept.flags.f_contiguous and not kept.flags.c_contiguous else "C"
        return cls(path, word_sum(content_of(path)), kept.shape, kept.dtype, order, array.dtype, array.strides)

    def read(self) -> Array:
        content = content_of(self.path, self.checksum)
        values = content[len(content) - self.kept.itemsize * math.prod(self.shape) :]  # behind NumPy's header
        stored: Array = values.view(self.kept).reshape(self.shape, order=self.order)
        if stored.dtype == self.dtype and stored.strides == self.strides:
            return stored
        n_bytes = _extent(stored.shape, self.strides) + self.dtype.itemsize
        array: Array = np.ndarray(stored.shape, self.dtype, np.empty(n_bytes, np.uint8), strides=self.strides)
        array[...] = stored
        return array


class StoredBlock(NamedTuple):
    """A block in files: what makes each of its parts, and the arrays that this takes."""

    parts: tuple[tuple[Callable[..., Any], Mapping[str, StoredArray]] | None, ...]
    place: Place

    def load(self) -> Block:
        """Return the block, its large arrays mapped.

        Raises
        ------
        OSError
            Where a file is gone.
        DamagedFileError
            Where one is damaged.
        """
        X, y, weight, fold = (
            None if part is None else part[0](**{name: array.read() for name, array in part[1].items()})
            for part in self.parts
        )
        return Block(X, y, weight, self.place.index, fold, self.place.run)

    def remove(self) -> None:
        """Remove the files; what is mapped stays mapped."""
        for part in self.parts:
            for array in part[1].values() if part is not None else ():
                array.path.unlink(missing_ok=True)


def pieces_of(part: Any) -> Pieces | None:
    """Return a part of a block as plain arrays; None where it is not made of arrays of numbers.

    Another type of part, which must be an object of arrays, is one more case here.

    Examples
    --------
    >>> pieces = pieces_of(sp.csr_array([[0.0, 2.0]]))
    >>> list(pieces.arrays), pieces.build(**pieces.arrays).toarray().tolist()
    (['data', 'indices', 'indptr'], [[0.0, 2.0]])
    """
    if type(part) is np.ndarray:
        found = Pieces({"values": part}, _itself)
    elif (own := codes_of(part)) is not None:
        build = partial(coded, own.kind, columns=own.columns, n_columns=own.n_columns, spans=own.spans)
        found = Pieces({"codes": own.codes, "dense": own.dense}, build)
    elif sp.issparse(part) and part.format == "csr":
        arrays = {name: getattr(part, name) for name in ("data", "indices", "indptr")}
        found = Pieces(arrays, partial(_csr, type(part), part.shape))
    else:
        return None
    return found if all(_is_plain(array) for array in found.arrays.values()) else None


def split(block: Block) -> list[Pieces | None] | None:
    """Return each part of a block as plain arrays, in the order of `PARTS`; None where one is not made of numbers."""
    parts = (block.X, block.y, block.weight, block.fold)
    found = [None if part is None else pieces_of(part) for part in parts]
    whole = all(piece is not None or part is None for part, piece in zip(parts, found, strict=True))
    return found if whole and block.n_rows else None


def narrow(values: Array) -> Array:
    """Return float64 values as float32 where that gives back every bit of them, else as they are.

    Examples
    --------
    >>> narrow(np.array([0.5, np.nan])).dtype.name, narrow(np.array([0.1])).dtype.name
    ('float32', 'float64')
    """
    if values.dtype != np.float64 or not values.size:
        return values
    rows = max(1, STRIP_BYTES // (8 * max(values[:1].size, 1)))
    strips = (values[start : start + rows] for start in range(0, len(values), rows))
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        exact = all(  # of most data that is not, the first strip tells
            np.array_equal(strip.astype(np.float32).astype(np.float64).view(np.int64), strip.view(np.int64))
            for strip in strips
        )
        return values.astype(np.float32) if exact else values


def write(
    pieces: list[Pieces | None], folder: Path, place: Place, has_room: Callable[[int], bool]
) -> StoredBlock | None:
    """Write a block's parts to files that only their owner may read; None where they would take too much room.

    Raises
    ------
    OSError
        Where they cannot be written; no file of the block is left.
    """
    narrowed = [None if piece is None else {k: narrow(a) for k, a in piece.arrays.items()} for piece in pieces]
    if not has_room(sum(array.nbytes for arrays in narrowed if arrays for array in arrays.values())):
        return None
    parts: list[tuple[Callable[..., Any], Mapping[str, StoredArray]] | None] = []
    written: list[Path] = []
    try:
        for part, piece, arrays in zip(PARTS, pieces, narrowed, strict=True):
            if piece is None or arrays is None:
                parts.append(None)
                continue
            stored = {}
            for name, array in arrays.items():
                written.append(folder / f"{place.index}.{part}.{name}.npy")
                stored[name] = StoredArray.write(written[-1], piece.arrays[name], array)
            parts.append((piece.build, stored))
    except OSError:
        for path in written:
            path.unlink(missing_ok=True)
        raise
    return StoredBlock(tuple(parts), place)


def _itself(values: Array) -> Array:
    return values


def _csr(kind: type[Any], shape: tuple[int, int], data: Array, indices: Array, indptr: Array) -> Any:
    return kind((data, indices, indptr), shape=shape)


def _is_plain(array: Array) -> bool:
    return array.dtype.kind in "fiub" and all(stride >= 0 for stride in array.strides)


def _extent(shape: tuple[int, ...], strides: tuple[int, ...]) -> int:
    """Return how many bytes lie between the first and the last value."""
    return sum((length - 1) * stride for length, stride in zip(shape, strides, strict=True) if length)
