"""Clusters, mixtures, components and class distributions, side by side with scikit-learn, from equal starts.

``python -m benchmarks.unsupervised`` prints one table; ``--scale 0.01`` runs it on a hundredth of the rows. All data is
in memory, but for ``square-components``, which are of lazy data that is larger than the memory of its worker.
``clusters`` makes 20 of Lloyd's iterations, ``mixture`` 20 of expectation-maximization, ``factors`` 20 of nonnegative
matrix factorization; ``elbow`` is a search of eleven sizes, three starts each, on two folds; ``mini-batches``,
``bisections`` and ``spectral`` start at random and end in clusters as good. ``components`` are those of dense rows,
``sparse-components`` of CSR rows of 2,000 features, ``counts`` is naive Bayes on rows of counts, ``scatter`` what one
pass over the products of features gives, of all rows or of each class. ``wrapped`` counts the copies of a large model
that two workers receive.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import dask
import dask.array as da
import numpy as np
import scipy.sparse as sp
import sklearn.cluster
import sklearn.covariance
import sklearn.decomposition
import sklearn.discriminant_analysis
import sklearn.mixture
import sklearn.model_selection
import sklearn.naive_bayes
import sklearn.neighbors
from distributed import Client, LocalCluster
from sklearn.datasets import make_circles
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import KFold

from benchmarks.program import Setting, Work, run
from benchmarks.race import Row, race
from benchmarks.traffic import CountedModel, models_arrived
from benchmarks.watch import watching_workers
from daskml_kit.cluster import BisectingKMeans, KMeans, MiniBatchKMeans, SpectralClustering
from daskml_kit.covariance import LedoitWolf
from daskml_kit.decomposition import NMF, PCA
from daskml_kit.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from daskml_kit.mixture import GaussianMixture
from daskml_kit.model_selection import GridSearchCV
from daskml_kit.naive_bayes import GaussianNB, MultinomialNB
from daskml_kit.neighbors import NearestCentroid
from daskml_kit.wrappers import ParallelPostFit

EXACT = 1e-6
WORKER_BYTES = 2e9
SIDE = 20_000
"""Rows and columns of square data, which take 3.2 GB."""


def clusters(setting: Setting) -> list[Row]:
    """K-means of 1,000,000 x 20, ten clusters."""
    draw = np.random.default_rng(0)
    centers = draw.normal(size=(10, 20))
    X = centers[draw.integers(0, 10, setting.rows(1_000_000))] + draw.normal(size=(setting.rows(1_000_000), 20))
    options = {"n_clusters": 10, "init": X[:10], "max_iter": 20, "tol": 0.0, "n_init": 1}
    what = f"KMeans {len(X):,} x 20, 10 clusters, 20 iterations"
    single, start = X.astype(np.float32), {**options, "init": X[:10].astype(np.float32)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        timed = race(
            {
                "ours": lambda: KMeans(**options).fit(X),
                "scikit-learn": lambda: sklearn.cluster.KMeans(**options).fit(X),
                "ours, float32": lambda: KMeans(**start).fit(single),
                **_dask_ml("KMeans", X, {**options, "init_max_iter": None}),
            },
            setting.repeat,
        )
    ours, theirs = timed["ours"], timed["scikit-learn"]
    return [
        *(
            Row(f"{what}: dask-ml", ours.seconds, peer.seconds, 8.0)
            for name, peer in timed.items()
            if name == "dask-ml"
        ),
        Row(f"{what}: scikit-learn", ours.seconds, theirs.seconds, 2.0),
        Row(f"{what}: float32 against float64", timed["ours, float32"].seconds, ours.seconds, 1.5),
        _apart(what, {"": ours.result.inertia_}, {"": theirs.result.inertia_}),
    ]


def mixture(setting: Setting) -> list[Row]:
    """Eight normal distributions of 500,000 x 20, of full covariances."""
    draw = np.random.default_rng(0)
    centers = draw.normal(size=(8, 20))
    X = centers[draw.integers(0, 8, setting.rows(500_000))] + draw.normal(size=(setting.rows(500_000), 20))
    options = {"weights_init": np.full(8, 1 / 8), "means_init": X[:8], "precisions_init": np.stack([np.eye(20)] * 8)}
    options |= {"n_components": 8, "max_iter": 20, "tol": 0.0}
    what = f"GaussianMixture(8) of {len(X):,} x 20, 20 iterations"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _race(
            what, X, None, GaussianMixture(**options), sklearn.mixture.GaussianMixture(**options), setting, 2.0
        )


def elbow(setting: Setting) -> list[Row]:
    """Eleven numbers of clusters, three starts each, on two folds of 100,000 x 20."""
    X = _blobs(setting.rows(100_000), 20, 10)
    sizes, cv, options = list(range(2, 13)), KFold(2), {"n_init": 3, "random_state": 0}

    def one_by_one() -> KMeans:
        fits = ((KMeans(k, **options).fit(X[train]), test) for k in sizes for train, test in cv.split(X))
        scores = np.array([model.score(X[test]) for model, test in fits])
        best = int(scores.reshape(len(sizes), -1).mean(axis=1).argmax())
        return KMeans(sizes[best], **options).fit(X)  # as searches do

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        timed = race(
            {
                "fused": lambda: GridSearchCV(KMeans(**options), {"n_clusters": sizes}, cv=cv).fit(X),
                "one by one": one_by_one,
                "scikit-learn": lambda: sklearn.model_selection.GridSearchCV(
                    sklearn.cluster.KMeans(**options), {"n_clusters": sizes}, cv=cv, n_jobs=2
                ).fit(X),
            },
            setting.repeat,
        )
    what, seconds = f"elbow: 11 sizes x 3 starts x 2 folds of {len(X):,} x 20", timed["fused"].seconds
    found, expected = (-timed[name].result.cv_results_["mean_test_score"] for name in ("fused", "scikit-learn"))
    return [
        Row(f"{what}: one by one", seconds, timed["one by one"].seconds, 3.0),
        Row(f"{what}: scikit-learn, n_jobs=2", seconds, timed["scikit-learn"].seconds, 3.0),
        Row(f"{what}: inertia", float(found.mean()), float(expected.mean()), 1.05, at_most=True, unit=""),
    ]


def mini_batches(setting: Setting) -> list[Row]:
    """Mini-batches of 1,000,000 x 20 in blocks, twenty clusters."""
    X, options = _blobs(setting.rows(1_000_000), 20, 20), {"n_clusters": 20, "n_init": 3, "random_state": 0}
    lazy = da.from_array(X, chunks=(-(-len(X) // 8), 20))
    theirs = sklearn.cluster.MiniBatchKMeans(**options)
    return _inertia(f"MiniBatchKMeans {len(X):,} x 20", lazy, X, MiniBatchKMeans(**options), theirs, setting, 1.0)


def bisections(setting: Setting) -> list[Row]:
    """Bisections of 500,000 x 20, eight clusters."""
    X, options = _blobs(setting.rows(500_000), 20, 8), {"n_clusters": 8, "random_state": 0}
    theirs = sklearn.cluster.BisectingKMeans(**options)
    return _inertia(f"BisectingKMeans {len(X):,} x 20", X, X, BisectingKMeans(**options), theirs, setting, 1.0)


def spectral(setting: Setting) -> list[Row]:
    """Two circles of 20,000 rows, by the affinities with 100 of them."""
    X, inner = make_circles(setting.rows(20_000), factor=0.4, noise=0.05, random_state=0)
    lazy, options = da.from_array(X, chunks=(-(-len(X) // 4), 2)), {"n_clusters": 2, "gamma": 40, "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        timed = race(
            {
                "ours": lambda: np.asarray(SpectralClustering(**options).fit(lazy).labels_),
                "scikit-learn": lambda: sklearn.cluster.SpectralClustering(**options).fit(X[:2_000]).labels_,
                **_dask_ml("SpectralClustering", X, options),
            },
            setting.repeat,
        )
    what, ours = f"SpectralClustering {len(X):,} x 2", timed["ours"]
    missed = 1 - adjusted_rand_score(inner, ours.result)
    return [
        *(
            Row(f"{what}: dask-ml", ours.seconds, peer.seconds, 3.0)
            for name, peer in timed.items()
            if name == "dask-ml"
        ),
        Row(f"{what}: scikit-learn on 2,000", ours.seconds, timed["scikit-learn"].seconds, 1.0),
        Row(f"{what}: of the circles missed", float(missed), 0.01, 1.0, at_most=True, unit=""),
    ]


def _blobs(n_rows: int, width: int, n_clusters: int) -> Any:
    draw = np.random.default_rng(0)
    centers = 2 * draw.normal(size=(n_clusters, width))
    return centers[draw.integers(0, n_clusters, n_rows)] + draw.normal(size=(n_rows, width))


def _inertia(what: str, data: Any, X: Any, ours: Any, theirs: Any, setting: Setting, wanted: float) -> list[Row]:
    """Fit both in turn; compare the seconds, labels included, and the inertia."""

    def run() -> Any:
        model = ours.fit(data)
        np.asarray(model.labels_)
        return model

    timed = race({"ours": run, "scikit-learn": lambda: theirs.fit(X)}, setting.repeat)
    found, expected = (timed[name].result.inertia_ for name in ("ours", "scikit-learn"))
    return [
        Row(what, timed["ours"].seconds, timed["scikit-learn"].seconds, wanted),
        Row(f"{what}: inertia", float(found), float(expected), 1.1, at_most=True, unit=""),
    ]


def _dask_ml(name: str, X: Any, options: Mapping[str, Any]) -> dict[str, Callable[[], Any]]:
    """Return the fit of dask-ml's class on two blocks; nothing where it is not installed."""
    if find_spec("dask_ml") is None:
        return {}
    lazy = da.from_array(X, chunks=(-(-len(X) // 2), X.shape[1]))

    def run() -> Any:
        model = getattr(import_module("dask_ml.cluster"), name)(**options).fit(lazy)
        np.asarray(model.labels_)
        return model

    return {"dask-ml": run}


def components(setting: Setting) -> list[Row]:
    """Ten principal components of 500,000 x 100."""
    X = np.random.default_rng(0).normal(size=(setting.rows(500_000), 100)) * np.linspace(1, 3, 100)
    what = f"PCA(10) of {len(X):,} x 100"
    rows = _race(what, X, None, PCA(10), sklearn.decomposition.PCA(10), setting, 3.0)
    (blocks,) = dask.persist(da.from_array(X, chunks=(-(-len(X) // 16), 100)), scheduler="threads")
    dask_ml = _dask_ml_pca()
    timed = race({"ours": lambda: PCA(10).fit(blocks), "dask-ml": lambda: dask_ml(10).fit(blocks)}, setting.repeat)
    return [*rows, Row(f"{what}: dask-ml", timed["ours"].seconds, timed["dask-ml"].seconds, 30.0)]


def square_components(setting: Setting) -> list[Row]:
    """Twenty principal components of lazy square chunks, on a worker of 2 GB; of a third of the rows beside dask-ml's.

    All of the data is too much for dask-ml there.
    """
    n = max(int(SIDE * setting.scale), 300)
    options = {"n_workers": 1, "threads_per_worker": 2, "memory_limit": WORKER_BYTES, "dashboard_address": ":0"}
    dask_ml = _dask_ml_pca()
    with LocalCluster(**options) as cluster, Client(cluster) as client, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with watching_workers(client) as fate:
            whole = race({"ours": lambda: PCA(20, random_state=0).fit(_square(n))}, 1)["ours"]
        third = _square(n // 3)
        timed = race(
            {
                "ours": lambda: PCA(20, random_state=0).fit(third),
                "dask-ml": lambda: dask_ml(20, svd_solver="randomized", random_state=0).fit(third),
            },
            setting.repeat,
        )
    peak = max(fate.peak.values()) if not fate.lost else np.inf
    notes = [f"{whole.seconds:.0f} s, {whole.result.profile_.passes} passes"]
    what = f"PCA(20) of {n:,} x {n:,} in square chunks"
    return [
        Row(f"{what}: memory", peak / 1e9, WORKER_BYTES / 1e9, 1.0, at_most=True, unit="GB", notes=notes),
        Row(f"{what}, a third: dask-ml", timed["ours"].seconds, timed["dask-ml"].seconds, 1.0),
    ]


def _square(n: int) -> da.Array:
    """Return n x n lazy numbers, of rank 50 and noise, in ten chunks a side."""
    draw, side = da.random.default_rng(0), -(-n // 10)
    left = draw.normal(size=(n, 50), chunks=(side, 50)) * np.linspace(3, 1, 50)
    square: da.Array = left @ draw.normal(size=(50, n), chunks=(50, side))
    return square + draw.normal(size=(n, n), chunks=(side, side))


def _dask_ml_pca() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from dask_ml.decomposition import PCA as DaskMLPCA
    return DaskMLPCA


def factors(setting: Setting) -> list[Row]:
    """Nonnegative matrix factorization of 200,000 x 100 from one start, by coordinate descent."""
    draw, n = np.random.default_rng(0), setting.rows(200_000)
    X = draw.gamma(1, size=(n, 10)) @ draw.gamma(1, size=(10, 100)) + draw.random((n, 100))
    start = {"W": draw.random((n, 10)), "H": draw.random((10, 100))}
    options = {"init": "custom", "max_iter": 20, "tol": 0.0}
    contestants = {"ours": NMF(10, **options), "scikit-learn": sklearn.decomposition.NMF(10, **options)}
    timed = race(
        {
            name: lambda model=model: model.fit(X, **{key: value.copy() for key, value in start.items()})
            for name, model in contestants.items()
        },
        setting.repeat,
    )
    what = f"NMF(10) of {n:,} x 100, 20 iterations"
    found, expected = ({"": timed[name].result.components_} for name in contestants)
    return [
        Row(f"{what}: scikit-learn", timed["ours"].seconds, timed["scikit-learn"].seconds, 1.0),
        _apart(what, found, expected),
    ]


def sparse_components(setting: Setting) -> list[Row]:
    """Fifty principal components of sparse rows."""
    X = sp.random_array((setting.rows(200_000), 2_000), density=0.05, format="csr", rng=0)
    X.data *= np.linspace(1, 3, 2_000)[X.indices]
    theirs = sklearn.decomposition.PCA(50, svd_solver="arpack")
    return _race(f"PCA(50) of {X.shape[0]:,} x 2,000 CSR: arpack", X, None, PCA(50), theirs, setting, 3.0)


def counts(setting: Setting) -> list[Row]:
    """Naive Bayes of 5,000,000 x 20."""
    draw = np.random.default_rng(0)
    n = setting.rows(5_000_000)
    X, y = draw.poisson(2.0, size=(n, 20)).astype(np.float64), draw.integers(0, 5, n)
    both = (
        ("MultinomialNB", MultinomialNB(), sklearn.naive_bayes.MultinomialNB()),
        ("GaussianNB", GaussianNB(), sklearn.naive_bayes.GaussianNB()),
    )
    rows = [_race(f"{name} of {n:,} x 20", X, y, ours, theirs, setting, 1.0) for name, ours, theirs in both]
    return [row for found in rows for row in found]


def scatter(setting: Setting) -> list[Row]:
    """Discriminant analysis, centroids and a covariance matrix of 500,000 x 50, five classes."""
    draw = np.random.default_rng(0)
    y = draw.integers(0, 5, setting.rows(500_000))
    X = draw.normal(size=(5, 50))[y] + draw.normal(size=(len(y), 50))
    theirs = sklearn.discriminant_analysis
    both: tuple[tuple[Any, Any, float], ...] = (
        (LinearDiscriminantAnalysis(), theirs.LinearDiscriminantAnalysis(), 5.0),
        (QuadraticDiscriminantAnalysis(), theirs.QuadraticDiscriminantAnalysis(), 3.0),
        (NearestCentroid(), sklearn.neighbors.NearestCentroid(), 1.0),
        (LedoitWolf(), sklearn.covariance.LedoitWolf(), 1.0),
    )
    rows = [
        _race(f"{type(own).__name__} of {len(y):,} x 50", X, y, own, other, setting, wanted)
        for own, other, wanted in both
    ]
    return [row for found in rows for row in found]


def wrapped(setting: Setting) -> list[Row]:
    """How often the workers receive a model of 100 MB that predicts 200 blocks, and its bytes."""
    inner = CountedModel().fit(np.eye(3), np.arange(3.0))
    inner.table = np.zeros(setting.rows(12_500_000))
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        before = client.run(models_arrived)
        rows = da.zeros((20_000, 3), chunks=(100, 3))
        assert ParallelPostFit(inner).predict(rows).compute().shape == (20_000,)
        copies = [count - before[worker] for worker, count in client.run(models_arrived).items()]
    what, size = f"ParallelPostFit, {inner.table.nbytes / 1e6:.3g} MB, 200 blocks", inner.table.nbytes / 1e6
    return [
        Row(f"{what}: copies that a worker receives", max(copies), 1.0, 1.0, at_most=True, unit="copies"),
        Row(f"{what}: received", sum(copies) * size, len(copies) * size, 1.0, at_most=True, unit="MB"),
    ]


def _race(what: str, X: Any, y: Any, ours: Any, theirs: Any, setting: Setting, wanted: float) -> list[Row]:
    """Fit both in turn; compare the seconds, and the attributes that are arrays of numbers."""
    timed = race({"ours": lambda: ours.fit(X, y), "scikit-learn": lambda: theirs.fit(X, y)}, setting.repeat)
    found, expected = (vars(timed[name].result) for name in ("ours", "scikit-learn"))
    names = [name for name, value in expected.items() if name.endswith("_") and getattr(value, "dtype", "O") == "f8"]
    values = [{name: each[name] for name in names} for each in (found, expected)]
    return [Row(what, timed["ours"].seconds, timed["scikit-learn"].seconds, wanted), _apart(what, *values)]


def _apart(what: str, found: Mapping[str, Any], expected: Mapping[str, Any]) -> Row:
    gaps = [np.abs(found[name] - value).max() / np.abs(value).max() for name, value in expected.items()]
    return Row(f"{what}: apart", float(max(gaps)), EXACT, 1.0, at_most=True, unit="")


WORKS: dict[str, Work] = {
    "clusters": clusters,
    "mixture": mixture,
    "elbow": elbow,
    "mini-batches": mini_batches,
    "bisections": bisections,
    "spectral": spectral,
    "components": components,
    "sparse-components": sparse_components,
    "square-components": square_components,
    "factors": factors,
    "counts": counts,
    "scatter": scatter,
    "wrapped": wrapped,
}


if __name__ == "__main__":
    run(WORKS, __doc__)
