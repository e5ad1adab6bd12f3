"""Open the bench that suits the data: where it lies, and how large it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dask

from daskml_kit.engines.capacity import fits
from daskml_kit.engines.engine import available_threads
from daskml_kit.engines.opening import find_client
from daskml_kit.model_selection.adaptive.calls import Bench
from daskml_kit.model_selection.adaptive.cluster import ClusterBench
from daskml_kit.model_selection.adaptive.held import Held
from daskml_kit.model_selection.adaptive.sources import Sides, joined
from daskml_kit.model_selection.adaptive.threads import ThreadBench
from daskml_kit.model_selection.adaptive.visits import Candidate, Lesson


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
    return ThreadBench(lesson, candidates, train, joined(test), available_threads())
