"""Classification data: Gaussian clusters and blobs, as arrays or data frames."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from functools import partial
from typing import Any

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import sklearn.datasets
from sklearn.utils import check_array
from sklearn.utils.random import sample_without_replacement

from daskml_kit.arguments import check_pair, naming, random_state_of
from daskml_kit.datasets.generate import (
    Chunks,
    Groups,
    RandomRows,
    arrays,
    check_counts,
    check_numbers,
    draw_seed,
    even_sizes,
    frame,
    groups_of,
)
from daskml_kit.typing import Array

MOST_BITS = 30  # of the integers that scikit-learn samples


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
    n_samples : int, default=100
        Rows.
    n_features : int, default=20
        Columns of X.
    n_informative : int, default=2
        Features that the clusters lie in.
    n_redundant : int, default=2
        Features that are combinations of the informative ones.
    n_repeated : int, default=0
        Features that repeat informative or redundant ones; the others are noise.
    n_classes : int, default=2
        Classes.
    n_clusters_per_class : int, default=2
        Clusters of each class.
    weights : sequence of float, default=None
        Share of each class, of which the last may be left out; by default they are alike.
    flip_y : float, default=0.01
        Share of the rows, from 0 to 1, whose class is drawn at random.
    class_sep : float, default=1.0
        Half the length of the sides of the hypercube.
    hypercube : bool, default=True
        Put the clusters on the vertices of a hypercube, else of a random polytope.
    shift : float or array of shape (n_features,), default=0.0
        Added to the features; None draws it at random.
    scale : float or array of shape (n_features,), default=1.0
        Factor of the features, once they are shifted; None draws it at random.
    shuffle : bool, default=True
        Mix rows and features; else the rows follow one another by cluster, and the features are in the order named
        above.
    random_state : int, RandomState instance or None, default=None
        Seed of all that is drawn; the same int gives the same rows.
    chunks : int or tuple of int, default=None
        Rows a block, or the rows of each; by default blocks of about 16 MiB. The rows are the same for any.

    Returns
    -------
    X : dask array of shape (n_samples, n_features), float64
        The features.
    y : dask array of shape (n_samples,), int64
        The class of each row, from 0 up to ``n_classes``.

    Raises
    ------
    ValueError
        Where an argument is out of range, or they contradict each other.

    See Also
    --------
    make_classification_df : The same as data frames, of two classes.
    make_blobs : Clusters in all features.
    sklearn.datasets.make_classification : The same model in memory.

    Examples
    --------
    >>> X, y = make_classification(n_samples=1000, n_informative=4, n_classes=5, flip_y=0, random_state=0, chunks=300)
    >>> X
    dask.array<part0, shape=(1000, 20), dtype=float64, chunksize=(300, 20), chunktype=numpy.ndarray>
    >>> np.bincount(y.compute())
    array([200, 200, 200, 200, 200])
    """
    check_counts(1, n_samples=n_samples)
    options: dict[str, Any] = {"n_features": n_features, "n_informative": n_informative, "n_redundant": n_redundant}
    options |= {"n_repeated": n_repeated, "n_classes": n_classes, "n_clusters_per_class": n_clusters_per_class}
    options |= {"flip_y": flip_y, "class_sep": class_sep, "hypercube": hypercube, "shuffle": shuffle}
    with naming("weights"):
        shares = None if weights is None else [float(weight) for weight in weights]
    sklearn.datasets.make_classification(1, **options, weights=shares, random_state=0)  # refuses what is out of range
    state = random_state_of(random_state)
    n_clusters, n_telling = n_classes * n_clusters_per_class, n_informative + n_redundant
    shares = _class_shares(shares, n_classes)
    floors = [int(n_samples * shares[k % n_classes] / n_clusters_per_class) for k in range(n_clusters)]
    draw = partial(
        draw_clusters,
        groups=groups_of(even_sizes(n_samples, n_clusters, floors), draw_seed(state) if shuffle else None),
        n_classes=n_classes,
        centroids=_centroids(n_clusters, n_informative, class_sep, hypercube, state),
        shapes=state.uniform(-1, 1, size=(n_clusters, n_informative, n_informative)),
        redundant=state.uniform(-1, 1, size=(n_informative, n_redundant)),
        repeated=((n_telling - 1) * state.uniform(size=n_repeated) + 0.5).astype(np.intp),
        flip_y=float(flip_y),
        shift=_per_feature("shift", shift, (2 * state.uniform(size=n_features) - 1) * class_sep),
        scale=_per_feature("scale", scale, 1 + 100 * state.uniform(size=n_features)),
        columns=state.permutation(n_features) if shuffle else np.arange(n_features),
    )
    X, y = arrays(RandomRows(draw, n_features, n_samples, draw_seed(state)), chunks)
    return X, y


