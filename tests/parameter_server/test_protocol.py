"""The protocol of a server and its replica under random schedules, and that the checker sees what breaks it."""

from __future__ import annotations

import os

import numpy as np
import pytest
from simulated import World

from daskml_kit.exceptions import StaleEpochError
from daskml_kit.parameter_server.replica import ServerActor
from daskml_kit.parameter_server.state_machine import StateMachine

SCHEDULES = int(os.environ.get("DASKML_KIT_SCHEDULES", "80"))
"""Of each kind; the last result of many is told in docs/consistency.md."""


@pytest.mark.slow
@pytest.mark.parametrize("staleness", [np.inf, 0.5, 1, 3])
@pytest.mark.parametrize("n_deaths", [0, 4])
def test_histories_of_random_schedules_are_linearizable(staleness, n_deaths):
    for seed in range(SCHEDULES):
        history = World(seed, staleness=staleness, n_deaths=n_deaths).run()
        assert sum(call.pushed is not None for call in history.calls) == 18
        assert history.problems(staleness) == [], f"seed {seed}"
        assert history.calls[-1].seen == [1.0] * 18


def test_the_same_seed_is_the_same_history():
    one, two = (World(5).run().calls for _ in range(2))
    assert [(c.worker, c.start, c.end, c.version) for c in one] == [(c.worker, c.start, c.end, c.version) for c in two]


class Hasty(ServerActor):
    """Acknowledges before the replica has anything."""

    async def _until_replicated(self, epoch):
        return


class HastyReader(ServerActor):
    """Replies with what the replica may not have."""

    async def accept(self, request):
        if not request.messages:
            self._check(request.epoch)
            return self.machine.read(request.wanted)
        return await super().accept(request)


class Unfenced(ServerActor):
    """A replica that takes orders of old primaries, which do not stop either."""

    async def follow(self, given):
        if not self.is_primary:
            await super().follow(given._replace(epoch=max(given.epoch, self.epoch)))

    def _check(self, epoch):
        if not self.is_primary:
            raise StaleEpochError


class Late(ServerActor):
    """A replica that takes what comes late, in the order in which it comes."""

    async def follow(self, given):
        epoch, applied, machine, _ = given
        if (epoch, applied) <= (self.epoch, self._applied) and machine is not None and not self.is_primary:
            self._applied = applied - 1
        await super().follow(given)


class Twice(StateMachine):
    """Applies what has been applied."""

    def _push(self, push):
        self.numbers.pop(push.worker, None)
        super()._push(push)


class Unbounded(StateMachine):
    """Lets everybody go on."""

    def is_ready(self, wanted):
        return True


@pytest.mark.slow
@pytest.mark.parametrize("broken", [Hasty, HastyReader, Unfenced, Late, Twice, Unbounded])
def test_the_checker_sees_a_broken_server(broken):
    parts = {"actor" if issubclass(broken, ServerActor) else "machine": broken}
    assert any(problems_of(World(seed, staleness=1, n_deaths=4, **parts)) for seed in range(5 * SCHEDULES))


def problems_of(world):
    try:
        return world.run().problems(world.staleness)
    except (AttributeError, RuntimeError) as error:  # one that leads and has nothing, or waits for ever
        return [error]
