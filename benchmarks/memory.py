"""The memory that a fit takes over its data, in a process of its own.

``python -m benchmarks.memory --kind numpy --rows 1000000`` prints it as JSON.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from benchmarks.data import badly_scaled, in_memory, low_rank, on_dask
from daskml_kit.linear_model import LinearRegression, LogisticRegression

MODELS = {"LogisticRegression": (LogisticRegression, badly_scaled), "LinearRegression": (LinearRegression, low_rank)}


class Peak:
    """The resident set of this process in bytes: at first, and the highest that was seen."""

    def __init__(self) -> None:
        self.process = psutil.Process()
        self.first = self.highest = self.process.memory_info().rss

    def look(self) -> None:
        self.highest = max(self.highest, self.process.memory_info().rss)


@contextmanager
def watching_memory(interval: float = 0.001) -> Iterator[Peak]:
    """Sample this process's resident set every ``interval`` seconds while inside."""
    peak = Peak()
    with calling(peak.look, interval):
        yield peak
    peak.look()


@contextmanager
def calling(look: Callable[[], None], interval: float) -> Iterator[None]:
    """Call ``look`` every ``interval`` seconds, in a thread, while inside."""
    done = threading.Event()

    def sample() -> None:
        while not done.wait(interval):
            look()

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def measure(model: str, kind: str, n_rows: int) -> dict[str, Any]:
    """Fit in this process, and return the bytes of X and of what the fit took beside it."""
    estimator, make = MODELS[model]
    estimator().fit(*in_memory(make, 40_000))  # libraries and threads are there before it counts
    data = in_memory(make, n_rows)
    size = data.X.nbytes
    X, y = on_dask(data, 16) if kind == "dask" else data
    del data
    with watching_memory() as peak:
        estimator().fit(X, y)
    return {"X": size, "extra": peak.highest - peak.first}


def measure_apart(model: str, kind: str, n_rows: int) -> dict[str, Any]:
    """Return what `measure` does, in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.memory", "--model", model, "--kind", kind, "--rows", str(n_rows)]
    root = Path(__file__).parents[1]
    run = subprocess.run(command, check=True, capture_output=True, text=True, cwd=root)
    answer: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=list(MODELS), default="LogisticRegression")
    parser.add_argument("--kind", choices=["numpy", "dask"], default="numpy")
    parser.add_argument("--rows", type=int, default=1_000_000)
    options = parser.parse_args()
    print(json.dumps(measure(options.model, options.kind, options.rows)))


if __name__ == "__main__":
    main()
