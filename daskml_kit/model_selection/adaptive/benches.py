"""Open the bench that suits the data: where it lies, and how large it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dask
from distributed import get_worker, rejoin, secede

from daskml_kit.engines.capacity import fits
from daskml_kit.engines.engine import available_threads
from daskml_kit.engines.opening import find_client
from daskml_kit.model_selection.adaptive.calls import Bench
from daskml_kit.model_selection.adaptive.cluster import ClusterBench
from daskml_kit.model_selection.adaptive.held import Held
from daskml_kit.model_selection.adaptive.sources import Sides, joined
from daskml_kit.model_selection.adaptive.threads import ThreadBench
from daskml_kit.model_selection.adaptive.visits import Candidate, Lesson

ONE_THREAD = ("sync", "synchronous", "single-threaded")


def open_bench(lesson: Lesson, candidates: Mapping[Any, Candidate], sides: Sides, lazy: bool) -> Bench:
    """Return the bench to train on: the cluster where Dask data meets one, else threads of this process.

    Rows to train on are held where they fit; rows to score on are held in any case.

    Raises
    ------
    AsynchronousClientError
        Under an asynchronous client.
    """
    client = find_client() if lazy else None
    if client is not None:
        return ClusterBench(client, lesson, candidates, Held(client, sides))
    test_parts = [recipe.parts for recipe in sides.test]
    if fits(None, sides.n_bytes) or not sides.separable:
        train, test = dask.compute([recipe.parts for recipe in sides.train], test_parts)
    else:
        train, (test,) = sides.train, dask.compute(test_parts)
    return ThreadBench(lesson, candidates, train, joined(test), n_threads())


def n_threads() -> int:
    """Return how many threads train models here: one inside of a Dask task, or where ``dask.config`` says so."""
    if in_task() or dask.config.get("scheduler", None) in ONE_THREAD:
        return 1
    return available_threads()


@contextmanager
def free_of_task(needed: bool) -> Iterator[None]:
    """Leave the thread of the Dask task that this runs in, if any, to the tasks that are waited for inside."""
    if not (needed and in_task()):
        yield
        return
    secede()
    try:
        yield
    finally:
        rejoin()


def in_task() -> bool:
    """Whether this runs in a task on a worker."""
    try:
        get_worker()
    except ValueError:
        return False
    return True