def draw_clusters(
    rng: np.random.Generator,
    rows: Array,
    *,
    groups: Groups,
    n_classes: int,
    centroids: Array,
    shapes: Array,
    redundant: Array,
    repeated: Array,
    flip_y: float,
    shift: Array,
    scale: Array,
    columns: Array,
) -> tuple[Array, ...]:
    """Draw rows of clusters; cluster k is of class ``k % n_classes``.

    Parameters
    ----------
    rng : numpy.random.Generator
    rows : int64 array
    groups : Groups
        The cluster of each row.
    n_classes : int
    centroids : array of shape (n_clusters, n_informative)
    shapes : array of shape (n_clusters, n_informative, n_informative)
        Factors of the standard normal rows of each cluster.
    redundant : array of shape (n_informative, n_redundant)
        Factors of the informative features that give the redundant ones.
    repeated : int array of shape (n_repeated,)
        Indices of the informative and redundant features that are repeated.
    flip_y : float
        Share of the rows whose class is drawn at random.
    shift, scale : array of shape (n_features,)
        Added to the features, then multiplied by.
    columns : int array of shape (n_features,)
        The order of the features.
    """
    cluster = groups.of(rows)
    informative = rng.standard_normal((len(rows), centroids.shape[1]))
    for k in np.unique(cluster):
        own = cluster == k
        informative[own] = informative[own] @ shapes[k] + centroids[k]
    telling = np.hstack([informative, informative @ redundant])
    noise = rng.standard_normal((len(rows), len(columns) - telling.shape[1] - len(repeated)))
    X = np.hstack([telling, telling[:, repeated], noise])
    X += shift
    X *= scale
    y = cluster % n_classes
    flipped = rng.random(len(rows)) < flip_y
    y[flipped] = rng.integers(n_classes, size=flipped.sum())
    return np.take(X, columns, axis=1), y


def hypercube_vertices(n_vertices: int, n_dimensions: int, state: np.random.RandomState) -> Array:
    """Return distinct vertices of the unit hypercube, of shape (n_vertices, n_dimensions), of 0 and 1.

    Examples
    --------
    >>> hypercube_vertices(4, 2, np.random.RandomState(0)).sum(axis=0)
    array([2., 2.])
    """
    told_apart = min(n_dimensions, MOST_BITS)
    numbers = sample_without_replacement(2**told_apart, n_vertices, random_state=state)
    bits = (np.asarray(numbers)[:, None] >> np.arange(told_apart)) & 1
    others = state.randint(2, size=(n_vertices, n_dimensions - told_apart))
    return np.hstack([others, bits]).astype(np.float64)


def _class_shares(weights: Sequence[float] | None, n_classes: int) -> list[float]:
    if weights is None:
        return [1 / n_classes] * n_classes
    if min(weights) < 0 or not sum(weights) <= 1 + 1e-9:
        raise ValueError(f"weights: expected shares of at least 0 that sum to at most 1, got {weights!r}")
    return [*weights, max(1 - sum(weights), 0.0)][:n_classes]


def _centroids(n: int, n_informative: int, class_sep: float, hypercube: bool, state: np.random.RandomState) -> Array:
    centroids = (2 * hypercube_vertices(n, n_informative, state) - 1) * class_sep
    if not hypercube:
        centroids *= state.uniform(size=(n, 1)) * state.uniform(size=(1, n_informative))
    return np.asarray(centroids)


