"""What holds in a process while it computes."""

import os
import platform
import resource
import time

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from daskml_kit.engines.computing import TRIM_VARIABLE, computing

PAGES = 2**20 // resource.getpagesize()
"""Of a temporary."""


def faults():
    """Return how many pages were touched for the first time by a dozen temporaries that follow each other."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(12):
        np.ones(2**17)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def faults_outside_and_inside():
    outside = faults()
    with computing(), computing():
        first = faults()
        inside = faults()
    end = time.monotonic() + 60
    while (after := faults()) < outside / 2 and time.monotonic() < end:
        time.sleep(0.1)
    return os.environ.get(TRIM_VARIABLE), outside, first, inside, after


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are of glibc")
def test_workers_keep_freed_memory_while_they_compute(client):
    variable, outside, first, inside, after = client.submit(faults_outside_and_inside, pure=False).result()
    assert variable is not None
    assert min(outside, after) >= 11 * PAGES
    assert first < 3 * PAGES
    assert inside < PAGES


def test_blas_has_one_thread_while_any_thread_is_inside():
    def blas_threads():
        return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}

    before = blas_threads()
    with computing():
        with computing():
            assert blas_threads() == {1}
        assert blas_threads() == {1}
    assert blas_threads() == before
