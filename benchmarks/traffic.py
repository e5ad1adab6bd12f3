"""What a scheduler was asked to do."""

from __future__ import annotations

from typing import Any

from distributed import Client
from distributed.diagnostics.plugin import SchedulerPlugin


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