def _per_feature(name: str, given: Any, drawn: Array) -> Array:
    """Return ``given`` for each feature, or what was ``drawn`` where it is None."""
    if given is None:
        return drawn
    with naming(name):
        values = np.asarray(given, dtype=np.float64)
    if values.shape not in ((), drawn.shape) or not np.isfinite(values).all():
        raise ValueError(f"{name}: expected a finite number, one for each of {len(drawn)} features, or None")
    return np.array(np.broadcast_to(values, drawn.shape))


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
    n_samples : int or sequence of int, default=100
        Rows, divided equally among the blobs; or the rows of each blob.
    n_features : int, default=2
        Columns of X; those of ``centers`` where they are given.
    centers : int or array of shape (n_centers, n_features), default=None
        Number of centers that are drawn, or the centers; by default 3, or as many as ``n_samples`` has entries.
    cluster_std : float or sequence of float, default=1.0
        Standard deviation of all blobs, or of each.
    center_box : pair of float, default=(-10.0, 10.0)
        Bounds of the centers that are drawn.
    shuffle : bool, default=True
        Mix the blobs; else the rows of a blob follow one another.
    random_state : int, RandomState instance or None, default=None
        Seed of all that is drawn; the same int gives the same rows.
    chunks : int or tuple of int, default=None
        Rows a block, or the rows of each; by default blocks of about 16 MiB. The rows are the same for any.
    return_centers : bool, default=False
        Return the centers, too.

    Returns
    -------
    X : dask array of shape (n_samples, n_features), float64
        The rows.
    y : dask array of shape (n_samples,), int64
        The blob of each row.
    centers : array of shape (n_centers, n_features)
        If ``return_centers``.

    Raises
    ------
    ValueError
        Where an argument is out of range, or lengths do not fit.

    See Also
    --------
    make_classification : Clusters with noise features and shared classes.
    sklearn.datasets.make_blobs : The same model in memory.

    Examples
    --------
    >>> X, y = make_blobs(n_samples=10, centers=2, random_state=0, chunks=4)
    >>> X.chunks
    ((4, 4, 2), (2,))
    >>> y.compute().sum()
    np.int64(5)
    """
    sizes = None if isinstance(n_samples, str) or not isinstance(n_samples, (Sequence, np.ndarray)) else list(n_samples)
    check_counts(1, n_samples=n_samples if sizes is None else sum(sizes))
    check_counts(0, **{f"n_samples[{blob}]": size for blob, size in enumerate(sizes or [])})
    check_pair("center_box", center_box)
    low, high = center_box
    if not -np.inf < low <= high < np.inf:
        raise ValueError(f"center_box: expected finite bounds, the lower first, got {center_box!r}")
    if np.ndim(centers):
        centers = check_array(centers, dtype=np.float64, input_name="centers", copy=True)
    given = {"centers": centers, "cluster_std": cluster_std, "center_box": center_box, "shuffle": shuffle}
    each = 1 if sizes is None else [1] * len(sizes)
    sklearn.datasets.make_blobs(each, n_features, **given, return_centers=return_centers, random_state=0)  # checks them
    state = random_state_of(random_state)
    if not np.ndim(centers):
        n_centers = centers if centers is not None else 3 if sizes is None else len(sizes)
        centers = state.uniform(low, high, size=(n_centers, n_features))
    n_rows = int(np.sum(n_samples))
    groups = groups_of(sizes or even_sizes(n_rows, len(centers)), draw_seed(state) if shuffle else None)
    spread = np.array(np.broadcast_to(np.asarray(cluster_std, dtype=np.float64), len(centers)))
    draw = partial(draw_blobs, groups=groups, centers=centers, spread=spread)
    X, y = arrays(RandomRows(draw, centers.shape[1], n_rows, draw_seed(state)), chunks)
    return (X, y, centers) if return_centers else (X, y)


def draw_blobs(
    rng: np.random.Generator, rows: Array, *, groups: Groups, centers: Array, spread: Array
) -> tuple[Array, ...]:
    """Draw rows around centers, with standard deviations of shape (n_centers,)."""
    blob = groups.of(rows)
    X = rng.standard_normal((len(rows), centers.shape[1]))
    X *= spread[blob, None]
    X += centers[blob]
    return X, blob


def make_classification_df(
    n_samples: int = 10000,
    response_rate: float = 0.5,
    predictability: float = 0.1,
    random_state: Any = None,
    chunks: Chunks = None,
    dates: tuple[date, date] | None = None,
    **kwargs: Any,
) -> tuple[dd.DataFrame, dd.Series]:
    """Generate a classification problem of two classes as data frames, block by block.

    Parameters
    ----------
    n_samples : int, default=10000
        Rows.
    response_rate : float, default=0.5
        Share of the rows, from 0 to 1, that are of class 1.
    predictability : float, default=0.1
        Share of the rows, from 0 to 1, whose class is not drawn at random: 1 is easiest.
    random_state : int, RandomState instance or None, default=None
        Seed of all that is drawn; the same int gives the same rows.
    chunks : int or tuple of int, default=None
        Rows a partition, or the rows of each; by default partitions of about 16 MiB. The rows are the same for any.
    dates : pair of date or datetime, default=None
        Adds a column ``date``, uniform from the first up to the second, to the second.
    **kwargs
        Further parameters of `make_classification`.

    Returns
    -------
    X : dask DataFrame
        The columns ``var0``, ``var1`` and so on, float64, and ``date`` with ``dates``.
    y : dask Series
        The classes, called ``target``, int64.

    Raises
    ------
    ValueError
        Where an argument is out of range.

    See Also
    --------
    make_classification : The same as arrays, of any number of classes.

    Examples
    --------
    >>> X, y = make_classification_df(n_samples=100, n_features=4, random_state=0, chunks=50)
    >>> X.columns.tolist(), X.divisions
    (['var0', 'var1', 'var2', 'var3'], (0, 50, 99))
    """
    check_numbers(0, 1, response_rate=response_rate, predictability=predictability)
    state = random_state_of(random_state)
    X, y = make_classification(
        n_samples=n_samples,
        flip_y=1 - predictability,
        random_state=state,
        weights=[1 - response_rate, response_rate],
        chunks=chunks,
        **kwargs,
    )
    parts = [X]
    if dates is not None:
        start, seconds = _start_and_seconds(dates)
        draw = partial(draw_times, start=start, seconds=seconds)
        parts += arrays(RandomRows(draw, 1, n_samples, draw_seed(state)), X.chunks[0])
    return frame(features, parts), frame(target, [y])


def draw_times(rng: np.random.Generator, rows: Array, *, start: np.datetime64, seconds: int) -> tuple[Array, ...]:
    """Draw points in time, uniform from ``start`` on, to the second."""
    return (start + rng.integers(seconds, size=len(rows)).astype("timedelta64[s]"),)


def features(parts: list[Array], start: int) -> pd.DataFrame:
    """Return a frame of the features, and the dates if there are any, whose index begins at ``start``."""
    X, *dates = parts
    index = pd.RangeIndex(start, start + len(X))
    made = pd.DataFrame(X, index=index, columns=[f"var{column}" for column in range(X.shape[1])])
    return made.assign(date=dates[0]) if dates else made


def target(parts: list[Array], start: int) -> pd.Series[Any]:
    """Return the classes as a series whose index begins at ``start``."""
    return pd.Series(parts[0], pd.RangeIndex(start, start + len(parts[0])), name="target")


def _start_and_seconds(dates: tuple[date, date]) -> tuple[np.datetime64, int]:
    check_pair("dates", dates)
    first, last = (pd.Timestamp(moment) for moment in dates)
    if first.tz is not None or last.tz is not None:
        raise ValueError(f"dates: expected dates without a time zone, got {dates!r}")
    seconds = int((last - first).total_seconds())
    if seconds < 1:
        raise ValueError(f"dates: expected the first a second or more before the second, got {dates!r}")
    return first.to_datetime64().astype("datetime64[us]"), seconds
