"""Lateness of a pass, by a clock that goes on as told, and workers that stay suspected until they beat again."""

from __future__ import annotations

from types import SimpleNamespace

from daskml_kit.data.collections import workers_of
from daskml_kit.workers import hedging
from daskml_kit.workers.hedging import LATE_FACTOR, LATE_SECONDS, SILENT_SECONDS, Hedge, Lateness


def made(monkeypatch, n_tasks):
    """Return a clock, with the number of tasks that have ended, and the lateness of so many that have just begun."""
    clock = SimpleNamespace(now=100.0, n_done=0)
    monkeypatch.setattr(hedging, "time", SimpleNamespace(monotonic=lambda: clock.now))
    tasks = [SimpleNamespace(done=lambda number=number: number < clock.n_done) for number in range(n_tasks)]
    return clock, Lateness(tasks)


def test_a_pass_is_late_when_its_faster_half_ended_long_ago(monkeypatch):
    clock, lateness = made(monkeypatch, 4)
    clock.now += 20
    assert lateness.least_silence() is None  # all take long
    clock.n_done = 1
    assert lateness.least_silence() is None
    clock.n_done = 2
    assert lateness.least_silence() is None
    clock.now += 20 * (LATE_FACTOR - 1) - 0.1
    assert lateness.least_silence() is None
    clock.now += 0.1
    assert lateness.least_silence() == LATE_SECONDS


def test_short_passes_and_single_tasks_are_not_late(monkeypatch):
    clock, lateness = made(monkeypatch, 3)
    clock.n_done = 2
    assert lateness.least_silence() is None
    clock.now += LATE_SECONDS - 0.1
    assert lateness.least_silence() is None
    clock, lateness = made(monkeypatch, 1)
    clock.now += 100 * LATE_SECONDS
    assert lateness.least_silence() is None


def test_who_was_suspected_stays_so_until_the_next_heartbeat():
    seen = {"a": 7.5, "b": 9.9, "c": 10.0}
    client = SimpleNamespace(
        scheduler_info=lambda n_workers: {"workers": {name: {"last_seen": at} for name, at in seen.items()}}
    )
    hedge = Hedge(client)
    assert hedge.find_silent() == {}
    assert hedge.find_silent(LATE_SECONDS) == {"a": 2.5}
    seen.update(b=10.4, c=10.5)
    assert hedge.find_silent() == hedge.silent == {"a": 3.0}
    seen.update(a=10.6)
    assert hedge.find_silent() == {}
    seen.update(b=10.6 + SILENT_SECONDS + 1, c=10.6 + SILENT_SECONDS + 1)
    assert list(hedge.find_silent()) == ["a"]


def test_workers_are_asked_for_again_where_the_client_had_asked_for_none():
    """Dask's client asks for the scheduler's identity regularly, without workers; that answer may be what is read."""
    workers = {"a": {"last_seen": 9.0}, "b": {"last_seen": 3.0}}
    answers = [{"n_workers": 2, "workers": {}}, {"n_workers": 2, "workers": workers}]
    client = SimpleNamespace(status="running", scheduler_info=lambda n_workers: answers.pop(0))
    assert workers_of(client) == workers
    assert not answers
    lost = SimpleNamespace(status="closed", scheduler_info=lambda n_workers: {"n_workers": 2, "workers": {}})
    assert workers_of(lost) == {}
