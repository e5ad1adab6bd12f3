"""Simulation of server actors and workers in one event loop whose clock jumps: late and repeated messages, deaths."""

from __future__ import annotations

import asyncio
import pickle
import random
import selectors
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from histories import History

from daskml_kit.exceptions import StaleEpochError
from daskml_kit.optim import add
from daskml_kit.parameter_server.layout import FieldRange
from daskml_kit.parameter_server.protocol import Consistency, Enter, Message, Push, ReadRequest, Request, RowGradient
from daskml_kit.parameter_server.replica import ServerActor
from daskml_kit.parameter_server.state_machine import StateMachine

POLL_SECONDS = 0.2
"""Seconds without an answer after which a worker looks at the view, as `rpc` does."""


class Jump(selectors.SelectSelector):
    """Waits for nothing: the clock goes on instead."""

    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise RuntimeError("all wait, and nothing is left that could happen")
        self.now += max(timeout, 0)
        if self.now > 1000:
            raise RuntimeError("it has not ended after 1000 s")
        return super().select(0)


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop that is never idle."""

    def __init__(self) -> None:
        self.jump = Jump()
        super().__init__(self.jump)

    def time(self) -> float:
        return self.jump.now


async def _end(tasks: set[asyncio.Task[Any]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)


@dataclass
class World:
    """A network of server actors, the view of who leads, and what happens to them."""

    seed: int
    actor: type[ServerActor] = ServerActor
    machine: type[StateMachine] = StateMachine
    staleness: float = np.inf
    n_workers: int = 3
    n_pushes: int = 6
    n_deaths: int = 3
    history: History = field(default_factory=History)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.nodes: dict[str, ServerActor] = {}
        self.dead: set[str] = set()
        self.deposed: set[str] = set()
        """Those that were taken for dead, and live."""
        self.epoch = 0
        self.primary = self.replica = ""
        self.background: set[asyncio.Task[Any]] = set()

    def run(self) -> History:
        """Let all happen."""
        loop = SimulatedLoop()
        try:
            loop.run_until_complete(self._run())
        finally:
            loop.jump.now = 0.0
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            loop.run_until_complete(_end(left))
            loop.close()
        return self.history

    async def _run(self) -> None:
        size = self.n_workers * self.n_pushes
        machine = self.machine(np.zeros(size), add(), [FieldRange("w", 0, size, 0, 1)], Consistency(self.staleness))
        self.primary, self.replica = self._new(machine), ""
        await self._name()
        entered = [self._call_until_answered([Enter(f"t{i}")], ReadRequest(rows=())) for i in range(self.n_workers)]
        await asyncio.gather(*entered)
        fate = asyncio.create_task(self._fate())
        await asyncio.gather(*(self._train(i) for i in range(self.n_workers)))
        await fate
        await self._read("")

    async def _train(self, worker: int) -> None:
        name = f"t{worker}"
        for number in range(self.n_pushes):
            await asyncio.sleep(self.rng.expovariate(5))
            element = worker * self.n_pushes + number
            await self._push(name, number, element)
            if self.rng.random() < 0.5:
                await self._read(name)

    async def _push(self, name: str, number: int, element: int) -> None:
        gradient: Any = np.zeros(self.n_workers * self.n_pushes)
        gradient[element] = 1.0
        if self.rng.random() < 0.3:
            gradient = (RowGradient("w", np.array([element]), np.ones((1, 1))),)
        pulls = self.rng.random() < 0.5
        done = self.history.begin(name, self._now(), pushed=element, reads=pulls)
        wanted = ReadRequest(name, rows=None if pulls else ())
        done(self._now, await self._call_until_answered([Push(name, (0, number), gradient)], wanted))

    async def _read(self, name: str) -> None:
        done = self.history.begin(name, self._now(), reads=True)
        done(self._now, await self._call_until_answered([], ReadRequest(name)))

    async def _call_until_answered(self, messages: list[Message], wanted: ReadRequest) -> Any:
        while True:
            epoch = self.epoch
            call = asyncio.ensure_future(self.call(self.primary, "accept", Request(epoch, messages, wanted)))
            call.add_done_callback(lambda done: done.cancelled() or done.exception())  # it may be given up
            try:
                while not (await asyncio.wait([call], timeout=POLL_SECONDS))[0]:
                    if self.epoch != epoch:
                        break
                else:
                    reply = call.result()
                    if reply.ready:
                        return reply
                    messages = []
            except (OSError, StaleEpochError):
                await asyncio.sleep(POLL_SECONDS / 4)

    async def call(self, address: str, method: str, *args: Any) -> Any:
        """Send a message and return the answer; it may be late, be sent twice, be lost with a worker, or never end."""
        message = pickle.dumps(args)
        await asyncio.sleep(self._delay())
        if self.rng.random() < 0.1:
            self._again(address, method, message, self.rng.expovariate(1))
        answer = await self._deliver(address, method, message)
        await asyncio.sleep(self._delay())
        if address in self.dead:
            await self._lost()
        if self.rng.random() < 0.03:
            raise OSError("the connection broke")
        return pickle.loads(answer)

    async def _deliver(self, address: str, method: str, message: bytes) -> bytes:
        args = pickle.loads(message)
        if address in self.dead or (address in self.deposed and method == "accept" and not args[0].messages):
            await self._lost()
        return pickle.dumps(await getattr(self.nodes[address], method)(*args))

    async def _lost(self) -> None:
        if self.rng.random() < 0.5:
            raise OSError("the worker is gone")
        await asyncio.sleep(1e9)

    async def _fate(self) -> None:
        for _ in range(self.n_deaths):
            await asyncio.sleep(self.rng.expovariate(1.5))
            victim = self.rng.choice([self.primary, self.replica])
            (self.dead if self.rng.random() < 0.8 else self.deposed).add(victim)
            await asyncio.sleep(self.rng.expovariate(5))
            if victim == self.primary:
                self.primary, self.replica = self.replica, ""
            await self._name()

    async def _name(self) -> None:
        """Name a replica, and publish who leads when it has everything, as the supervisor does."""
        epoch, replica = self.epoch + 1, self._new(None)
        while True:
            try:
                await self.call(self.primary, "lead", epoch, (replica, replica))
                break
            except OSError:
                continue
        self.epoch, self.replica = epoch, replica

    def _new(self, machine: StateMachine | None) -> str:
        address = f"worker-{len(self.nodes)}"
        self.nodes[address] = self.actor(machine, lambda key, address: Remote(self, address))  # type: ignore[arg-type]
        return address

    def _again(self, address: str, method: str, message: bytes, seconds: float) -> None:
        """Deliver a message once more, to nobody's avail."""

        async def deliver() -> None:
            await asyncio.sleep(seconds)
            with suppress(OSError, StaleEpochError):
                await self._deliver(address, method, message)

        task = asyncio.create_task(deliver())
        self.background.add(task)
        task.add_done_callback(self.background.discard)

    def _delay(self) -> float:
        return self.rng.expovariate(100 if self.rng.random() < 0.9 else 2)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


@dataclass(frozen=True)
class Remote:
    """A shard as another reaches it."""

    world: World
    address: str

    async def follow(self, *args: Any) -> None:
        await self.world.call(self.address, "follow", *args)
