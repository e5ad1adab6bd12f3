"""Clusters, components, naive Bayes and recommendation, side by side with peers, from equal starts to equal results.

``python -m benchmarks.unsupervised`` prints one table; ``--scale 0.01`` runs it on a hundredth of the rows. All data is
in memory. ``clusters`` makes 20 of Lloyd's iterations; ``components`` are those of dense rows, ``sparse-components`` of
CSR rows of 2,000 features, ``counts`` is naive Bayes on rows of counts. ``recommendation`` is alternating least squares
of ratings beside Spark MLlib (``pip install pyspark``, with Java; the clock starts when its session is up and its rows
are cached), ``views`` that of implicit feedback beside ``implicit``.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import sklearn.cluster
import sklearn.decomposition
import sklearn.naive_bayes
from threadpoolctl import threadpool_limits

from benchmarks.program import Setting, Work, run
from benchmarks.race import Row, race
from daskml_kit.cluster import KMeans
from daskml_kit.datasets import make_ratings
from daskml_kit.decomposition import PCA
from daskml_kit.metrics import mean_average_precision_at_k
from daskml_kit.naive_bayes import GaussianNB, MultinomialNB
from daskml_kit.recommendation import ALS

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


def recommendation(setting: Setting) -> list[Row]:
    """Alternating least squares of 1,000,000 ratings by 20,000 users of 5,000 items, a tenth of them held out."""
    from pyspark.ml.recommendation import ALS as SparkALS
    from pyspark.sql import SparkSession

    # about 0, so that the rank of the model is that of the data: else the start decides which direction is missed
    held_out, train = _ratings(setting, 1_000_000, noise=0.5, rating_range=None)
    spark = SparkSession.builder.master("local[2]").config("spark.driver.memory", "3g")
    spark = spark.config("spark.sql.shuffle.partitions", "4").config("spark.ui.enabled", "false").getOrCreate()
    columns = dict(zip(("userCol", "itemCol", "ratingCol"), train.columns, strict=True))
    with tempfile.TemporaryDirectory() as folder:
        train.astype({"user": "int32", "item": "int32"}).to_parquet(f"{folder}/ratings.parquet", index=False)
        rows = spark.read.parquet(f"{folder}/ratings.parquet").repartition(2).cache()
        rows.count()

    def by_spark() -> dict[str, Any]:
        model = SparkALS(rank=8, maxIter=10, regParam=0.01, seed=0, **columns).fit(rows)
        found = {"user": model.userFactors, "item": model.itemFactors}
        return {name: {row.id: row.features for row in factors.collect()} for name, factors in found.items()}

    pairs = train[["user", "item"]]
    model = ALS(8, regularization=0.01, random_state=0)
    timed = race({"ours": lambda: model.fit(pairs, train["rating"]), "Spark": by_spark}, setting.repeat, 90.0)
    theirs, test = timed["Spark"].result, held_out[["user", "item"]]
    known = test["user"].isin(theirs["user"]) & test["item"].isin(theirs["item"])
    test, truth = test[known], held_out["rating"][known].to_numpy()
    factors = [np.array([theirs[name][i] for i in test[name]]) for name in test]
    errors = [np.sqrt(np.mean((p - truth) ** 2)) for p in (model.predict(test), (factors[0] * factors[1]).sum(axis=1))]
    spark.stop()
    what = f"ALS {len(train):,} ratings, rank 8, 10 iterations"
    return [
        Row(f"{what}: Spark MLlib", timed["ours"].seconds, timed["Spark"].seconds, 5.0),
        Row(f"{what}: RMSE of others", float(errors[0]), float(errors[1]), 1.002, at_most=True, unit=""),
    ]


def views(setting: Setting) -> list[Row]:
    """Alternating least squares of 1,000,000 views, of which users have those items that they like; implicit."""
    from implicit.als import AlternatingLeastSquares

    held_out, train = (part[part["rating"] > 3] for part in _ratings(setting, 2_200_000))
    users, items, seen = train["user"].to_numpy(), train["item"].to_numpy(), train["rating"].to_numpy(np.float32)
    shape = (users.max() + 1, items.max() + 1)
    pairs = train[["user", "item"]]
    model = ALS(8, implicit=True, random_state=0)

    def by_implicit() -> Any:
        # its confidence is what the matrix holds, ours one more than the rating
        matrix = sp.csr_matrix((1 + seen, (users, items)), shape=shape)
        found = AlternatingLeastSquares(
            8, regularization=0.1, iterations=10, use_gpu=False, num_threads=2, random_state=0
        )
        found.fit(matrix, show_progress=False)
        return found

    with threadpool_limits(1, user_api="blas"):
        timed = race({"ours": lambda: model.fit(pairs, seen), "implicit": by_implicit}, setting.repeat)
    wanted = np.unique(users)[:: max(shape[0] // 2_000, 1)]
    k = min(10, len(model.items_))
    theirs = timed["implicit"].result
    rows = sp.csr_matrix((seen, (users, items)), shape=shape)[wanted]
    recommended = (
        model.recommend(wanted, k, exclude=pairs).items,
        theirs.recommend(wanted, rows, N=k, filter_already_liked_items=True)[0],
    )
    others = held_out[["user", "item"]]
    missed = [1 - mean_average_precision_at_k(others, wanted, found, k=k) for found in recommended]
    what = f"ALS {len(train):,} views, rank 8, 10 iterations"
    objective = _objective(theirs.user_factors, theirs.item_factors, users, items, seen)
    return [
        Row(f"{what}: implicit", timed["ours"].seconds, timed["implicit"].seconds, 1 / 1.5),
        Row(f"{what}: objective", float(model.objective_[-1]), objective, 1.001, at_most=True, unit=""),
        Row(f"{what}: 1 - MAP@10 of others", *missed, 1.01, at_most=True, unit=""),
    ]


def _ratings(setting: Setting, n: int, **options: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return ratings of 20,000 users of 5,000 items in random order, a tenth and the rest; fewer of each at a scale."""
    size = min(max(setting.scale, 0.01) ** 0.5, 1.0)
    n = min(setting.rows(n), n)
    frame = make_ratings(int(20_000 * size), int(5_000 * size), n, 8, random_state=setting.seed, **options).compute()
    frame = frame.sample(frac=1, random_state=setting.seed)
    return frame[: n // 10], frame[n // 10 :]


def _objective(U: Any, V: Any, users: Any, items: Any, seen: Any) -> float:
    """Return what implicit feedback minimizes, with unit alpha and a penalty of 0.1."""
    U, V = U.astype(np.float64), V.astype(np.float64)
    found = np.einsum("ij,ij->i", U[users], V[items])
    pairs = (1 + seen) @ (1 - found) ** 2 + ((U.T @ U) * (V.T @ V)).sum() - found @ found
    return float(pairs + 0.1 * ((U**2).sum() + (V**2).sum()))


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
    "recommendation": recommendation,
    "views": views,
}


if __name__ == "__main__":
    run(WORKS, __doc__)
