"""What a scheduler was asked to do, and what arrived at its workers."""

from __future__ import annotations

from typing import Any

from distributed import Client
from distributed.diagnostics.plugin import SchedulerPlugin
from sklearn.linear_model import LinearRegression


class TaskCounter(SchedulerPlugin):  # type: ignore[misc]
    """Counts the tasks that the scheduler sends to workers."""

    name = "benchmark-task-counter"

    def __init__(self) -> None:
        self.sent = 0

    def transition(self, key: Any, start: str, finish: str, *args: Any, **details: Any) -> None:
        self.sent += finish == "processing"


def count_tasks(client: Client) -> None:
    """Start counting."""
    client.register_plugin(TaskCounter())


def tasks_sent(client: Client) -> int:
    """Return how many tasks were sent since `count_tasks`."""
    return int(client.run_on_scheduler(_sent))


def _sent(dask_scheduler: Any) -> int:
    return int(dask_scheduler.plugins[TaskCounter.name].sent)


class CountedModel(LinearRegression):  # type: ignore[misc]
    """A model that counts how often it arrives in a process."""

    arrived = 0

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        type(self).arrived += 1


def models_arrived() -> int:
    """Return how often counted models have arrived in this process."""
    return CountedModel.arrived
