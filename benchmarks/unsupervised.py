"""Clusters, components and naive Bayes, side by side with scikit-learn, from equal starts to equal results.

``python -m benchmarks.unsupervised`` prints one table; ``--scale 0.01`` runs it on a hundredth of the rows. All data is
in memory, but for ``square-components``: these are of lazy data that is larger than the memory of its worker.
``clusters`` makes 20 of Lloyd's iterations, ``factors`` 20 of nonnegative matrix factorization; ``components`` are of
dense rows, ``sparse-components`` of CSR rows of 2,000 features; ``counts`` is naive Bayes on rows of counts.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import dask
import dask.array as da
import numpy as np
import scipy.sparse as sp
import sklearn.cluster
import sklearn.decomposition
import sklearn.naive_bayes
from distributed import Client, LocalCluster

from benchmarks.program import Setting, Work, run
from benchmarks.race import Row, race
from benchmarks.watch import watching_workers
from daskml_kit.cluster import KMeans
from daskml_kit.decomposition import NMF, PCA
from daskml_kit.naive_bayes import GaussianNB, MultinomialNB

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
            },
            setting.repeat,
        )
    ours, theirs = timed["ours"], timed["scikit-learn"]
    return [
        Row(f"{what}: scikit-learn", ours.seconds, theirs.seconds, 2.0),
        Row(f"{what}: float32 against float64", timed["ours, float32"].seconds, ours.seconds, 1.5),
        _apart(what, {"": ours.result.inertia_}, {"": theirs.result.inertia_}),
    ]


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
    "components": components,
    "sparse-components": sparse_components,
    "square-components": square_components,
    "factors": factors,
    "counts": counts,
}


if __name__ == "__main__":
    run(WORKS, __doc__)
