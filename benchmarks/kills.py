"""Processes of a cluster that are killed (SIGKILL) at random moments: workers in fits, servers, schedulers."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pickle
import signal
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from typing import Any, NamedTuple

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import scipy.sparse as sp
import sklearn.linear_model
from distributed import Client, Event, LocalCluster, Scheduler, Worker, secede, wait
from sklearn.pipeline import make_pipeline

from benchmarks.program import Setting, Work
from benchmarks.race import Row
from daskml_kit.cluster import BisectingKMeans, KMeans, MiniBatchKMeans, SpectralClustering
from daskml_kit.compose import make_column_transformer
from daskml_kit.covariance import OAS
from daskml_kit.data import collections as capacity
from daskml_kit.data.collections import workers_of
from daskml_kit.decomposition import NMF, PCA, IncrementalPCA, TruncatedSVD
from daskml_kit.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from daskml_kit.engines import open as opening
from daskml_kit.engines.engine import Profile, watching
from daskml_kit.ensemble import StackingClassifier, VotingClassifier
from daskml_kit.exceptions import LostSchedulerError
from daskml_kit.feature_extraction.text import CountVectorizer, TfidfVectorizer
from daskml_kit.feature_selection import RFECV, SelectKBest
from daskml_kit.impute import IterativeImputer, SimpleImputer
from daskml_kit.isotonic import IsotonicRegression
from daskml_kit.kernel_approximation import Nystroem
from daskml_kit.linear_model import (
    ElasticNet,
    HuberRegressor,
    Lasso,
    LinearRegression,
    LinearSVC,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    SGDClassifier,
)
from daskml_kit.mixture import GaussianMixture
from daskml_kit.model_selection import GridSearchCV, HyperbandSearchCV, RandomizedSearchCV, submit
from daskml_kit.naive_bayes import ComplementNB, GaussianNB, MultinomialNB
from daskml_kit.neighbors import NearestCentroid
from daskml_kit.neural_network import MLPClassifier
from daskml_kit.parameter_server import ParameterServer, SparseRows, Synchronous, add
from daskml_kit.preprocessing import (
    KBinsDiscretizer,
    MinMaxScaler,
    OneHotEncoder,
    PowerTransformer,
    QuantileTransformer,
    StandardScaler,
    TargetEncoder,
)
from daskml_kit.recommendation import ALS, MatrixFactorization
from daskml_kit.workers.hedging import SILENT_SECONDS, silent_workers

SECONDS = 120
RESTART_SECONDS = 30.0
MOST_DELAY = 0.05
"""Seconds, about as long as a pass takes."""
N_WORKERS = 4
N_ROWS, BLOCK = 24_000, 1_500
STOPPED_ROWS = 400_000


def prepare_forks() -> ForkServerContext:
    """Start the process that others are forked from: all is imported there, so that a new one costs a tenth."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["distributed", __name__])
    process = context.Process(target=os.getpid)
    process.start()
    process.join()
    return context


@contextmanager
def killable_cluster(**config: Any) -> Iterator[Client]:
    """Open workers of one thread, which are started anew when they die; nothing is small enough to be fitted here."""
    prepare_forks()
    config = {
        "distributed.scheduler.allowed-failures": 10_000,
        "distributed.admin.log-format": "%(message)s",
        "distributed.worker.multiprocessing-method": "forkserver",
        **config,
    }
    limit, opening.LOCAL_BYTES = opening.LOCAL_BYTES, 0
    try:
        with (
            dask.config.set(config),
            LocalCluster(n_workers=N_WORKERS, threads_per_worker=1, dashboard_address=":0") as cluster,
            Client(cluster) as client,
        ):
            yield client
    finally:
        opening.LOCAL_BYTES = limit


def kill_all(pids: Iterable[int], at: list[float]) -> None:
    """Kill processes, and append the time to ``at``."""
    at.append(time.monotonic())
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def await_workers(client: Client) -> None:
    """Wait until enough workers are back; start others where a nanny does not, as after two deaths in a row."""
    deadline = time.monotonic() + RESTART_SECONDS
    while len(client.nthreads()) < N_WORKERS - 1:
        if time.monotonic() > deadline:
            client.cluster.scale(len(client.cluster.worker_spec) + 1)
            deadline = time.monotonic() + RESTART_SECONDS
        time.sleep(0.05)


