"""Linear models side by side with scikit-learn and dask-ml, each peer at its best thread setting.

``python -m benchmarks.linear`` prints one table; ``--scale 0.01`` runs it on a hundredth of the rows. Contestants run
in turn, and the least time of each counts. Peers need the ``bench`` extra.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import sklearn.linear_model as theirs
from distributed import Client, LocalCluster

import daskml_kit.linear_model as kit
from benchmarks.data import Data, badly_scaled, in_memory, low_rank, on_dask, on_workers, ten_classes
from benchmarks.memory import measure_apart
from benchmarks.objectives import excess, logistic, squared
from benchmarks.patience import wait_for_default
from benchmarks.peers import dask_ml, ours, scikit_learn
from benchmarks.program import Setting, Work, run
from benchmarks.race import Row, Timed, fastest, race
from benchmarks.traffic import count_tasks, tasks_sent

ROWS_A, ROWS_B, ROWS_C, ROWS_L1 = 1_000_000, 500_000, 200_000, 200_000
WORKERS = 2
PATIENCE = 100
"""Seconds that dask-ml's default solver gets, which takes minutes on data B."""
OBJECTIVE = 1e-7
"""How far above the optimum our objective may be, as a share of it."""


def logistic_on_a(setting: Setting) -> list[Row]:
    """Logistic regression on badly scaled data, against three peers."""
    data = in_memory(badly_scaled, setting.rows(ROWS_A))
    X, y = on_dask(data, 8)
    newton = theirs.LogisticRegression(solver="newton-cholesky")
    timed = race(
        {
            **ours(kit.LogisticRegression(), *data),
            **scikit_learn("newton-cholesky", newton, data),
            **scikit_learn("lbfgs", theirs.LogisticRegression(), data),
            **dask_ml("LogisticRegression", ["newton", "lbfgs"], X, y),
        },
        setting.repeat,
    )
    best = newton.set_params(tol=1e-10).fit(*data)
    gaps = {name: excess(logistic(one.result, data), logistic(best, data)) for name, one in timed.items()}
    wanted = {"newton-cholesky": 3.0, "lbfgs": 15.0, "dask-ml": 5.0}
    rows = [_against(f"LogisticRegression on A: {peer}", timed, peer, gaps, bound) for peer, bound in wanted.items()]
    return [*rows, _accuracy("LogisticRegression on A: objective over optimum", gaps["ours"])]


def least_squares_on_b(setting: Setting) -> list[Row]:
    """Least squares on data of rank 20 plus noise."""
    data = in_memory(low_rank, setting.rows(ROWS_B))
    X, y = on_dask(data, 8)
    timed = race(
        {
            **ours(kit.LinearRegression(), *data),
            **scikit_learn("scikit-learn", theirs.LinearRegression(), data),
            **dask_ml("LinearRegression", ["newton", "lbfgs"], X, y),
        },
        setting.repeat,
    )
    optimum = min(squared(one.result, data) for one in timed.values())
    gaps = {name: excess(squared(one.result, data), optimum) for name, one in timed.items()}
    waited = wait_for_default(len(data.y), limit=PATIENCE * setting.scale + 20)
    default = Row("LinearRegression on B: dask-ml as it comes", timed["ours"].seconds, waited.seconds, 100.0)
    default.notes.append("its default solver, admm" + ("" if waited.finished else ", stopped before it ended"))
    return [
        _against("LinearRegression on B: scikit-learn", timed, "scikit-learn", gaps, 10.0),
        default,
        _against("LinearRegression on B: dask-ml, newton or lbfgs", timed, "dask-ml", gaps, None),
    ]


def multinomial_on_c(setting: Setting) -> list[Row]:
    """Ten classes at equal objective, against scikit-learn's lbfgs on one BLAS thread."""
    data = in_memory(ten_classes, setting.rows(ROWS_C))
    optimum = logistic(kit.LogisticRegression(tol=1e-9, solver="newton-cholesky").fit(*data), data)
    model = _loosest(theirs.LogisticRegression(), data, optimum)
    timed = race(
        {
            **ours(kit.LogisticRegression(), *data),
            **scikit_learn("lbfgs", model, data, blas_threads=[1]),
        },
        setting.repeat,
    )
    gaps = {name: excess(logistic(one.result, data), optimum) for name, one in timed.items()}
    row = _against("multinomial on C: lbfgs, one BLAS thread", timed, "lbfgs", gaps, 1.5)
    row.notes.append(f"scikit-learn at tol={model.tol:g}, the loosest that is within {OBJECTIVE:g}")
    return [row, _accuracy("multinomial on C: objective over optimum", gaps["ours"])]


