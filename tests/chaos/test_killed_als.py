"""A worker process is killed (SIGKILL) in the middle of alternating least squares: the bits stay the same."""

from __future__ import annotations

import os
import signal

import dask.dataframe as dd
import pytest
from numpy.testing import assert_array_equal

from daskml_kit.datasets import make_ratings
from daskml_kit.engines import open as opening
from daskml_kit.recommendation import ALS, rating_tables
from daskml_kit.recommendation.remote_alternation import RemoteAlternation


@pytest.mark.parametrize("options", [{"implicit": True}, {"nonnegative": True}], ids=str)
def test_factors_survive(doomed, monkeypatch, options):
    monkeypatch.setattr(rating_tables, "SHARD_RATINGS", 400)
    frame = make_ratings(300, 100, 6_000, 3, random_state=0).compute()
    model = ALS(3, **options, max_iter=4, random_state=0)
    expected = model.fit(frame[["user", "item"]], frame["rating"]).item_factors_.copy()
    monkeypatch.setattr(opening, "LOCAL_BYTES", 0)
    solve, killed = RemoteAlternation.solve, []

    def solve_and_kill(self, side, *args):
        found = solve(self, side, *args)
        if len(killed) == 0 and next(self._steps) > 4:
            pids = self.client.run(os.getpid)
            holders = self.client.who_has(found.factors)
            killed.append(next(workers[0] for workers in holders.values() if workers))
            os.kill(pids[killed[0]], signal.SIGKILL)
        return found

    monkeypatch.setattr(RemoteAlternation, "solve", solve_and_kill)
    ratings = dd.from_pandas(frame, npartitions=6)
    model.fit(ratings[["user", "item"]], ratings["rating"])
    assert killed
    assert_array_equal(model.item_factors_, expected)
