"""One epoch of SGDClassifier on a parameter server, side by side with scikit-learn and dask-ml's Incremental.

``python -m benchmarks.sgd`` prints a table a data set; ``--scale 0.01`` runs it on a hundredth of the rows. All train
for one epoch on the same rows, and are judged by the log-loss of rows held out. Peers need the ``bench`` extra.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import dask.array as da
import numpy as np
from distributed import Client, LocalCluster
from sklearn.linear_model import SGDClassifier as Theirs
from sklearn.metrics import log_loss
from threadpoolctl import threadpool_limits

from benchmarks.data import Data, Maker, badly_scaled, in_memory, on_workers
from benchmarks.program import Setting, Work, run
from benchmarks.race import Row, Timed, race
from daskml_kit.linear_model import SGDClassifier
from daskml_kit.parameter_server import Asynchronous, Synchronous

ROWS, HELD_OUT = 1_000_000, 50_000
FAR = 10_000
"""A part that no training set reaches: rows held out come from there on."""
WORKERS = 2


def standardized(part: int, n_rows: int) -> Data:
    """The badly scaled data after a standard scaler."""
    whole = badly_scaled(FAR, 8_192).X
    mean, scale = whole.mean(axis=0), whole.std(axis=0)
    X, y = badly_scaled(part, n_rows)
    return Data((X - mean) / scale, y)


def epoch_on_bad_scales(setting: Setting) -> list[Row]:
    """Features as they come."""
    return _one_epoch("badly scaled", badly_scaled, setting)


def epoch_on_standardized(setting: Setting) -> list[Row]:
    """Features as peers want them."""
    return _one_epoch("standardized", standardized, setting)


WORKS: dict[str, Work] = {"sgd": epoch_on_bad_scales, "sgd-standardized": epoch_on_standardized}


def _one_epoch(kind: str, make: Maker, setting: Setting) -> list[Row]:
    n_rows = setting.rows(ROWS)
    data, held_out = in_memory(make, n_rows), in_memory(make, min(HELD_OUT, n_rows), FAR)
    workers = LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=":0")
    with workers, Client(workers), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that one epoch has not converged
        X, y = on_workers(make, n_rows, 8 * WORKERS)
        ours = SGDClassifier(loss="log_loss", max_iter=1, random_state=0)
        contestants: dict[str, Callable[[], Any]] = {
            "ours": lambda: ours.set_params(training=Synchronous()).fit(X, y).to_sklearn(),
            "async": lambda: ours.set_params(training=Asynchronous()).fit(X, y).to_sklearn(),
            "scikit-learn": lambda: _scikit_learn().fit(*data),
        }
        if find_spec("dask_ml") is not None:
            contestants["dask-ml"] = lambda: _incremental(X, y)
        timed = race(contestants, setting.repeat)
    losses = {name: log_loss(held_out.y, one.result.predict_proba(held_out.X)) for name, one in timed.items()}
    return [
        row
        for peer in ("scikit-learn", "dask-ml")
        if peer in timed
        for row in _against(f"{kind}: {peer}", peer, timed, losses)
    ]


def _against(work: str, peer: str, timed: dict[str, Timed], losses: dict[str, float]) -> list[Row]:
    notes = [f"{name}: {one.seconds:.3f} s, log-loss {losses[name]:.5f}" for name, one in timed.items()]
    return [
        Row(f"SGD, one epoch, {work}", timed["ours"].seconds, timed[peer].seconds, 1.0),
        Row(f"asynchronous, {work}", timed["async"].seconds, timed[peer].seconds),
        Row(f"log-loss, {work}", losses["ours"], losses[peer], 1.0, at_most=True, unit=""),
        Row(f"asynchronous log-loss, {work}", losses["async"], losses[peer], 1.0, at_most=True, unit="", notes=notes),
    ]


def _scikit_learn() -> Theirs:
    return Theirs(loss="log_loss", max_iter=1, random_state=0)


def _incremental(X: da.Array, y: da.Array) -> Theirs:
    """Return what dask-ml's wrapper has trained, block after block."""
    from dask_ml.wrappers import Incremental

    with threadpool_limits(1, user_api="blas"):
        fitted = Incremental(_scikit_learn(), shuffle_blocks=False).fit(X, y, classes=np.arange(2))
    return fitted.estimator_


def main() -> None:
    run(WORKS, __doc__)


if __name__ == "__main__":
    main()
