"""Place where a command runs: this machine's threads, worker processes, a running cluster, or ranks of an MPI job."""

from __future__ import annotations

import logging
import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import dask
from distributed import Client, LocalCluster

from daskml_kit.cli.errors import JobError, naming_failures

CONNECT_SECONDS = 10
FEWEST_RANKS = 3


@contextmanager
def opened_place(options: SimpleNamespace) -> Iterator[str]:
    """Make the cluster that was asked for the current one, and return its description."""
    workers, scheduler = options.workers, options.scheduler
    if sum((workers is not None, scheduler is not None, options.mpi)) > 1:
        raise JobError("--workers, --scheduler, --mpi: expected one of them")
    if options.mpi:
        with _mpi_client() as ranks:
            yield f"on {ranks - 2} MPI ranks"
        return
    if workers is None and scheduler is None:
        scheduler = dask.config.get("scheduler-address", None)
    if workers is not None:
        if workers < 1:
            raise JobError(f"--workers: expected at least 1, got {workers}")
        # port 0: a free one; with None, too, the scheduler would take Dask's own port, 8787, or warn
        settings = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": ":0"}
        with _uninterrupted():
            local = LocalCluster(**settings, silence_logs=logging.CRITICAL)
        with local as cluster, Client(cluster):
            if not options.quiet:
                print(f"dashboard     {cluster.dashboard_link}", file=sys.stderr)
            yield f"on {workers} worker processes"
    elif scheduler is not None:
        address = _address(scheduler)
        with naming_failures(f"--scheduler: cannot reach {scheduler}", OSError, ValueError, TimeoutError):
            Client(**address, timeout=CONNECT_SECONDS, set_as_default=False).close()  # one that fails stays the default
        with Client(**address):
            yield f"on the cluster at {scheduler}"
    else:
        yield "on this machine's threads"


def _address(scheduler: str) -> dict[str, str]:
    """Return how a client finds a scheduler; Dask takes 20 s to give up an address that is none."""
    if Path(scheduler).is_file():
        return {"scheduler_file": scheduler}
    if not re.fullmatch(r"(\w+://)?.+:\d+|\w+://.+", scheduler):
        raise JobError(f"--scheduler: cannot reach {scheduler}: expected tcp://host:8786, or a scheduler file")
    return {"address": scheduler}


@contextmanager
def _mpi_client() -> Iterator[int]:
    """Turn the ranks of this MPI job into a cluster: the first the scheduler, from the third on workers.

    The second goes on from here; the others end in here, once that one does.
    """
    try:
        from dask_mpi import initialize
        from mpi4py import MPI
    except ImportError as error:
        raise JobError("--mpi: needs mpi4py and dask-mpi: pip install 'daskml_kit[mpi]'") from error
    ranks = MPI.COMM_WORLD.Get_size()
    if ranks < FEWEST_RANKS:
        raise JobError(f"--mpi: expected at least {FEWEST_RANKS} ranks, as with mpiexec -n {FEWEST_RANKS}, got {ranks}")
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # every rank would tell of its start and end
    initialize(nthreads=1, dashboard_address=":0", exit=True)
    with Client() as client:
        client.wait_for_workers(ranks - 2)
        yield ranks


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Start processes that ignore Ctrl-C, which a terminal sends to them, too: it is this one's to end them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
