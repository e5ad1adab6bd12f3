"""Multi-layer perceptrons side by side with scikit-learn's at equal epochs: accuracy, and time.

``python -m benchmarks.networks`` prints one table; ``--scale 0.01`` runs it on a hundredth of the rows.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import sklearn.neural_network as theirs
from distributed import Client, LocalCluster
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

import daskml_kit.neural_network as kit
from benchmarks.data import Data, in_memory, on_workers
from benchmarks.program import Setting, Work, run
from benchmarks.race import Row, Timed, race
from daskml_kit.parameter_server import Asynchronous, Synchronous

ROWS, TEST_PARTS = 1_000_000, 3
FIRST_TEST = 100_000
"""The number of the first part of the rows to judge by, beyond those of any training."""
EPOCHS, WORKERS, POINT = 3, 2, 0.01
OPTIONS: dict[str, Any] = {"hidden_layer_sizes": (64,), "max_iter": EPOCHS, "random_state": 0}


def teacher(part: int, n_rows: int) -> Data:
    """20 features, and four classes that a network of 32 units gives, a tenth of the rows one at random."""
    d, units, k, fixed = 20, 32, 4, np.random.default_rng(8)
    first, second = fixed.normal(size=(d, units)) / np.sqrt(d) * 2, fixed.normal(size=(units, k))
    rng = np.random.default_rng([9, part])
    X = rng.normal(size=(n_rows, d))
    label = (np.tanh(X @ first) @ second).argmax(axis=1)
    return Data(X, np.where(rng.random(n_rows) < 0.1, rng.integers(k, size=n_rows), label))


def digits(setting: Setting) -> list[Row]:
    """scikit-learn's digits, 50 epochs, in memory and on a cluster."""
    X, y = load_digits(return_X_y=True)
    X, test, y, expected = train_test_split(X / 16, y, random_state=0)
    options = {"max_iter": 50, "random_state": 0}
    with _cluster():
        arrays = da.from_array(X, chunks=(450, 64)).persist(), da.from_array(y, chunks=450).persist()
        timed = _race(
            {
                "scikit-learn": partial(theirs.MLPClassifier(**options).fit, X, y),
                "sync": partial(kit.MLPClassifier(**options).fit, X, y),
                "async": partial(kit.MLPClassifier(training=Asynchronous(), **options).fit, X, y),
                "async, Dask": partial(kit.MLPClassifier(training=Asynchronous(), **options).fit, *arrays),
            },
            setting.repeat,
        )
    return _rows("digits", timed, Data(test, expected))


def million(setting: Setting) -> list[Row]:
    """A million rows of a network's classes, three epochs, in memory."""
    data, test = in_memory(teacher, setting.rows(ROWS)), in_memory(teacher, TEST_PARTS * 8192, FIRST_TEST)
    timed = _race(
        {
            "scikit-learn": partial(theirs.MLPClassifier(**OPTIONS).fit, *data),
            "sync": partial(kit.MLPClassifier(**OPTIONS).fit, *data),
            "sync, one virtual worker": partial(
                kit.MLPClassifier(training=Synchronous(virtual_workers=1), **OPTIONS).fit, *data
            ),
            "async": partial(kit.MLPClassifier(training=Asynchronous(), **OPTIONS).fit, *data),
        },
        setting.repeat,
    )
    return _rows(f"{len(data.y):,} rows", timed, test)


def cluster(setting: Setting) -> list[Row]:
    """The same on two processes, data persisted; synchronous steps are of 2000 rows there, which messages take."""
    n_rows, test = setting.rows(ROWS), in_memory(teacher, TEST_PARTS * 8192, FIRST_TEST)
    data = in_memory(teacher, n_rows)
    with _cluster():
        arrays = on_workers(teacher, n_rows, 8 * WORKERS)
        large = {**OPTIONS, "batch_size": 2000, "learning_rate_init": 0.004}
        timed = _race(
            {
                "scikit-learn": partial(theirs.MLPClassifier(**OPTIONS).fit, *data),
                "sync, 2000 a step": partial(
                    kit.MLPClassifier(training=Synchronous(virtual_workers=2), **large).fit, *arrays
                ),
                "async": partial(kit.MLPClassifier(training=Asynchronous(), **OPTIONS).fit, *arrays),
                "async, push_every=4": partial(
                    kit.MLPClassifier(training=Asynchronous(push_every=4), **OPTIONS).fit, *arrays
                ),
            },
            setting.repeat,
        )
    return _rows(f"{n_rows:,} rows, {WORKERS} processes", timed, test)


WORKS: dict[str, Work] = {"digits": digits, "million": million, "cluster": cluster}


@contextmanager
def _cluster() -> Iterator[Client]:
    """Two worker processes of one thread, and a client of them."""
    workers = LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=":0")
    with workers, Client(workers) as client:
        yield client


def _race(contestants: dict[str, Any], repeat: int) -> dict[str, Timed]:
    """Run the contestants with one BLAS thread, which is scikit-learn's best on mini-batches."""
    with warnings.catch_warnings(), threadpool_limits(1, user_api="blas"):
        warnings.simplefilter("ignore")
        return race(contestants, repeat)


def _rows(work: str, timed: dict[str, Timed], test: Data) -> list[Row]:
    """Return for each of ours its time, and how far its accuracy is below scikit-learn's, in points."""
    peer, rows = timed["scikit-learn"], []
    bound = peer.result.score(*test)
    for name, one in timed.items():
        if name != "scikit-learn":
            accuracy = one.result.score(*test)
            note = f"accuracy {accuracy:.4f}, scikit-learn {bound:.4f}; loss {one.result.loss_:.4f}"
            rows.append(Row(f"MLPClassifier, {work}: {name}", one.seconds, peer.seconds, notes=[note]))
            error = max(1 - accuracy, 1e-4)
            rows.append(Row(f"MLPClassifier, {work}: {name}: error", error, 1 - bound + POINT, 1.0, True, ""))
    return rows


def main() -> None:
    run(WORKS, __doc__)


if __name__ == "__main__":
    main()
