"""Gaussian blobs, for clustering."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils import check_array, check_random_state

from daskml_kit.datasets.generate import (
    Chunks,
    Groups,
    Recipe,
    Rows,
    arrays,
    check_counts,
    check_flags,
    check_numbers,
    draw_seed,
    even_sizes,
    groups_of,
)
from daskml_kit.typing import Array


@dataclass(frozen=True, eq=False)
class Blobs(Recipe):
    """Rows around centers of shape (n_centers, n_features), with standard deviations of shape (n_centers,)."""

    groups: Groups
    centers: Array
    spread: Array

    @property
    def width(self) -> int:
        return int(self.centers.shape[1])

    def draw(self, rng: np.random.Generator, rows: Array) -> tuple[Array, ...]:
        blob = self.groups.of(rows)
        X = rng.standard_normal((len(rows), self.width))
        X *= self.spread[blob, None]
        X += self.centers[blob]
        return X, blob


def make_blobs(
    n_samples: int | Sequence[int] = 100,
    n_features: int = 2,
    centers: Any = None,
    cluster_std: Any = 1.0,
    center_box: tuple[float, float] = (-10.0, 10.0),
    shuffle: bool = True,
    random_state: Any = None,
    chunks: Chunks = None,
    return_centers: bool = False,
) -> tuple[Any, ...]:
    """Generate isotropic Gaussian blobs, block by block, as `sklearn.datasets.make_blobs` does.

    The centers are scikit-learn's for the same ``random_state``, and so are the numbers of rows of each blob.

    Parameters
    ----------
    n_samples : int or sequence of int
        Rows, divided equally among the blobs; or the rows of each blob.
    n_features : int
        Columns of X; those of ``centers`` where they are given.
    centers : int or array of shape (n_centers, n_features), optional
        By default 3, or as many as ``n_samples`` has entries.
    cluster_std : float or sequence of float
        Standard deviation of all blobs, or of each.
    center_box : pair of float
        Bounds of the centers that are drawn.
    shuffle : bool
        Mix the blobs; else the rows of a blob follow one another.
    random_state : int, RandomState or None
    chunks : int or tuple of int, optional
        Rows a block, or the rows of each; by default blocks of about 16 MiB. The rows are the same for any.
    return_centers : bool
        Return the centers, too.

    Returns
    -------
    X : dask array of shape (n_samples, n_features), float64
    y : dask array of shape (n_samples,), int64
        The blob of each row.
    centers : array of shape (n_centers, n_features)
        If ``return_centers``.

    Raises
    ------
    ValueError
        Where an argument is out of range, or lengths do not fit.

    Examples
    --------
    >>> X, y = make_blobs(n_samples=10, centers=2, random_state=0, chunks=4)
    >>> X.chunks
    ((4, 4, 2), (2,))
    >>> y.compute().sum()
    np.int64(5)
    """
    check_flags(shuffle=shuffle, return_centers=return_centers)
    state = check_random_state(random_state)
    sizes = _given_sizes(n_samples)
    places = _place(sizes, n_features, centers, center_box, state)
    n_rows = int(np.sum(n_samples))
    groups = groups_of(sizes or even_sizes(n_rows, len(places)), draw_seed(state) if shuffle else None)
    rows = Rows(Blobs(groups, places, _spread(cluster_std, len(places))), n_rows, draw_seed(state))
    X, y = arrays(rows, chunks)
    return (X, y, places) if return_centers else (X, y)


def _given_sizes(n_samples: Any) -> list[int] | None:
    """Return the rows of each blob, or None where ``n_samples`` says those of all."""
    if np.ndim(n_samples) == 0:
        check_counts(1, n_samples=n_samples)
        return None
    check_counts(0, **{f"n_samples[{blob}]": size for blob, size in enumerate(n_samples)})
    if sum(n_samples) == 0:
        raise ValueError(f"n_samples: expected rows in one blob at least, got {n_samples!r}")
    return [int(size) for size in n_samples]


def _place(sizes: list[int] | None, n_features: int, centers: Any, box: Any, state: np.random.RandomState) -> Array:
    """Return the centers, of shape (n_centers, n_features)."""
    if sizes is not None and isinstance(centers, numbers.Integral):
        raise ValueError(f"centers: expected an array where n_samples has an entry a blob, got {centers!r}")
    if centers is None or isinstance(centers, numbers.Integral):
        wanted = centers if centers is not None else 3 if sizes is None else len(sizes)
        check_counts(1, centers=wanted, n_features=n_features)
        low, high = box
        check_numbers(**{"center_box[0]": low, "center_box[1]": high})
        if low > high:
            raise ValueError(f"center_box: expected the lower bound first, got {box!r}")
        return np.asarray(state.uniform(low, high, size=(wanted, n_features)))
    places = check_array(centers, dtype=np.float64, input_name="centers", copy=True)
    if sizes is not None and len(sizes) != len(places):
        raise ValueError(f"n_samples: expected an entry for each of {len(places)} centers, got {len(sizes)}")
    return np.asarray(places)


def _spread(cluster_std: Any, n_centers: int) -> Array:
    spread = np.asarray(cluster_std, dtype=np.float64)
    if spread.ndim > 1 or (spread.ndim == 1 and len(spread) != n_centers):
        raise ValueError(f"cluster_std: expected a number, or one for each of {n_centers} centers, got {cluster_std!r}")
    if not (np.isfinite(spread).all() and (spread >= 0).all()):
        raise ValueError(f"cluster_std: expected finite numbers of at least 0, got {cluster_std!r}")
    return np.array(np.broadcast_to(spread, n_centers))
