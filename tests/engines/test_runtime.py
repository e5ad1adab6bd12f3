"""What holds in a process while it computes."""

import json
import os
import platform
import resource
import subprocess
import sys
import time

import dask
import distributed  # noqa: F401  # it brings the setting of its workers
import numpy as np
import pytest
from threadpoolctl import threadpool_info

from daskml_kit.engines.runtime import TRIM_VARIABLE, computing

PAGES = 2**20 // resource.getpagesize()
"""Of a temporary."""


def faults():
    """Return how many pages were touched for the first time by a dozen temporaries that follow each other."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(12):
        np.ones(2**17)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def print_faults():
    """Print the faults before, at first and later while inside, and when memory has been given back."""
    outside = faults()
    with computing(), computing():
        first, inside = faults(), faults()
    end = time.monotonic() + 60
    while (after := faults()) < outside / 2 and time.monotonic() < end:
        time.sleep(0.1)
    print(json.dumps([outside, first, inside, after]))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are of glibc")
def test_a_process_set_as_a_worker_keeps_freed_memory_while_it_computes():
    setting = str(dask.config.get("distributed.nanny.pre-spawn-environ")[TRIM_VARIABLE])
    command = [sys.executable, "-c", f"from {__name__} import print_faults; print_faults()"]
    env = {**os.environ, TRIM_VARIABLE: setting, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    outside, first, inside, after = json.loads(done.stdout)
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
