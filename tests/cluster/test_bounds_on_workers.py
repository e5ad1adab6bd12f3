"""Bounds of rows that workers keep between passes of k-means."""

from __future__ import annotations

import dask
import dask.array as da
import pytest

from daskml_kit.cluster import KMeans
from daskml_kit.engines.engine import watching
from daskml_kit.reductions import kept_rows as store
from daskml_kit.reductions.bounds import BoundedRows


def kept() -> list[object]:
    return [key for key, rows in store._kept.rows.items() if isinstance(rows, BoundedRows)]


def lose_all() -> int:
    return len([store.take(*key) for key in kept()])


@pytest.mark.slow
def test_workers_keep_bounds_between_passes_only(client):
    rows = da.random.default_rng(0).normal(size=(110_000, 20), chunks=(28_000, 20)).persist()
    X, lost = rows.compute(), []
    model = KMeans(6, init=X[:6], tol=0.0, n_init=1, max_iter=5)

    def lose(profile):
        if profile.passes == 4:
            lost.append(client.run(lose_all))

    with watching(lose):
        there = model.fit(rows)
    assert "workers" in there.profile_.where
    assert sum(lost[0].values()) == 4
    assert not any(client.run(kept).values())
    centers, inertia = there.cluster_centers_.tobytes(), there.inertia_
    with dask.config.set(scheduler="threads"):
        here = model.fit(da.from_array(X, chunks=(28_000, 20)))
    assert (here.cluster_centers_.tobytes(), here.inertia_) == (centers, inertia)
