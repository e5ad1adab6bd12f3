"""SgdState for copies that are made again and again."""

from __future__ import annotations

import weakref

import numpy as np

from daskml_kit.typing import Array

KEPT = 4
"""Buffers that wait for their next use, at most."""


class Buffers:
    """Copies arrays into memory that is used again as soon as nobody refers to the last copy in it, or a view of that.

    A Dask worker gives freed memory back to the system at once, and getting new pages for a copy takes several times
    as long as the copy.

    Examples
    --------
    >>> buffers = Buffers()
    >>> first = buffers.copy(np.ones(3))
    >>> place = first.ctypes.data
    >>> buffers.copy(np.zeros(3)).ctypes.data == place
    False
    >>> del first
    >>> buffers.copy(np.zeros(3)).ctypes.data == place
    True
    """

    def __init__(self) -> None:
        self._free: list[bytearray] = []

    def copy(self, array: Array) -> Array:
        """Return a copy, which is aligned."""
        if not array.nbytes:
            return array.copy()
        try:
            memory = self._free.pop()
        except IndexError:
            memory = bytearray()
        if len(memory) != array.nbytes:
            memory = bytearray(array.nbytes)
        root = np.frombuffer(memory, array.dtype)  # any view of the copy refers to it
        weakref.finalize(root, self._take_back, memory).atexit = False
        made = root.reshape(array.shape)
        np.copyto(made, array)
        return made

    def _take_back(self, memory: bytearray) -> None:
        if len(self._free) < KEPT:
            self._free.append(memory)


class RowBuffer:
    """SgdState in which rows are gathered again and again.

    On a worker, where freed memory goes back to the system at once, new pages for 31 mini-batches of 512 x 28 cost
    twice what it takes to copy the rows.

    Examples
    --------
    >>> RowBuffer().take("X", np.array([[1.0], [2.0], [3.0]]), np.array([2, 0]))
    array([[3.],
           [1.]])
    """

    def __init__(self) -> None:
        self._held: dict[str, Array] = {}

    def take(self, name: str, values: Array, rows: Array) -> Array:
        """Return rows of an array, where those of the last call with this name were."""
        held = self._held.get(name)
        if held is None or held.dtype != values.dtype or held.shape[1:] != values.shape[1:] or len(held) < len(rows):
            held = self._held[name] = np.empty((len(rows), *values.shape[1:]), values.dtype)
        return values.take(rows, axis=0, out=held[: len(rows)], mode="clip")
