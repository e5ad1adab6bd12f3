"""Operations on lazy data of four times the memory of a cluster: each finishes, or says at once why it cannot.

``python -m benchmarks.beyond`` runs all on two workers of 600 MB, of which imports take more than half; no worker may
be lost. ``--only`` names operations, a ``--scale`` below 1 makes the data smaller.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import sklearn.linear_model
from distributed import Client, LocalCluster

from benchmarks.program import Setting, Work, run
from benchmarks.race import Row
from benchmarks.watch import watching_workers
from daskml_kit.cluster import BisectingKMeans, KMeans, MiniBatchKMeans, SpectralClustering
from daskml_kit.covariance import OAS, LedoitWolf
from daskml_kit.decomposition import NMF, PCA, IncrementalPCA, TruncatedSVD
from daskml_kit.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from daskml_kit.ensemble import StackingClassifier, VotingClassifier
from daskml_kit.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from daskml_kit.feature_selection import (
    RFECV,
    SelectFromModel,
    SelectKBest,
    SequentialFeatureSelector,
    VarianceThreshold,
    mutual_info_classif,
)
from daskml_kit.impute import IterativeImputer, SimpleImputer
from daskml_kit.isotonic import IsotonicRegression
from daskml_kit.kernel_approximation import Nystroem, RBFSampler
from daskml_kit.linear_model import (
    ElasticNet,
    HuberRegressor,
    LinearRegression,
    LinearSVC,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    SGDClassifier,
)
from daskml_kit.metrics import (
    accuracy_score,
    average_precision_score,
    classification_report,
    roc_auc_score,
    roc_curve,
    silhouette_score,
)
from daskml_kit.mixture import BayesianGaussianMixture, GaussianMixture
from daskml_kit.model_selection import (
    GridSearchCV,
    HyperbandSearchCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    train_test_split,
)
from daskml_kit.naive_bayes import BernoulliNB, CategoricalNB, ComplementNB, GaussianNB, MultinomialNB
from daskml_kit.neighbors import NearestCentroid
from daskml_kit.neural_network import MLPClassifier
from daskml_kit.parameter_server import train
from daskml_kit.partition import hash_partition, partition_report, place, random_partition
from daskml_kit.preprocessing import (
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)
from daskml_kit.recommendation import ALS, MatrixFactorization
from daskml_kit.stat import chi2_contingency, corr, describe, ks_2samp

MEMORY = 600 * 10**6
N_WORKERS = 2
TIMES = 4
BLOCK_BYTES = 4 * 10**6
WIDTH = 50
SECONDS_TO_SAY = 60.0
"""Within these an operation that cannot be done has to say so, on a busy machine."""


class Lazy(NamedTuple):
    """Features, labels, and a frame with the features, none of which was computed yet, and a folder to write to."""

    X: da.Array
    y: da.Array
    frame: Any
    folder: str


@cache
def uniform(n_rows: int) -> Any:
    return np.random.default_rng(0).random((n_rows, WIDTH))


def rows(block_info: Any) -> Any:
    """Return the rows of a block, which cost no more than to write them."""
    n_rows = block_info[None]["chunk-shape"][0]
    return uniform(n_rows) + 1e-4 * block_info[None]["chunk-location"][0]


def lazy(n_bytes: float, folder: str) -> Lazy:
    """Return features of so many bytes."""
    n_rows = BLOCK_BYTES // (8 * WIDTH)
    chunks = ((n_rows,) * max(int(n_bytes / BLOCK_BYTES), 1), (WIDTH,))
    X = da.map_blocks(rows, dtype=float, chunks=chunks, meta=np.empty((0, WIDTH)))
    frame = dd.from_dask_array(X[:, :4], columns=[*"abcd"])
    return Lazy(X, (X[:, 0] + X[:, 1] ** 2 > 0.8).astype(int), frame, folder)


def write_scaled(data: Lazy) -> None:
    da.to_npy_stack(data.folder, StandardScaler().fit(data.X[:100_000]).transform(data.X))


def score_predictions(data: Lazy) -> float:
    model = LogisticRegression().fit(data.X[:100_000], data.y[:100_000])
    return float(accuracy_score(data.y, model.predict(data.X)))


def fit_on_split(data: Lazy) -> Any:
    X, X_test, y, y_test = train_test_split(data.X, data.y, random_state=0)
    return Ridge().fit(X, y).score(X_test, y_test)


def encode(data: Lazy) -> Any:
    rounded = (10 * data.frame).astype(int)
    return OneHotEncoder().fit(rounded).transform(rounded).sum(axis=0).compute()


def squares(params: Any, X: Any, y: Any) -> tuple[float, dict[str, Any]]:
    error = X @ params["w"] - y
    return float(error @ error) / len(y), {"w": 2 * X.T @ error / len(y)}


def train_by_server(data: Lazy) -> Any:
    return train(squares, {"w": np.zeros(WIDTH)}, data.X, data.y, epochs=1, batch_size=1_000)


def hyperband(data: Lazy) -> Any:
    search = HyperbandSearchCV(sklearn.linear_model.SGDClassifier(), {"alpha": np.logspace(-5, 0, 20)}, max_iter=4)
    return search.fit(data.X, data.y, classes=[0, 1])


def few(data: Lazy) -> da.Array:
    """Return small whole numbers."""
    return (4 * data.X).astype(np.int64)


def holed(data: Lazy) -> da.Array:
    return da.where(data.X > 0.95, np.nan, data.X)


def texts(data: Lazy) -> Any:
    """Return documents of as many words as X has columns."""
    return dd.from_dask_array(data.X, columns=[*map(str, range(WIDTH))]).map_partitions(_words, meta=("text", object))


def _words(block: pd.DataFrame) -> pd.Series:
    numbers = (block.to_numpy() ** 2 * 3_000).astype(int)
    return pd.Series([" ".join(f"w{number}" for number in row) for row in numbers], index=block.index, dtype=object)


def total(rows: da.Array) -> float:
    """Return the sum of CSR blocks."""
    return float(rows.map_blocks(_row_sums, dtype=float, drop_axis=1).sum().compute())


def _row_sums(block: Any) -> Any:
    return np.asarray(block.sum(axis=1)).ravel()


def pairs(data: Lazy) -> tuple[da.Array, da.Array]:
    """Return users, items and ratings that weigh as much as X."""
    ids = data.X.map_blocks(_pairs, chunks=(tuple(WIDTH // 2 * n for n in data.X.chunks[0]), (2,)), dtype=np.int64)
    return ids, (ids[:, 0] % 5 - ids[:, 1] % 3).astype(float)


def _pairs(block: Any) -> Any:
    return (block.reshape(-1, 2) * np.array([20_000, 2_000])).astype(np.int64)


def sgd() -> Any:
    return SGDClassifier(max_iter=1, tol=None, batch_size=1_000)


class Operation(NamedTuple):
    """What is done, and whether it can be: if not it needs memory that is not there, and has to say so."""

    call: Callable[[Lazy], Any]
    can: bool = True


GRID = {"alpha": [0.1, 1.0]}
OPERATIONS: Mapping[str, Operation] = {
    "logistic regression": Operation(lambda data: LogisticRegression().fit(data.X, data.y)),
    "least squares": Operation(lambda data: LinearRegression().fit(data.X, data.y)),
    "k-means": Operation(lambda data: KMeans(4, n_init=1, max_iter=3, random_state=0).fit(data.X)),
    "pca": Operation(lambda data: PCA(3).fit(data.X)),
    "naive bayes": Operation(lambda data: GaussianNB().fit(data.X, data.y)),
    "scaler": Operation(lambda data: StandardScaler().fit(data.X)),
    "imputer": Operation(lambda data: SimpleImputer(strategy="median").fit(data.X[:, :4])),
    "encoder, transformed": Operation(encode),
    "transform and write": Operation(write_scaled),
    "predict and score": Operation(score_predictions),
    "train_test_split": Operation(fit_on_split),
    "cross-validation": Operation(lambda data: cross_val_score(Ridge(), data.X, data.y, cv=3)),
    "cross-validated predictions": Operation(
        lambda data: cross_val_predict(Ridge(), data.X, data.y, cv=2).sum().compute()
    ),
    "search": Operation(lambda data: GridSearchCV(Ridge(), GRID, cv=3).fit(data.X, data.y)),
    "partition by hash": Operation(lambda data: hash_partition(data.X, by=data.y, npartitions=300).sum().compute()),
    "random partition": Operation(lambda data: random_partition(data.X, random_state=0).sum().compute()),
    "partition report": Operation(lambda data: partition_report(data.X, data.y, labels=data.y)),
    "sgd": Operation(lambda data: sgd().fit(data.X, data.y)),
    "network": Operation(lambda data: MLPClassifier(8, max_iter=1, batch_size=10_000).fit(data.X, data.y)),
    "mixture": Operation(lambda data: GaussianMixture(3, max_iter=2, random_state=0).fit(data.X)),
    "mini-batch k-means": Operation(lambda data: MiniBatchKMeans(4, n_init=1, random_state=0).fit(data.X)),
    "factors of counts": Operation(lambda data: NMF(3, max_iter=2).fit(data.X)),
    "singular values": Operation(lambda data: TruncatedSVD(3, n_iter=2, random_state=0).fit(data.X)),
    "discriminant": Operation(lambda data: LinearDiscriminantAnalysis().fit(data.X, data.y)),
    "covariance": Operation(lambda data: OAS().fit(data.X)),
    "kernel map": Operation(lambda data: Nystroem(n_components=20, random_state=0).fit(data.X).transform(data.X)),
    "selection": Operation(lambda data: SelectKBest(k=3).fit(data.X, data.y)),
    "elimination": Operation(lambda data: RFECV(Ridge(), cv=2).fit(data.X, data.y)),
    "quantiles": Operation(lambda data: RobustScaler().fit(data.X[:, :4])),
    "target encoder": Operation(lambda data: TargetEncoder().fit((10 * data.frame).astype(int), data.y)),
    "isotonic": Operation(lambda data: IsotonicRegression().fit(data.X[:, :1].round(3), data.y)),
    "stacking": Operation(lambda data: StackingClassifier([("one", GaussianNB())], cv=2).fit(data.X, data.y)),
    "parameter server": Operation(train_by_server),
    "hyperband": Operation(hyperband),
    "search of scikit-learn's": Operation(
        lambda data: GridSearchCV(sklearn.linear_model.Ridge(), GRID, cv=2).fit(data.X, data.y), can=False
    ),
    "cross-validation of scikit-learn's": Operation(
        lambda data: cross_validate(sklearn.linear_model.Ridge(), data.X, data.y, cv=2), can=False
    ),
    "bisecting k-means": Operation(lambda data: BisectingKMeans(2, max_iter=1, random_state=0).fit(data.X)),
    "incremental pca": Operation(lambda data: IncrementalPCA(3).fit(data.X)),
    "variational mixture": Operation(lambda data: BayesianGaussianMixture(n_components=3, max_iter=2).fit(data.X)),
    "bernoulli bayes": Operation(lambda data: BernoulliNB(binarize=0.5).fit(data.X, data.y)),
    "multinomial bayes": Operation(lambda data: MultinomialNB().fit(data.X, data.y)),
    "complement bayes": Operation(lambda data: ComplementNB().fit(data.X, data.y)),
    "categorical bayes": Operation(lambda data: CategoricalNB().fit(few(data), data.y)),
    "quadratic discriminant": Operation(lambda data: QuadraticDiscriminantAnalysis().fit(data.X, data.y)),
    "shrunk covariance": Operation(lambda data: LedoitWolf().fit(data.X)),
    "centroids": Operation(lambda data: NearestCentroid().fit(data.X, data.y)),
    "centroids, medians": Operation(lambda data: NearestCentroid(metric="manhattan").fit(data.X, data.y)),
    "spectral clusters": Operation(lambda data: SpectralClustering(3, n_components=20, random_state=0).fit(data.X)),
    "elastic net": Operation(lambda data: ElasticNet(alpha=0.01).fit(data.X, data.y)),
    "huber": Operation(lambda data: HuberRegressor(max_iter=5).fit(data.X, data.y)),
    "poisson": Operation(lambda data: PoissonRegressor(max_iter=5).fit(data.X, data.y)),
    "svm": Operation(lambda data: LinearSVC(max_iter=5).fit(data.X, data.y)),
    "voting": Operation(
        lambda data: VotingClassifier([("one", GaussianNB()), ("two", NearestCentroid())]).fit(data.X, data.y)
    ),
    "alternating least squares": Operation(lambda data: ALS(2, max_iter=1, random_state=0).fit(*pairs(data))),
    "matrix factorization": Operation(
        lambda data: MatrixFactorization(2, max_iter=1, random_state=0).fit(*pairs(data))
    ),
    "iterative imputer": Operation(lambda data: IterativeImputer(max_iter=2).fit(holed(data)[:, :4])),
    "ranges": Operation(lambda data: MinMaxScaler().fit(data.X)),
    "largest": Operation(lambda data: MaxAbsScaler().fit(data.X)),
    "quantile transformer": Operation(lambda data: QuantileTransformer(subsample=10_000).fit(data.X)),
    "power": Operation(lambda data: PowerTransformer().fit(data.X)),
    "bins": Operation(lambda data: KBinsDiscretizer(4, subsample=None).fit(data.X)),
    "splines": Operation(lambda data: SplineTransformer(3).fit(data.X)),
    "ordinal encoder": Operation(lambda data: OrdinalEncoder().fit(few(data))),
    "stateless": Operation(
        lambda data: PolynomialFeatures(1).fit_transform(Normalizer().fit_transform(data.X)).sum().compute()
    ),
    "random features": Operation(
        lambda data: RBFSampler(n_components=20, random_state=0).fit_transform(data.X).sum().compute()
    ),
    "terms": Operation(lambda data: CountVectorizer().fit(texts(data))),
    "weighted terms, transformed": Operation(lambda data: total(TfidfVectorizer().fit_transform(texts(data)))),
    "hashed terms": Operation(lambda data: total(HashingVectorizer(n_features=2**12).transform(texts(data)))),
    "variances": Operation(lambda data: VarianceThreshold().fit(data.X)),
    "selection by a model": Operation(lambda data: SelectFromModel(Ridge()).fit(data.X, data.y)),
    "sequential selection": Operation(
        lambda data: SequentialFeatureSelector(Ridge(), n_features_to_select=2, cv=2).fit(data.X, data.y)
    ),
    "mutual information": Operation(lambda data: mutual_info_classif(data.X, data.y)),
    "area under the curve": Operation(lambda data: roc_auc_score(data.y, data.X[:, 0])),
    "average precision": Operation(lambda data: average_precision_score(data.y, data.X[:, 0])),
    "curve": Operation(lambda data: roc_curve(data.y, data.X[:, 0])),
    "report": Operation(lambda data: classification_report(data.y, (data.X[:, 0] > 0.5).astype(int))),
    "silhouette": Operation(lambda data: silhouette_score(data.X, data.y, sample_size=1_000, random_state=0)),
    "description": Operation(lambda data: describe(data.frame)),
    "correlations": Operation(lambda data: corr(data.X)),
    "contingency": Operation(lambda data: chi2_contingency(few(data)[:, 0], data.y)),
    "two samples": Operation(lambda data: ks_2samp(data.X[:, 0], data.X[:, 1])),
    "placement": Operation(lambda data: place(data.X), can=False),
}


class Outcome(NamedTuple):
    """Seconds, the error if there was one, the workers that were lost, and the highest memory of one in bytes."""

    seconds: float
    error: Exception | None
    n_lost: int
    peak: int

    def fault(self, operation: Operation) -> str | None:
        """Return what is wrong, None where nothing is."""
        if self.n_lost:
            return f"{self.n_lost} workers lost"
        if operation.can:
            return None if self.error is None else f"{type(self.error).__name__}: {self.error}"[:300]
        if self.error is None:
            return None  # it has found a way
        if self.seconds > SECONDS_TO_SAY:
            return f"said after {self.seconds:.0f} s: {self.error}"[:300]
        return None if "memory" in str(self.error) else f"does not say why: {self.error}"[:300]


def attempt(client: Client, operation: Operation, scale: float = 1.0) -> Outcome:
    """Carry out an operation on data of four times the cluster's memory, or of a share of that."""
    error, n_bytes = None, scale * TIMES * MEMORY * len(client.nthreads())
    with tempfile.TemporaryDirectory() as folder, watching_workers(client) as fate, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        started = time.perf_counter()
        try:
            operation.call(lazy(n_bytes, folder))
        except Exception as raised:
            error = raised
        seconds = time.perf_counter() - started
    return Outcome(seconds, error, len(fate.lost), max(fate.peak.values(), default=0))


def small_cluster(n_workers: int = N_WORKERS) -> LocalCluster:
    return LocalCluster(
        n_workers=n_workers, threads_per_worker=1, memory_limit=MEMORY, processes=True, dashboard_address=":0"
    )


def work(name: str, setting: Setting) -> list[Row]:
    """Carry out one operation on workers of its own; the row tells the memory of one against its limit."""
    with small_cluster() as workers, Client(workers) as client:
        outcome = attempt(client, OPERATIONS[name], setting.scale)
    fault = outcome.fault(OPERATIONS[name])
    told = [f"{outcome.seconds:.1f} s"] + ([] if outcome.error is None else [str(outcome.error)[:200]])
    notes = [*told, *([] if fault is None else [f"FAULT: {fault}"])]
    return [Row(f"{name}: memory of a worker, MB", outcome.peak / 1e6, MEMORY / 1e6, 1.0, True, "", notes)]


def _work(name: str) -> Work:
    return lambda setting: work(name, setting)


WORKS: dict[str, Work] = {name: _work(name) for name in OPERATIONS}


def main() -> None:
    run(WORKS, __doc__)


if __name__ == "__main__":
    main()
