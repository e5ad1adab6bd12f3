"""A random order of rows that no one has to write down: the place of each row is computed from its number."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from daskml_kit.numerics.targets import tiles
from daskml_kit.typing import Array

TILE_ROWS = 16_384
ROUNDS = 6
SMALL, SMALL_ROUNDS = 1 << 16, 16
"""Up to so many rows each round mixes little, and more rounds cost nothing."""
FIRST, SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
HALF = np.uint64(32)


class Permutation(NamedTuple):
    """A pseudo-random bijection of ``0 .. n - 1``, chosen by ``key``.

    The place of row r depends on n, the key and r alone: any block, on any machine, computes the places of its own
    rows, and no list of n numbers is ever made. It is a Feistel network over two digits of r, of base about the
    square root of n, whose rounds add a hash of one digit to the other; the few places beyond n are walked on.

    Parameters
    ----------
    n : int
        Number of rows.
    key : int
        Non-negative; see `key_of`.

    References
    ----------
    J. Black, P. Rogaway: Ciphers with arbitrary finite domains, CT-RSA 2002 (generalized Feistel, cycle walking).

    Examples
    --------
    >>> order = Permutation(10, key=1)
    >>> sorted(order.places(0, 10).tolist())
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    >>> bool((order.places(0, 10)[3:5] == order.places(3, 5)).all())
    True
    """

    n: int
    key: int

    def places(self, start: int, stop: int) -> Array:
        """Return the places of rows ``start .. stop - 1``, int64."""
        return self.of(np.arange(start, stop))

    def of(self, rows: Array) -> Array:
        """Return the places of ``rows``, integers in ``0 .. n - 1``, int64."""
        places = np.asarray(rows).astype(np.uint64)
        if self.n > 1:
            keys = _round_keys(self.key, SMALL_ROUNDS if self.n <= SMALL else ROUNDS)
            for tile in tiles(len(places), TILE_ROWS):
                self._walk(places[tile], keys)
        return places.astype(np.int64)

    def _walk(self, places: NDArray[np.uint64], keys: NDArray[np.uint64]) -> None:
        _mix(places, self.n, keys)
        beyond = np.flatnonzero(places >= self.n)
        while len(beyond):
            walked = places[beyond]
            _mix(walked, self.n, keys)
            places[beyond] = walked
            beyond = beyond[walked >= self.n]


def key_of(*parts: int) -> int:
    """Return a key drawn from integers, such as a seed, a repetition and a class.

    Examples
    --------
    >>> key_of(0, 1) == key_of(0, 1), key_of(0, 1) == key_of(1, 0)
    (True, False)
    """
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0])


def _mix(places: NDArray[np.uint64], n: int, keys: NDArray[np.uint64]) -> None:
    """Apply the network once, in place, over a domain of at least n and less than n plus its square root."""
    root = int(np.ceil(np.sqrt(n)))
    bases = np.uint64(root), np.uint64(-(-n // root))
    digits = places // bases[1], places.copy()
    np.subtract(digits[1], digits[0] * bases[1], out=digits[1])
    scratch = np.empty_like(places)
    for number, key in enumerate(keys):
        changed, base = digits[number % 2], bases[number % 2]
        np.add(digits[1 - number % 2], key, out=scratch)
        _hash_below(scratch, base)
        np.add(changed, scratch, out=changed)
        np.subtract(changed, base, out=scratch)
        np.minimum(changed, scratch, out=changed)  # below base the difference wraps around and is the larger
    np.multiply(digits[0], bases[1], out=places)
    np.add(places, digits[1], out=places)


def _hash_below(values: NDArray[np.uint64], base: np.uint64) -> None:
    """Replace ``values`` by hashes of them in ``0 .. base - 1``."""
    np.multiply(values, FIRST, out=values)
    np.bitwise_xor(values, values >> HALF, out=values)
    np.multiply(values, SECOND, out=values)
    np.right_shift(values, HALF, out=values)
    np.multiply(values, base, out=values)
    np.right_shift(values, HALF, out=values)


def _round_keys(key: int, n_rounds: int) -> NDArray[Any]:
    return np.random.SeedSequence(key).generate_state(n_rounds, np.uint64)