def single_precision(setting: Setting) -> list[Row]:
    """Our own fit of float32 input against that of float64."""
    data = in_memory(badly_scaled, setting.rows(ROWS_A))
    single = data.X.astype(np.float32)
    timed = race(
        {
            **ours(kit.LogisticRegression(), single, data.y),
            "double": lambda: kit.LogisticRegression().fit(*data),
        },
        3 * setting.repeat,
    )
    optimum = logistic(kit.LogisticRegression(tol=1e-8).fit(*data), data)
    gaps = {name: excess(logistic(one.result, data), optimum) for name, one in timed.items()}
    return [_against("float32 on A: our float64", timed, "double", gaps, 1.4)]


def cluster(setting: Setting) -> list[Row]:
    """The same fit on a cluster of processes, its data persisted, against our own local fit."""
    data = in_memory(badly_scaled, setting.rows(ROWS_A))
    workers = LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=":0")
    with workers, Client(workers) as client:
        X, y = on_workers(badly_scaled, len(data.y), 8 * WORKERS)
        count_tasks(client)
        before = tasks_sent(client)
        profile = kit.LogisticRegression().fit(X, y).profile_
        sent = tasks_sent(client) - before
        timed = race(
            {
                "local": lambda: kit.LogisticRegression().fit(*data),
                "cluster": lambda: kit.LogisticRegression().fit(X, y),
            },
            3 * setting.repeat,
        )
    tasks = sent / profile.passes / WORKERS
    note = f"{profile.passes} passes, {sent} tasks for {WORKERS} worker threads, relabeling included"
    return [
        Row("cluster on A: our local fit", timed["cluster"].seconds, timed["local"].seconds, 2.0, at_most=True),
        Row("cluster on A: tasks a thread a pass", tasks, 1, 2.0, at_most=True, unit="", notes=[note]),
    ]


def memory(setting: Setting) -> list[Row]:
    """The memory of a local fit over the data itself, as a share of X."""
    rows = []
    for model, whole in (("LogisticRegression", ROWS_A), ("LinearRegression", ROWS_B)):
        for kind in ("numpy", "dask"):
            seen = measure_apart(model, kind, setting.rows(whole))
            extra, size = seen["extra"] / 2**20, seen["X"] / 2**20
            rows.append(Row(f"memory of {model}, {kind}: X", extra, size, 0.15, at_most=True, unit="MB"))
    return rows


def sparse_penalties(setting: Setting) -> list[Row]:
    """An l1 norm and an elastic net on a part of A, against saga."""
    data = in_memory(badly_scaled, setting.rows(ROWS_L1))
    rows = []
    for name, ratio in (("l1", 1.0), ("elastic net", 0.5)):
        exact = kit.LogisticRegression(l1_ratio=ratio, tol=1e-9, solver="newton-cholesky").fit(*data)
        optimum = logistic(exact, data, l1_ratio=ratio)
        saga = theirs.LogisticRegression(solver="saga", l1_ratio=ratio, max_iter=1_000, random_state=0)
        saga = _loosest(saga, data, optimum, l1_ratio=ratio)
        timed = race(
            {
                **ours(kit.LogisticRegression(l1_ratio=ratio), *data),
                **scikit_learn("saga", saga, data, blas_threads=[1]),
            },
            setting.repeat,
        )
        gaps = {key: excess(logistic(one.result, data, l1_ratio=ratio), optimum) for key, one in timed.items()}
        rows.append(_against(f"{name} on {len(data.y):,} rows of A: saga", timed, "saga", gaps, None))
    return rows


WORKS: dict[str, Work] = {
    "logistic": logistic_on_a,
    "least-squares": least_squares_on_b,
    "multinomial": multinomial_on_c,
    "float32": single_precision,
    "cluster": cluster,
    "memory": memory,
    "l1": sparse_penalties,
}


def _against(work: str, timed: dict[str, Timed], peer: str, gaps: dict[str, float], wanted: float | None) -> Row:
    """Return the row of ours against the fastest of a peer's contestants, and what each of them reached."""
    best = fastest(timed, peer)
    notes = [
        f"{name}: {one.seconds:.3f} s, objective {gaps[name]:.1e} over the optimum"
        for name, one in timed.items()
        if name == "ours" or name.startswith(peer)
    ]
    return Row(work, timed["ours"].seconds, timed[best].seconds, wanted, notes=notes)


def _loosest(model: Any, data: Data, optimum: float, *, l1_ratio: float = 0.0) -> Any:
    """Return a peer's ``model`` with the loosest tolerance whose objective is as near as ours must be."""
    model.set_params(tol=1e-2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        while excess(logistic(model.fit(*data), data, l1_ratio=l1_ratio), optimum) > OBJECTIVE and model.tol > 1e-7:
            model.set_params(tol=model.tol / 4)
    return model


def _accuracy(work: str, gap: float) -> Row:
    return Row(work, gap, OBJECTIVE, 1.0, at_most=True, unit="")


def main() -> None:
    run(WORKS, __doc__)


if __name__ == "__main__":
    main()
