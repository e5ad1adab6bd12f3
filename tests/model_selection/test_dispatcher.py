"""The order of work, on a pool that is made up: no fit runs, time is counted."""

from __future__ import annotations

import heapq
from itertools import count

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daskml_kit.exceptions import LostDataError
from daskml_kit.model_selection.search import dispatcher as dispatcher_module
from daskml_kit.model_selection.search.cv_results import Outcome
from daskml_kit.model_selection.search.dispatcher import Dispatcher, WorkQueue
from daskml_kit.model_selection.search.fit_and_score import BatchReport


class MadeUpPool:
    """Fits take the seconds that are told; the first fit of a family on a process takes ``shared`` more."""

    def __init__(self, machines, seconds, family_of, shared=0.0, losses=(), changes=()):
        self.machines, self.seconds, self.family_of, self.shared = dict(machines), seconds, family_of, shared
        self.losses, self.changes = set(losses), dict(changes)
        self.now, self.numbers = 0.0, count()
        self.running, self.held, self.most_held, self.gone = [], set(), 0, set()
        self.made, self.n_batches, self.busy = [], 0, {}

    def slots(self):
        return {machine: list(slots) for machine, slots in self.machines.items()}

    def assemble(self, split, slots):
        fold = (split, next(self.numbers))
        self.held.add(fold)
        self.most_held = max(self.most_held, len(self.held))
        return fold

    def start(self, batch, fold, slot):
        assert fold in self.held
        seconds, shared = 0.0, 0.0
        for number in batch.numbers:
            made = (fold, slot, self.family_of[number])
            if self.shared and made not in self.made:
                self.made.append(made)
                shared += self.shared
            seconds += self.seconds[number]
        done = self.now + seconds + shared
        heapq.heappush(self.running, (done, next(self.numbers), (batch, slot, fold), seconds + shared, shared))

    def next(self):
        self.now, _, done, seconds, shared = heapq.heappop(self.running)
        self.n_batches += 1
        self.machines = self.changes.pop(self.n_batches, self.machines)
        batch, _, fold = done
        if self.n_batches in self.losses:
            self.gone.add(fold)
        if fold in self.gone:
            self.held.discard(fold)
            return *done, None
        outcomes = [(n, Outcome({"score": 0.0}, fit_time=self.seconds[n])) for n in batch.numbers.tolist()]
        return *done, BatchReport(outcomes, seconds, shared, [])

    def announce(self, n_batches):
        self.announced = n_batches

    def release(self, fold):
        self.held.discard(fold)


def run(pool, groups, n_splits, is_open):
    done = []
    queue = WorkQueue([np.array(family, np.int32) for family in groups], is_open, n_splits)
    Dispatcher(pool, queue, lambda key, _: done.append(key)).run()
    return done


@pytest.fixture(autouse=True)
def workers_are_polled_at_once(monkeypatch):
    monkeypatch.setattr(dispatcher_module, "POLL_SECONDS", 0.0)


def everything(n_candidates, n_splits):
    return [(candidate, split) for candidate in range(n_candidates) for split in range(n_splits)]


CLUSTERS = st.dictionaries(
    st.sampled_from("AB"), st.lists(st.sampled_from("1234"), min_size=1, max_size=4), min_size=1
).map(lambda machines: {name: sorted(name + slot for slot in slots) for name, slots in machines.items()})


@settings(max_examples=150, deadline=None)
@given(
    machines=CLUSTERS,
    others=CLUSTERS,
    sizes=st.lists(st.integers(1, 7), min_size=1, max_size=5),
    n_splits=st.integers(1, 6),
    is_open=st.booleans(),
    losses=st.sets(st.integers(1, 20), max_size=3),
    change=st.integers(1, 15),
    seed=st.integers(0, 9),
)
def test_each_fit_is_done_once_whoever_comes_and_goes(machines, others, sizes, n_splits, is_open, losses, change, seed):
    n_candidates = sum(sizes)
    seconds = np.random.default_rng(seed).exponential(size=n_candidates) * 2
    family_of = np.repeat(np.arange(len(sizes)), sizes)
    groups = [np.arange(n_candidates)] if is_open else [np.flatnonzero(family_of == i) for i in range(len(sizes))]
    pool = MadeUpPool(machines, seconds, family_of, 0.3, losses, {change: others})
    done = run(pool, groups, n_splits, is_open)
    assert sorted(done) == everything(n_candidates, n_splits)


@settings(max_examples=100, deadline=None)
@given(
    n_workers=st.integers(1, 6),
    n_candidates=st.integers(1, 40),
    n_splits=st.integers(1, 6),
    seed=st.integers(0, 9),
    long=st.sampled_from([0.01, 5.0]),
)
def test_no_worker_waits_long(n_workers, n_candidates, n_splits, seed, long):
    seconds = np.random.default_rng(seed).uniform(0.5, 1, n_candidates) * long
    slots = [str(i) for i in range(n_workers)]
    pool = MadeUpPool({"A": slots}, seconds, np.zeros(n_candidates, int))
    run(pool, [np.arange(n_candidates)], n_splits, True)
    least = max(seconds.sum() * n_splits / n_workers, seconds.max())
    # at the end of a split some wait for the last fit, or for a batch of short ones
    assert pool.now <= least + (n_splits + 1) * max(seconds.max(), 1.0)
    assert pool.most_held <= n_workers


def test_workers_of_a_machine_share_one_fold_where_candidates_are_many():
    pool = MadeUpPool({"A": ["1", "2"]}, np.full(12, 3.0), np.zeros(12, int))
    run(pool, [np.arange(12)], 5, True)
    assert pool.most_held == 1
    assert pool.now == 12 * 5 * 3.0 / 2


def test_a_cross_validation_uses_all_workers():
    pool = MadeUpPool({"A": ["1", "2"]}, np.full(1, 3.0), np.zeros(1, int))
    run(pool, [np.arange(1)], 4, True)
    assert pool.now == 2 * 3.0


def test_the_longest_fits_come_first_once_they_are_known():
    seconds = np.array([1.0, 1, 1, 1, 1, 1, 1, 7])
    pool = MadeUpPool({"A": ["1", "2"]}, seconds, np.zeros(8, int))
    run(pool, [np.arange(8)], 3, True)
    assert pool.now == (3 + 7) + 7 + 7


def test_what_is_shared_is_made_once_a_split():
    family_of = np.zeros(20, int)
    pool = MadeUpPool({"A": ["1", "2"]}, np.full(20, 0.1), family_of, shared=5.0)
    run(pool, [np.arange(20)], 5, False)
    assert len(pool.made) == 5


def test_cheap_shared_work_is_repeated_rather_than_waited_for():
    family_of = np.zeros(40, int)
    pool = MadeUpPool({"A": ["1", "2", "3", "4"]}, np.full(40, 10.0), family_of, shared=0.1)
    run(pool, [np.arange(40)], 1, False)
    assert len(pool.made) == 4
    assert pool.now < 40 * 10 / 4 + 15


def test_short_fits_travel_in_batches():
    pool = MadeUpPool({"A": ["1", "2"]}, np.full(10_000, 1e-3), np.zeros(10_000, int))
    run(pool, [np.arange(10_000)], 1, True)
    assert pool.n_batches < 60


def test_folds_that_are_lost_again_and_again_end_the_search():
    pool = MadeUpPool({"A": ["1"]}, np.ones(50), np.zeros(50, int), losses=range(1, 100))
    with pytest.raises(LostDataError, match="10 times"):
        run(pool, [np.arange(50)], 1, True)