class Rows(NamedTuple):
    """Features, a target and weights, lazy."""

    X: Any
    y: Any
    weight: Any = None


def dense() -> Rows:
    draw = da.random.default_rng(5)
    X = draw.normal(size=(N_ROWS, 6), chunks=(BLOCK, 6))
    return Rows(X, (X[:, 0] - 0.5 * X[:, 1] + X[:, 2] ** 2 > 0.8).astype(int), draw.random(N_ROWS, chunks=BLOCK) + 0.5)


def sparse() -> Rows:
    rows = dense()
    X = rows.X.map_blocks(_hollow, meta=sp.csr_array((0, 6), dtype=float))
    return rows._replace(X=X)


def _hollow(block: Any) -> Any:
    return sp.csr_array(np.where(block > 0.5, block, 0.0))


def frame() -> Rows:
    """Categories, numbers of which some are missing, and a target that depends on them."""
    draw = np.random.default_rng(6)
    many, few, number = draw.integers(0, 40, N_ROWS), draw.integers(0, 9, N_ROWS), draw.normal(size=N_ROWS)
    y = (number + draw.normal(size=40)[many] + few / 9 > 0.5).astype(int)
    number[::50] = np.nan
    table = pd.DataFrame({"many": pd.Categorical(many), "few": pd.Categorical(few), "number": number})
    X, target = (dd.from_pandas(part, npartitions=N_ROWS // BLOCK) for part in (table, pd.Series(y)))
    return Rows(X, target)


def positive() -> Rows:
    rows = dense()
    return rows._replace(X=abs(rows.X))


def one_column() -> Rows:
    rows = dense()
    return rows._replace(X=rows.X[:, :1], y=rows.X[:, 0] + rows.X[:, 1])


def ratings() -> Rows:
    draw = da.random.default_rng(7)
    pairs = draw.integers(0, 60, size=(N_ROWS, 2), chunks=(BLOCK, 2))
    return Rows(pairs, (pairs[:, 0] % 5 - pairs[:, 1] % 3).astype(float))


def texts() -> Rows:
    words = np.random.default_rng(8).integers(0, 200, size=(N_ROWS, 4))
    joined = pd.Series([" ".join(f"word{number}" for number in row) for row in words], dtype=object)
    return Rows(dd.from_pandas(joined, npartitions=N_ROWS // BLOCK), None)


def codes() -> Rows:
    rows = frame()
    encode = make_column_transformer((OneHotEncoder(), ["many", "few"]), (SimpleImputer(), ["number"]))
    return rows._replace(X=encode.fit_transform(rows.X))


def holed() -> Rows:
    rows = dense()
    return rows._replace(X=da.where(rows.X > 1, np.nan, rows.X))


class InJob:
    """Estimator that is fitted in a job."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def fit(self, X: Any, y: Any) -> Any:
        job = submit(self.model, X, y)
        try:
            return job.result(timeout=SECONDS)
        finally:
            job.forget()


WIDE = {"C": [0.01, 0.1, 1.0, 10.0]}
ALPHAS = {"alpha": np.logspace(-5, 0, 30)}


class Case(NamedTuple):
    """A fit: its estimator, its rows, whether they are persisted, and whether it takes weights."""

    make: Callable[[], Any]
    rows: Callable[[], Rows]
    persisted: bool = True
    weighted: bool = False


CASES: Mapping[str, Case] = {
    "logistic, weights": Case(lambda: LogisticRegression(tol=1e-9), dense, weighted=True),
    "logistic, streamed": Case(lambda: LogisticRegression(tol=1e-9, solver="lbfgs"), dense, persisted=False),
    "logistic, sparse": Case(lambda: LogisticRegression(tol=1e-9), sparse, weighted=True),
    "logistic, codes": Case(lambda: LogisticRegression(tol=1e-9), codes),
    "least squares, weights": Case(LinearRegression, dense, weighted=True),
    "elastic net, streamed": Case(lambda: ElasticNet(alpha=0.01), dense, persisted=False),
    "huber": Case(HuberRegressor, dense, weighted=True),
    "poisson": Case(PoissonRegressor, dense, weighted=True),
    "svm": Case(LinearSVC, dense),
    "k-means": Case(lambda: KMeans(5, random_state=0, n_init=1), dense, weighted=True),
    "pca, streamed": Case(lambda: PCA(3), dense, persisted=False),
    "naive bayes": Case(GaussianNB, dense, weighted=True),
    "network": Case(lambda: MLPClassifier(8, max_iter=3, training=Synchronous(), random_state=0), dense),
    "sgd": Case(lambda: SGDClassifier(max_iter=3, tol=None, training=Synchronous(), random_state=0), dense),
    "search": Case(lambda: GridSearchCV(Ridge(), {"alpha": [0.1, 1.0, 10.0]}, cv=3), dense),
    "encoder, frame": Case(OneHotEncoder, lambda: Rows(frame().X[["many", "few"]], None), persisted=False),
    "scaler, frame": Case(StandardScaler, lambda: Rows(frame().X[["number"]], None)),
    "mixture": Case(lambda: GaussianMixture(3, max_iter=8, random_state=0), dense),
    "mixture, streamed": Case(lambda: GaussianMixture(3, max_iter=4, random_state=0), dense, persisted=False),
    "mini-batch k-means": Case(lambda: MiniBatchKMeans(3, random_state=0, n_init=1, max_iter=3), dense, weighted=True),
    "bisecting k-means": Case(lambda: BisectingKMeans(4, random_state=0), dense, weighted=True),
    "nmf": Case(lambda: NMF(3, max_iter=10, tol=0), positive),
    "incremental pca": Case(lambda: IncrementalPCA(3), dense),
    "singular values, sparse": Case(lambda: TruncatedSVD(3, random_state=0), sparse),
    "multinomial bayes, sparse": Case(MultinomialNB, lambda: sparse()._replace(X=abs(sparse().X)), weighted=True),
    "discriminant": Case(LinearDiscriminantAnalysis, dense),
    "covariance": Case(OAS, dense),
    "centroids": Case(NearestCentroid, dense),
    "kernel map": Case(lambda: Nystroem(n_components=20, random_state=0), dense),
    "isotonic": Case(IsotonicRegression, one_column, weighted=True),
    "alternating least squares": Case(lambda: ALS(3, max_iter=4, random_state=0), ratings),
    "matrix factorization": Case(
        lambda: MatrixFactorization(3, max_iter=2, training=Synchronous(), random_state=0), ratings
    ),
    "univariate selection": Case(lambda: SelectKBest(k=3), dense),
    "elimination": Case(lambda: RFECV(Ridge(), cv=3), dense),
    "stacking": Case(lambda: StackingClassifier([("ridge", Ridge()), ("bayes", GaussianNB())], cv=3), dense),
    "voting": Case(lambda: VotingClassifier([("one", LogisticRegression()), ("two", GaussianNB())]), dense),
    "quantiles": Case(lambda: QuantileTransformer(random_state=0, subsample=5_000), dense, persisted=False),
    "power": Case(PowerTransformer, dense),
    "bins": Case(lambda: KBinsDiscretizer(4, subsample=None), dense),
    "target encoder, frame": Case(TargetEncoder, lambda: Rows(frame().X[["many", "few"]], frame().y)),
    "terms": Case(TfidfVectorizer, texts, persisted=False),
    "counts of terms": Case(CountVectorizer, texts),
    "iterative imputer": Case(lambda: IterativeImputer(max_iter=2), holed),
    "complement bayes": Case(ComplementNB, positive),
    "quadratic discriminant": Case(QuadraticDiscriminantAnalysis, dense),
    "spectral clusters": Case(lambda: SpectralClustering(3, n_components=20, random_state=0), dense),
    "ranges, streamed": Case(MinMaxScaler, dense, persisted=False),
    "random search": Case(lambda: RandomizedSearchCV(LogisticRegression(), WIDE, n_iter=4, random_state=0), dense),
    "search of pipelines": Case(
        lambda: GridSearchCV(make_pipeline(StandardScaler(), Lasso()), {"lasso__alpha": [0.01, 0.1]}, cv=3), dense
    ),
    "task search": Case(lambda: GridSearchCV(sklearn.linear_model.LogisticRegression(), WIDE, cv=3), dense),
    "adaptive search": Case(
        lambda: HyperbandSearchCV(
            sklearn.linear_model.SGDRegressor(random_state=0),
            {"alpha": np.logspace(-5, 0, 30)},
            max_iter=9,
            random_state=0,
        ),
        dense,
    ),
    "job": Case(lambda: InJob(LogisticRegression(tol=1e-9, solver="lbfgs")), dense),
    "search in a job": Case(lambda: InJob(GridSearchCV(Ridge(), {"alpha": [0.1, 1.0, 10.0]}, cv=3)), dense),
}


NOT_BITS = ("profile_", "history_", "labels_")
"""Times, the histories of trainings, and rows that are still lazy."""


def given(client: Client, case: Case) -> Rows:
    """Return the rows as the fit gets them: what is persisted has its targets and weights on other workers."""
    rows = case.rows() if case.weighted else case.rows()._replace(weight=None)
    if not case.persisted:
        return rows
    workers = sorted(client.nthreads())
    places = dict(zip(Rows._fields, (workers[:2], workers[2:3], workers[-1:]), strict=True))
    held = {
        name: client.persist(part, workers=places[name] or workers, allow_other_workers=True)
        for name, part in rows._asdict().items()
        if part is not None
    }
    wait(list(held.values()))
    return rows._replace(**held)


def fitted(case: Case, rows: Rows) -> dict[str, bytes]:
    """Return the bits of all fitted attributes, by name."""
    weight = {} if rows.weight is None else {"sample_weight": rows.weight}
    fraction, capacity.FIT_FRACTION = capacity.FIT_FRACTION, capacity.FIT_FRACTION if case.persisted else 0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = case.make().fit(rows.X, rows.y, **weight)
    finally:
        capacity.FIT_FRACTION = fraction
    table = getattr(model, "cv_results_", {})
    scores = {name: table[name] for name in table if name.endswith("test_score")}
    found = getattr(model, "best_estimator_", model)
    found = found.to_sklearn() if hasattr(found, "to_sklearn") else found
    whole = {**vars(found), **scores}
    named = {name: whole[name] for name in whole if name.endswith(("_", "score")) and name not in NOT_BITS}
    return {name: pickle.dumps(value) for name, value in named.items()}


def fits(setting: Setting) -> list[Row]:
    """Kill one or two workers in each of some fits, and count those whose bits are the undisturbed ones'."""
    n_kills, rng = max(round(40 * setting.scale), 1), np.random.default_rng(setting.seed)
    expected: dict[str, tuple[dict[str, bytes], float]] = {}
    notes, kept, inside = [], 0, 0
    order = [name for _ in range(-(-n_kills // len(CASES))) for name in rng.permutation(list(CASES))]
    with killable_cluster() as client:
        for number, name in enumerate(order[:n_kills]):
            case = CASES[name]
            if name not in expected:
                rows = given(client, case)
                fitted(case, rows)  # the second is as quick as those that are to be met
                started = time.perf_counter()
                expected[name] = fitted(case, rows), time.perf_counter() - started
            bits, seconds = expected[name]
            rows = given(client, case)
            victims = rng.choice(sorted(client.nthreads()), size=1 + (rng.random() < 0.2), replace=False)
            pids = [*client.run(os.getpid, workers=list(victims)).values()]
            killed: list[float] = []
            timer = threading.Timer(rng.random() * seconds, kill_all, [pids, killed])
            timer.start()
            try:
                found = fitted(case, rows)
                other = [name for name in bits if found.get(name) != bits[name]]
                same, why = not other, f"other bits of {', '.join(other)}"
            except Exception as error:
                same, why = False, f"{type(error).__name__}: {error}"[:200]
            ended = time.monotonic()
            timer.join()
            kept += same
            inside += killed[0] < ended
            if not same:
                notes.append(f"kill {number}: {name}: {why}")
            del rows
            await_workers(client)
    notes.append(f"{inside} of {n_kills} kills came before the fit had ended")
    return [
        Row("fits of which workers were killed: other bits or an error", n_kills - kept, n_kills, 0.0, True, "", notes)
    ]


def stopped(setting: Setting) -> list[Row]:
    """Stop one of four workers (SIGSTOP) in a fit of some seconds, and compare its time with the undisturbed one's."""
    n_rows, times, others = setting.rows(STOPPED_ROWS), [], 0
    with killable_cluster() as client:
        X = da.random.default_rng(setting.seed).normal(size=(n_rows, 20), chunks=(-(-n_rows // 32), 20))
        X, y = client.persist([X, (X[:, 0] - 0.5 * X[:, 1] + X[:, 2] ** 2 > 0.8).astype(int)])
        wait([X, y])
        model = LogisticRegression(tol=1e-9, solver="lbfgs", max_iter=400)
        expected = model.fit(X, y).coef_
        pids = client.run(os.getpid)
        for number in range(max(round(4 * setting.scale), 1)):
            pid, quarter = pids[sorted(pids)[number % N_WORKERS]], model.profile_.passes // 4

            def stop(profile: Profile, pid: int = pid, quarter: int = quarter) -> None:
                if profile.passes == quarter:
                    os.kill(pid, signal.SIGSTOP)

            started = time.perf_counter()
            model.fit(X, y)
            free = time.perf_counter() - started
            try:
                with watching(stop):
                    others += not np.array_equal(model.fit(X, y).coef_, expected)
            finally:
                os.kill(pid, signal.SIGCONT)
            times.append((time.perf_counter() - started - free, free))
            while any(silent_workers(client)):
                time.sleep(0.1)
    slow, free = np.median(times, axis=0)
    note = f"{len(times)} fits of {model.profile_.passes} passes, {others} with other bits"
    return [Row("a fit with one of four workers stopped: undisturbed", slow, free, 1.5, True, notes=[note])]


NAMES = ("0", "1", "2")
SHAPES = {"table": (300, 4), "matrix": (20, 5), "vector": (7,), "number": ()}


def increments(seed: int, name: str, number: int) -> dict[str, Any]:
    """Return what a worker pushes: whole numbers, of some arrays, whole or a few rows of which some repeat."""
    rng = np.random.default_rng([seed, int(name), number])
    chosen = [key for key in SHAPES if rng.random() < 0.6] or list(SHAPES)
    pushed: dict[str, Any] = {}
    for key in chosen:
        shape = SHAPES[key]
        if shape and rng.random() < 0.5:
            rows = rng.integers(shape[0], size=rng.integers(1, 6))
            pushed[key] = SparseRows(rows, rng.integers(-9, 10, size=(len(rows), *shape[1:])).astype(float))
        else:
            pushed[key] = rng.integers(-9, 10, size=shape).astype(float)
    return pushed


def push_until(worker: Any, event: str, seed: int) -> int:
    """Push until told to stop; return how many pushes were acknowledged.

    It always pushes once: the next may be on some servers already, if it is another that was lost.
    """
    secede()
    number: int = worker.resume()
    stop = Event(event)
    while True:
        worker.push(increments(seed, worker.name, number))
        number += 1
        if number % 7 == 0:
            worker.pull()
        if number % 10 == 0 and stop.is_set():
            return number


def total(seed: int, counts: Mapping[str, int]) -> dict[str, Any]:
    """Return the sum of what workers pushed."""
    sums = {key: np.zeros(shape) for key, shape in SHAPES.items()}
    for name, count in counts.items():
        for number in range(count):
            for key, pushed in increments(seed, name, number).items():
                if isinstance(pushed, SparseRows):
                    np.add.at(sums[key], pushed.rows, pushed.values)
                else:
                    sums[key] += pushed
    return sums


class Killer:
    """Kills workers of a parameter server, each when all ranges have a replica again.

    Parameters
    ----------
    client : distributed.Client
    server : ParameterServer
    seed : int

    Attributes
    ----------
    recoveries : list of float
        Seconds from each kill to the next push of every worker on every server.
    """

    def __init__(self, client: Client, server: ParameterServer, seed: int) -> None:
        self.client, self.server, self.rng = client, server, np.random.default_rng(seed)
        self.killed: set[str] = set()
        self.recoveries: list[float] = []
        self.pauses: list[threading.Timer] = []

    def kill_any(self) -> str:
        """Kill the worker of a primary, a replica or a worker, and wait until all push again."""
        self.await_replicas()
        self.await_pushes(int(self.rng.integers(1, 10)))
        kind, address = self.chosen()
        known = workers_of(self.client)[address]  # a later one may have its address, and has its name
        kill_all(self.client.run(os.getpid, workers=[address]).values(), [])
        self.killed.add(known["local_directory"])
        self.recoveries.append(self.await_pushes(1))
        return kind

    def pause_any(self) -> str:
        """Stop the worker of a primary, a replica or a worker for some seconds, and return at a moment of these."""
        self.await_replicas()
        kind, address = self.chosen()
        (pid,) = self.client.run(os.getpid, workers=[address]).values()
        seconds = self.rng.uniform(1, 2 * SILENT_SECONDS)
        os.kill(pid, signal.SIGSTOP)
        self.pauses.append(threading.Timer(seconds, _go_on, [pid]))
        self.pauses[-1].start()
        self.pauses[-1].join(self.rng.uniform(0, seconds))
        return f"paused {kind}"

    def chosen(self) -> tuple[str, str]:
        """Return the kind and the address of a worker drawn at random."""
        view, alive = self.server._remote.view.servers, sorted(self.client.nthreads())
        places = [[s.primary.address for s in view], [s.replica.address for s in view], alive]
        kind = self.rng.integers(3)
        return ("server", "replica", "worker")[kind], str(self.rng.choice(places[kind]))

    def await_pushes(self, more: int) -> float:
        """Wait until each worker has pushed so many times more; return the seconds."""
        started, before = time.monotonic(), self.pushes()
        while time.monotonic() < started + SECONDS:
            if all(now[1] >= then[1] + more for now, then in zip(self.pushes(), before, strict=True)):
                return time.monotonic() - started
            time.sleep(0.02)
        raise AssertionError(f"workers push no more after {before}")

    def pushes(self) -> list[Any]:
        servers = self.server._own.servers
        return [servers.ask(server, "number", name) for server in range(3) for name in NAMES]

    def await_replicas(self) -> None:
        await_workers(self.client)
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            held = [p for s in self.server._remote.view.servers for p in (s.primary, s.replica)]
            workers = workers_of(self.client).items()
            alive = [address for address, worker in workers if worker["local_directory"] not in self.killed]
            if len(alive) >= 3 and all(place is not None and place.address in alive for place in held):
                return
            time.sleep(0.05)
        raise AssertionError(f"no replica again: {self.server._remote.view} on {alive}")


class Pushed(NamedTuple):
    """The sums on the servers and those of the acknowledged pushes, their number, and the seconds of recoveries."""

    found: Mapping[str, Any]
    expected: Mapping[str, Any]
    n_pushes: int
    recoveries: list[float]
    kinds: list[str]


def push_and_kill(client: Client, n_kills: int, seed: int, *, pauses: bool = False) -> Pushed:
    """Let three workers push to three servers while workers are killed, or every second time stopped for a while."""
    params = {key: np.zeros(shape) for key, shape in SHAPES.items()}
    stop = Event("stop")
    with ParameterServer(params, add(), staleness=np.inf, servers=3, client=client) as server:
        tasks = {name: client.submit(push_until, server.worker(name), "stop", seed, pure=False) for name in NAMES}
        killer = Killer(client, server, seed)
        kinds = [killer.pause_any() if pauses and number % 2 else killer.kill_any() for number in range(n_kills)]
        for pause in killer.pauses:
            pause.join()
        killer.await_replicas()
        stop.set()
        counts = {name: task.result(timeout=SECONDS) for name, task in tasks.items()}
        return Pushed(server.pull(), total(seed, counts), sum(counts.values()), killer.recoveries, kinds)


def _go_on(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def servers(setting: Setting, *, pauses: bool = False) -> list[Row]:
    """Kill workers with primaries, replicas or pushing tasks; each acknowledged push has to count once."""
    n_kills = max(round(100 * setting.scale), 1)
    with warnings.catch_warnings(), killable_cluster() as client:
        warnings.simplefilter("ignore")  # the parameters have no replica, for some time
        pushed = push_and_kill(client, n_kills, setting.seed, pauses=pauses)
    wrong = sum(int((pushed.found[key] != pushed.expected[key]).sum()) for key in SHAPES)
    p50, p99 = np.quantile(pushed.recoveries, [0.5, 0.99])
    kinds = {kind: pushed.kinds.count(kind) for kind in sorted(set(pushed.kinds))}
    notes = [
        f"{n_kills} times {kinds}, {pushed.n_pushes} pushes, kills recovered in {p50:.2f} s (median), {p99:.2f} s (p99)"
    ]
    work = f"killed{' and paused' if pauses else ''} servers: entries with a push lost or counted twice"
    return [Row(work, wrong, pushed.n_pushes, 0.0, True, "", notes)]


async def _schedule(told: Connection) -> None:
    """Run a scheduler and a worker in this process; send the address."""
    async with (
        Scheduler(port=0, dashboard_address=":0") as scheduler,
        Worker(scheduler.address, nthreads=2, dashboard_address=":0"),
    ):
        told.send(scheduler.address)
        await scheduler.finished()


def _run_scheduler(told: Connection) -> None:
    asyncio.run(_schedule(told))


@contextmanager
def scheduler_process() -> Iterator[tuple[Client, Callable[[], None]]]:
    """Start a scheduler with a worker in a process of its own; yield a client, and what kills the process."""
    context = prepare_forks()
    address, told = context.Pipe(duplex=False)
    process = context.Process(target=_run_scheduler, args=(told,))
    process.start()
    try:
        # a client without a scheduler leaves its settings behind
        with dask.config.set(scheduler=None), Client(address.recv()) as client:
            yield client, process.kill
    finally:
        process.kill()
        process.join()
        process.close()
        address.close()
        told.close()


def interrupted(folder: str, after: int, delay: float) -> int | None:
    """Fit, and kill the scheduler some seconds after some passes; return the passes that ended, None where all had."""
    passes: list[int] = []
    rows = dense()
    with scheduler_process() as (_, kill_scheduler):
        timer = threading.Timer(delay, kill_scheduler)

        def count(profile: Profile) -> None:
            passes.append(profile.passes)
            if len(passes) == after:
                timer.start()

        if not after:
            timer.start()
        try:
            with watching(count):
                slow_model().fit(rows.X, rows.y, checkpoint=folder)
        except LostSchedulerError:
            return len(passes)
        finally:
            timer.cancel()
    return None


def slow_model() -> LogisticRegression:
    return LogisticRegression(tol=1e-9, solver="lbfgs")


def scheduler(setting: Setting) -> list[Row]:
    """Kill schedulers in fits with a checkpoint, resume these elsewhere, and count the passes that were made again."""
    n_kills, rng = max(round(40 * setting.scale), 1), np.random.default_rng(setting.seed)
    rows, repeated, wrong, kills, at = dense(), 0, 0, 0, []
    limit, opening.LOCAL_BYTES = opening.LOCAL_BYTES, 0
    try:
        with LocalCluster(n_workers=1, processes=False, dashboard_address=":0") as cluster, Client(cluster):
            expected = slow_model().fit(rows.X, rows.y)
            needed = expected.profile_.passes
        while kills < n_kills:
            with tempfile.TemporaryDirectory() as folder:
                ended = interrupted(folder, int(rng.integers(needed)), MOST_DELAY * rng.random())
                if ended is None:
                    continue
                with LocalCluster(n_workers=1, processes=False, dashboard_address=":0") as cluster, Client(cluster):
                    model = slow_model().fit(rows.X, rows.y, checkpoint=folder)
            kills += 1
            at.append(ended)
            repeated += ended + model.profile_.passes - needed
            wrong += not np.array_equal(model.coef_, expected.coef_)
    finally:
        opening.LOCAL_BYTES = limit
    notes = [f"killed after {min(at)} to {max(at)} of {needed} passes"]
    return [
        Row("killed schedulers: passes made again", repeated, kills * needed, 0.0, True, "", notes),
        Row("killed schedulers: other bits", wrong, kills, 0.0, True, ""),
    ]


WORKS: dict[str, Work] = {
    "fits": fits,
    "stopped": stopped,
    "servers": servers,
    "paused": partial(servers, pauses=True),
    "scheduler": scheduler,
}
