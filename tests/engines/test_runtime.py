"""Threads of BLAS while a process computes, and the plugin that keeps freed memory."""

from __future__ import annotations

import platform
import resource

import numpy as np
import pytest
from distributed import Client, LocalCluster
from threadpoolctl import threadpool_info

from daskml_kit.engines.runtime import KeepFreedMemory, computing

PAGES = 2**20 // resource.getpagesize()
"""Of a temporary."""


def faults():
    """Return how many pages are touched for the first time by a dozen temporaries that follow each other."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(12):
        np.ones(2**17)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the thresholds are of glibc")
def test_workers_keep_freed_memory_only_with_the_plugin():
    def fewest():
        return min(client.run(faults)[worker] for _ in range(3))

    # A process of its own: glibc raises its thresholds by itself as large temporaries are freed.
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster, Client(cluster) as client:
        (worker,) = client.nthreads()
        assert fewest() >= 11 * PAGES
        client.register_plugin(KeepFreedMemory())
        kept = fewest()
        client.unregister_worker_plugin(KeepFreedMemory.name)
        assert kept < PAGES
        assert fewest() >= 11 * PAGES


def test_blas_has_one_thread_while_any_thread_is_inside():
    def blas_threads():
        return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}

    before = blas_threads()
    with computing():
        with computing():
            assert blas_threads() == {1}
        assert blas_threads() == {1}
    assert blas_threads() == before
