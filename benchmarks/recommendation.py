"""Recommendation by alternating least squares, side by side with Spark MLlib and ``implicit``.

``python -m benchmarks.recommendation`` prints one table; ``--scale 0.01`` runs it on a hundredth of the ratings.
``ratings`` are explicit, beside Spark MLlib (``pip install pyspark``, with Java; the clock starts when its session is
up and its rows are cached); ``views`` are implicit feedback, beside ``implicit`` (``pip install implicit``).
"""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from benchmarks.program import Setting, Work, run
from benchmarks.race import Row, race
from daskml_kit.datasets import make_ratings
from daskml_kit.metrics import mean_average_precision_at_k
from daskml_kit.recommendation import ALS


def ratings(setting: Setting) -> list[Row]:
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
        Row(f"{what}: RMSE of others", float(errors[0]), float(errors[1]), 1.0, at_most=True, unit=""),
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


WORKS: dict[str, Work] = {"ratings": ratings, "views": views}


if __name__ == "__main__":
    run(WORKS, __doc__)
