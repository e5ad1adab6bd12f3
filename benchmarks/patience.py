"""dask-ml's default solver on data B, in a process of its own that can be stopped when patience ends.

``python -m benchmarks.patience --rows 500000`` prints the seconds of the fit.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import NamedTuple

from benchmarks.data import in_memory, low_rank, on_dask


class Waited(NamedTuple):
    """The seconds that a fit took, or those after which it was stopped."""

    seconds: float
    finished: bool


def wait_for_default(n_rows: int, limit: float) -> Waited:
    """Time dask-ml's ``LinearRegression()`` on ``n_rows`` rows, for ``limit`` seconds at most."""
    command = [sys.executable, "-m", "benchmarks.patience", "--rows", str(n_rows)]
    root = Path(__file__).parent.parent
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=limit, cwd=root)
    except subprocess.TimeoutExpired:
        return Waited(limit, False)
    return Waited(float(done.stdout), True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=500_000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from dask_ml.linear_model import LinearRegression

        X, y = on_dask(in_memory(low_rank, parser.parse_args().rows), 8)
        started = time.perf_counter()
        LinearRegression().fit(X, y)
        print(time.perf_counter() - started)


if __name__ == "__main__":
    main()
