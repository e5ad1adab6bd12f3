"""Clusters, components and naive Bayes, side by side with scikit-learn, from equal starts to equal results.

``python -m benchmarks.unsupervised`` prints one table; ``--scale 0.01`` runs it on a hundredth of the rows. All data is
in memory. ``clusters`` makes 20 of Lloyd's iterations; ``components`` are those of dense rows, ``sparse-components`` of
CSR rows of 2,000 features, ``counts`` is naive Bayes on rows of counts. ``wrapped`` counts the copies of a large model
that two workers receive to predict with it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import dask.array as da
import numpy as np
import scipy.sparse as sp
import sklearn.cluster
import sklearn.decomposition
import sklearn.naive_bayes
from distributed import Client, LocalCluster

from benchmarks.program import Setting, Work, run
from benchmarks.race import Row, race
from benchmarks.traffic import CountedModel, models_arrived
from daskml_kit.cluster import KMeans
from daskml_kit.decomposition import PCA
from daskml_kit.naive_bayes import GaussianNB, MultinomialNB
from daskml_kit.wrappers import ParallelPostFit

EXACT = 1e-6


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
    return _race(f"PCA(10) of {len(X):,} x 100", X, None, PCA(10), sklearn.decomposition.PCA(10), setting, 3.0)


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
    "components": components,
    "sparse-components": sparse_components,
    "counts": counts,
    "wrapped": wrapped,
}


if __name__ == "__main__":
    run(WORKS, __doc__)
