"""What a trainer does with the servers: pull parameters, push gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from daskml_kit.engines.runtime import keep_freed_memory
from daskml_kit.exceptions import DataError
from daskml_kit.parameter_server.buffers import Buffers
from daskml_kit.parameter_server.layout import Layout, check_rows, cut, non_finite
from daskml_kit.parameter_server.protocol import (
    Enter,
    Gradient,
    Leave,
    Message,
    Pieces,
    Push,
    Reply,
    Share,
    Terms,
    Wish,
)
from daskml_kit.parameter_server.rpc import Address, LocalServers, Pending, Servers
from daskml_kit.parameter_server.state_machine import Shares
from daskml_kit.reductions.reduction import Node, reduce_nodes
from daskml_kit.typing import Array


class Trainer:
    """One that computes gradients; it may be sent to a task, and is used by one thread at a time.

    Parameters
    ----------
    source : Address or LocalServers
    terms : Terms
    name : str
        Its pushes are told from others' by it.
    lane : int
        Its piece of each synchronous step.
    leg : int
        Pushes of a later leg come after those of earlier ones.
    servers : Servers, optional
        By default they are reached through the current client, or the task's worker.
    """

    def __init__(
        self,
        source: Address | LocalServers,
        terms: Terms,
        name: str,
        *,
        lane: int = 0,
        leg: int = 0,
        servers: Servers | None = None,
    ) -> None:
        self.terms, self.name, self.lane, self.leg = terms, name, lane, leg
        self.skipped = 0
        self._source = source
        self._servers = servers
        self._buffers = Buffers()
        self._sent = -1
        self._versions = [0] * source.layout.n_servers
        self._awaited: Await | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_servers": None, "_awaited": None, "_buffers": Buffers()}

    @property
    def layout(self) -> Layout:
        return self._source.layout

    @property
    def version(self) -> int:
        """The number of updates that what was read last has seen, on the server that has seen most."""
        return max(self._versions)

    @property
    def servers(self) -> Servers:
        """The servers, as this thread reaches them."""
        if self._servers is None:
            self._servers = self._source.connect() if isinstance(self._source, Address) else self._source
        return self._servers

    def resume(self) -> int:
        """Go on after the last push of this leg that all servers have; return how many they have."""
        found = [self.servers.number(server, self.name) for server in range(self.layout.n_servers)]
        leg, at = min(found)
        self._sent = at if leg == self.leg else -1
        return self._sent + 1

    def enter(self) -> None:
        """Let the servers count this trainer's pace, which they wait for where staleness is bounded."""
        self._send([[Enter(self.name)]] * self.layout.n_servers, self._wish(nothing=True)).result()

    def leave(self) -> None:
        """Let nobody wait for this trainer any more."""
        self._wait()
        self._send([[Leave(self.name)]] * self.layout.n_servers, Wish(nothing=True)).result()

    def pull(self, names: tuple[str, ...] | None = None, rows: Mapping[str, Any] | None = None) -> dict[str, Array]:
        """Return the parameters as they are.

        Parameters
        ----------
        names : tuple of str, optional
            By default all.
        rows : mapping of str to row numbers, optional
            Only these rows, of only these parameters.

        Raises
        ------
        DataError
            Where there is no such parameter, or no such row.
        """
        self._wait()
        nothing: list[list[Message]] = [[]] * self.layout.n_servers
        if rows is not None:
            return self._pull_rows({name: check_rows(self.layout.field(name), rows[name]) for name in rows})
        if names is not None:
            return self._pull_names([self.layout.field(name).name for name in names])
        return self._read(self._send(nothing, self._wish()).result())

    def await_version(self, version: int) -> None:
        """Let what is read next wait until so many synchronous steps have been taken."""
        self._versions = [max(version, own) for own in self._versions]

    def push(self, gradients: Mapping[str, Any], weight: float = 1.0) -> None:
        """Hand gradients to the servers, and return when they are safe there.

        Parameters
        ----------
        gradients : mapping of str to array or Rows
            Parameters that are not named get no gradient.
        weight : float
            In a synchronous step: the weight of this piece in their mean.

        Raises
        ------
        DataError
            Where a name is unknown, a shape is not the parameter's, or a number is not finite.
        """
        self._wait()
        self._send(self._messages(gradients, weight), Wish(nothing=True)).result()

    def push_pull(self, gradients: Mapping[str, Any], weight: float = 1.0) -> dict[str, Array]:
        """Push, and return the parameters after it as soon as this trainer may go on: one message a server."""
        self.start(gradients, weight)
        return self.finish()

    def start(self, gradients: Mapping[str, Any], weight: float = 1.0, *, at: int | None = None) -> None:
        """Begin to push and pull; `finish` ends it, and until then ``gradients`` are not to be written to.

        ``at`` numbers the push within its leg: by default the next.
        """
        self._wait()
        if at is not None:
            self._sent = at - 1
        self._awaited = self._send(self._messages(gradients, weight), self._wish())

    def finish(self) -> dict[str, Array]:
        """Return the parameters after what was started."""
        if self._awaited is None:
            raise RuntimeError("nothing was started")
        awaited, self._awaited = self._awaited, None
        return self._read(awaited.result())

    def push_lanes(
        self, shares: list[tuple[int, float, Mapping[str, Any] | None]], *, read: bool = True
    ) -> dict[str, Array]:
        """Push the gradients of some lanes (lane, weight, gradients), and return the parameters after the step.

        Without ``read`` it only waits for the step, and returns none.
        """
        self._wait()
        own: list[list[Node]] = [[] for _ in self._versions]
        for lane, weight, gradients in shares:
            told = None if gradients is None else self._checked(gradients)
            for server, nodes in enumerate(own):
                nothing = Share(weight if gradients is None else 0.0, None)
                share = nothing if told is None else _weighted(told[server], weight)
                nodes.append(Node(0, lane, share))
        messages: list[list[Message]] = [
            [Pieces(version, tuple(reduce_nodes(Shares(), nodes, self.terms.lanes)))]
            for version, nodes in zip(self._versions, own, strict=True)
        ]
        replies = self._send(messages, self._wish(after=1, nothing=not read)).result()
        if read:
            return self._read(replies)
        self._versions = [reply.version for reply in replies]
        return {}

    def _messages(self, gradients: Mapping[str, Any], weight: float) -> list[list[Message]]:
        if not 0 <= weight < np.inf:
            raise DataError(f"weight: expected a finite number of at least 0, got {weight!r}")
        told = self._checked(gradients)
        if self.terms.staleness == 0:
            nothing = [Share(0.0, None)] * len(self._versions)
            shares = nothing if told is None else [_weighted(part, weight) for part in told]
            nodes = [Node(0, self.lane, share) for share in shares]
            steps = list(self._versions)
            self._versions = [version + 1 for version in steps]  # what is read next has seen this step
            return [[Pieces(step, (node,))] for step, node in zip(steps, nodes, strict=True)]
        if weight != 1:
            raise DataError(f"weight: expected 1 with staleness={self.terms.staleness:g}, which takes no means")
        self._sent += 1
        number = (self.leg, self._sent)
        parts = told or [None] * len(self._versions)
        return [[Push(self.name, number, g, seen)] for g, seen in zip(parts, self._versions, strict=True)]

    def _checked(self, gradients: Mapping[str, Any]) -> list[Gradient] | None:
        """Return what each server is told; None where it is skipped for a NaN."""
        told = cut(self.layout, gradients)
        wrong = non_finite(gradients)
        if wrong is None:
            return told
        if self.terms.on_nan == "raise":
            raise DataError(wrong)
        self.skipped += 1
        return None

    def _wish(self, *, after: int = 0, nothing: bool = False) -> list[Wish]:
        versions = self._versions if self.terms.staleness == 0 else [0] * len(self._versions)
        return [Wish(self.name, version + after, nothing=nothing) for version in versions]

    def _send(self, messages: list[list[Message]], wishes: Wish | list[Wish]) -> Await:
        keep_freed_memory()
        each = wishes if isinstance(wishes, list) else [wishes] * len(messages)
        pairs = enumerate(zip(messages, each, strict=True))
        return Await([self.servers.send(server, own, wish) for server, (own, wish) in pairs])

    def _wait(self) -> None:
        """Wait for what is on its way: a server that changes must not get pushes in another order."""
        if self._awaited is not None:
            self._awaited.result()

    def _read(self, replies: list[Reply]) -> dict[str, Array]:
        self._versions = [reply.version for reply in replies]
        parts = [reply.values[0] for reply in replies]
        vector = parts[0] if len(parts) == 1 else np.concatenate(parts)
        # NumPy would multiply unaligned parameters, as they come off the wire, by other routines that round otherwise
        return self.layout.unflatten(vector if vector.flags.aligned else self._buffers.copy(vector))

    def _pull_names(self, names: list[str]) -> dict[str, Array]:
        replies = self._send(
            [[]] * self.layout.n_servers, [w._replace(names=tuple(names)) for w in self._wish()]
        ).result()
        self._versions = [reply.version for reply in replies]
        parts: dict[str, list[Array]] = {name: [np.empty(0, self.layout.dtype)] for name in names}
        for server, reply in enumerate(replies):
            spans = [span for span in self.layout.spans(server) if span.name in parts]
            for span, values in zip(spans, reply.values, strict=True):
                parts[span.name].append(values)
        fields = [self.layout.field(name) for name in names]
        return {f.name: np.concatenate(parts[f.name]).reshape(f.shape).astype(f.dtype, copy=False) for f in fields}

    def _pull_rows(self, rows: Mapping[str, Array]) -> dict[str, Array]:
        asked: list[list[tuple[str, Array, Array]]] = [[] for _ in range(self.layout.n_servers)]
        for name, numbers in rows.items():
            for server, positions in self.layout.shares(name, numbers):
                first = next(span.first for span in self.layout.spans(server) if span.name == name)
                asked[server].append((name, positions, numbers[positions] - first))
        wishes = [
            wish._replace(rows=tuple((name, own) for name, _, own in parts), nothing=not parts)
            for wish, parts in zip(self._wish(), asked, strict=True)
        ]
        fields = {name: self.layout.field(name) for name in rows}
        found = {
            name: np.empty((len(numbers), fields[name].width), fields[name].dtype) for name, numbers in rows.items()
        }
        for parts, reply in zip(asked, self._send([[]] * len(asked), wishes).result(), strict=True):
            for (name, positions, _), values in zip(parts, reply.values, strict=True):
                found[name][positions] = values
        return {name: values.reshape(len(values), *fields[name].shape[1:]) for name, values in found.items()}


class Await(NamedTuple):
    """Calls that are on their way, one a server."""

    calls: list[Pending]

    def result(self) -> list[Reply]:
        return [call.result() for call in self.calls]


def _weighted(gradient: Gradient, weight: float) -> Share:
    if gradient is None:
        return Share(weight, None)
    if isinstance(gradient, tuple):
        return Share(weight, tuple(part._replace(values=part.values * weight) for part in gradient))
    return Share(weight, gradient * weight)
