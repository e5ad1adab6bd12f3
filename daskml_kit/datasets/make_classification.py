"""Classes of Gaussian clusters, for classification."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.random import sample_without_replacement

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

MOST_BITS = 30  # of the integers that scikit-learn samples


@dataclass(frozen=True, eq=False)
class Clusters(Recipe):
    """Rows of clusters; cluster k is of class ``k % n_classes``.

    Parameters
    ----------
    groups : Groups
        The cluster of each row.
    n_classes : int
    centroids : array of shape (n_clusters, n_informative)
    shapes : array of shape (n_clusters, n_informative, n_informative)
        What standard normal rows are multiplied by in each cluster.
    redundant : array of shape (n_informative, n_redundant)
        What informative features are multiplied by to give the redundant ones.
    repeated : int array of shape (n_repeated,)
        Which of the informative and redundant features are repeated.
    flip_y : float
        Share of the rows whose class is drawn at random.
    shift, scale : array of shape (n_features,)
        Added to the features, then multiplied by.
    columns : int array of shape (n_features,)
        The order of the features.
    """

    groups: Groups
    n_classes: int
    centroids: Array
    shapes: Array
    redundant: Array
    repeated: Array
    flip_y: float
    shift: Array
    scale: Array
    columns: Array

    @property
    def width(self) -> int:
        return len(self.columns)

    def draw(self, rng: np.random.Generator, rows: Array) -> tuple[Array, ...]:
        cluster = self.groups.of(rows)
        informative = rng.standard_normal((len(rows), self.centroids.shape[1]))
        for k in np.unique(cluster):
            own = cluster == k
            informative[own] = informative[own] @ self.shapes[k] + self.centroids[k]
        telling = np.hstack([informative, informative @ self.redundant])
        noise = rng.standard_normal((len(rows), self.width - telling.shape[1] - len(self.repeated)))
        X = np.hstack([telling, telling[:, self.repeated], noise])
        X += self.shift
        X *= self.scale
        y = cluster % self.n_classes
        flipped = rng.random(len(rows)) < self.flip_y
        y[flipped] = rng.integers(self.n_classes, size=flipped.sum())
        return np.take(X, self.columns, axis=1), y


def vertices(n_vertices: int, n_dimensions: int, state: np.random.RandomState) -> Array:
    """Return distinct vertices of the unit hypercube, of shape (n_vertices, n_dimensions), of 0 and 1.

    Examples
    --------
    >>> vertices(4, 2, np.random.RandomState(0)).sum(axis=0)
    array([2., 2.])
    """
    told_apart = min(n_dimensions, MOST_BITS)
    numbers = sample_without_replacement(2**told_apart, n_vertices, random_state=state)
    bits = (np.asarray(numbers)[:, None] >> np.arange(told_apart)) & 1
    others = state.randint(2, size=(n_vertices, n_dimensions - told_apart))
    return np.hstack([others, bits]).astype(np.float64)


def make_classification(
    n_samples: int = 100,
    n_features: int = 20,
    n_informative: int = 2,
    n_redundant: int = 2,
    n_repeated: int = 0,
    n_classes: int = 2,
    n_clusters_per_class: int = 2,
    weights: Any = None,
    flip_y: float = 0.01,
    class_sep: float = 1.0,
    hypercube: bool = True,
    shift: Any = 0.0,
    scale: Any = 1.0,
    shuffle: bool = True,
    random_state: Any = None,
    chunks: Chunks = None,
) -> tuple[da.Array, da.Array]:
    """Generate a classification problem, block by block, of the model of `sklearn.datasets.make_classification`.

    Each class has clusters around vertices of a hypercube of sides ``2 * class_sep``. The features are informative
    ones, redundant ones (random combinations of these), repeated ones, and noise. The clusters have the very numbers
    of rows that scikit-learn gives them.

    Parameters
    ----------
    n_samples, n_features : int
    n_informative, n_redundant, n_repeated : int
        Features of each kind; the other ones are noise.
    n_classes, n_clusters_per_class : int
    weights : sequence of float, optional
        Share of each class, of which the last may be left out; by default they are alike.
    flip_y : float from 0 to 1
        Share of the rows whose class is drawn at random.
    class_sep : float
        Half the length of the sides of the hypercube.
    hypercube : bool
        Put the clusters on the vertices of a hypercube, else of a random polytope.
    shift, scale : float or array of shape (n_features,), optional
        Added to the features, then multiplied by; None draws them at random.
    shuffle : bool
        Mix rows and features; else the rows follow one another by cluster, and the features are in the order named
        above.
    random_state : int, RandomState or None
    chunks : int or tuple of int, optional
        Rows a block, or the rows of each; by default blocks of about 16 MiB. The rows are the same for any.

    Returns
    -------
    X : dask array of shape (n_samples, n_features), float64
    y : dask array of shape (n_samples,), int64
        From 0 up to ``n_classes``.

    Raises
    ------
    ValueError
        Where an argument is out of range, or they contradict each other.

    Examples
    --------
    >>> X, y = make_classification(n_samples=1000, n_informative=4, n_classes=5, flip_y=0, random_state=0, chunks=300)
    >>> X
    dask.array<part0, shape=(1000, 20), dtype=float64, chunksize=(300, 20), chunktype=numpy.ndarray>
    >>> np.bincount(y.compute())
    array([200, 200, 200, 200, 200])
    """
    check_counts(1, n_samples=n_samples, n_features=n_features, n_informative=n_informative)
    check_counts(1, n_classes=n_classes, n_clusters_per_class=n_clusters_per_class)
    check_counts(0, n_redundant=n_redundant, n_repeated=n_repeated)
    check_numbers(0, 1, flip_y=flip_y)
    check_numbers(0, class_sep=class_sep)
    check_flags(hypercube=hypercube, shuffle=shuffle)
    _check_features(n_features, n_informative, n_redundant, n_repeated)
    n_clusters = n_classes * n_clusters_per_class
    if n_informative < np.log2(n_clusters):
        raise ValueError(
            f"n_classes({n_classes}) * n_clusters_per_class({n_clusters_per_class}) must be smaller or equal "
            f"2**n_informative({n_informative})={2**n_informative}"
        )
    shares = _shares(weights, n_classes)
    floors = [int(n_samples * shares[k % n_classes] / n_clusters_per_class) for k in range(n_clusters)]
    state = check_random_state(random_state)
    telling = n_informative + n_redundant
    recipe = Clusters(
        groups=groups_of(even_sizes(n_samples, n_clusters, floors), draw_seed(state) if shuffle else None),
        n_classes=n_classes,
        centroids=_centroids(n_clusters, n_informative, class_sep, hypercube, state),
        shapes=state.uniform(-1, 1, size=(n_clusters, n_informative, n_informative)),
        redundant=state.uniform(-1, 1, size=(n_informative, n_redundant)),
        repeated=((telling - 1) * state.uniform(size=n_repeated) + 0.5).astype(np.intp),
        flip_y=float(flip_y),
        shift=_per_feature("shift", shift, (2 * state.uniform(size=n_features) - 1) * class_sep),
        scale=_per_feature("scale", scale, 1 + 100 * state.uniform(size=n_features)),
        columns=state.permutation(n_features) if shuffle else np.arange(n_features),
    )
    X, y = arrays(Rows(recipe, n_samples, draw_seed(state)), chunks)
    return X, y


def _check_features(n_features: int, n_informative: int, n_redundant: int, n_repeated: int) -> None:
    if n_informative + n_redundant + n_repeated > n_features:
        raise ValueError(
            "Number of informative, redundant and repeated features must sum to less than the number of total features"
            f": got n_informative={n_informative}, n_redundant={n_redundant}, n_repeated={n_repeated} and "
            f"n_features={n_features}"
        )


def _shares(weights: Any, n_classes: int) -> list[float]:
    """Return the share of each class."""
    if weights is None:
        return [1 / n_classes] * n_classes
    shares = [float(weight) for weight in weights]
    if len(shares) not in (n_classes, n_classes - 1):
        raise ValueError(
            f"weights: Weights specified but incompatible with number of classes: {len(shares)} of them, and "
            f"n_classes={n_classes}"
        )
    if not all(share >= 0 for share in shares) or sum(shares) > 1 + 1e-9:
        raise ValueError(f"weights: expected shares of at least 0 that sum to at most 1, got {weights!r}")
    return [*shares, max(1 - sum(shares), 0.0)][:n_classes]


def _centroids(n: int, n_informative: int, class_sep: float, hypercube: bool, state: np.random.RandomState) -> Array:
    centroids = (2 * vertices(n, n_informative, state) - 1) * class_sep
    if not hypercube:
        centroids *= state.uniform(size=(n, 1)) * state.uniform(size=(1, n_informative))
    return np.asarray(centroids)


def _per_feature(name: str, given: Any, drawn: Array) -> Array:
    """Return ``given`` for each feature, or what was ``drawn`` where it is None."""
    if given is None:
        return drawn
    values = np.asarray(given, dtype=np.float64)
    if values.shape not in ((), drawn.shape) or not np.isfinite(values).all():
        raise ValueError(f"{name}: expected a finite number, one for each of {len(drawn)} features, or None")
    return np.array(np.broadcast_to(values, drawn.shape))
