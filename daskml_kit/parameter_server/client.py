"""Client handle of a worker: it pulls parameters from the servers, and pushes gradients to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from daskml_kit.arguments import check_mapping, check_number
from daskml_kit.exceptions import DataError, LostServerError
from daskml_kit.parameter_server.layout import Layout, check_rows, cut, non_finite
from daskml_kit.parameter_server.protocol import (
    Consistency,
    Enter,
    Gradient,
    Leave,
    Message,
    Push,
    ReadRequest,
    Reply,
    StepPart,
    StepParts,
    WeightedGradient,
    contributor,
)
from daskml_kit.parameter_server.replica import Buffers
from daskml_kit.parameter_server.rpc import Address, LocalServers, Pending, Servers
from daskml_kit.parameter_server.state_machine import GradientSum
from daskml_kit.reductions.reduction import Node, reduce_nodes
from daskml_kit.typing import Array

ACKNOWLEDGEMENT = ReadRequest(rows=())
"""A request that any server answers at once, with no parameters."""


class WorkerClient:
    """Client handle of one worker, which computes gradients; `ParameterServer.worker` makes it.

    It may be sent to a task, and is used by one thread at a time.

    Parameters
    ----------
    source : Address or LocalServers
        How the servers are reached.
    consistency : Consistency
        What servers and workers have agreed on.
    name : str
        Identifies the worker's pushes.
    virtual_worker : int, default 0
        Its contribution to each synchronous step, from 0 to below the number of virtual workers.
    assignment : int, default 0
        Number of the worker's task: pushes of a later one come after those of earlier ones.
    servers : Servers, optional
        By default they are reached through the current client, or the task's worker.

    Attributes
    ----------
    skipped : int
        Gradients that were left out for a NaN or an infinity.

    See Also
    --------
    ParameterServer.worker : Makes one.

    Examples
    --------
    >>> from daskml_kit.parameter_server import ParameterServer, sgd
    >>> with ParameterServer({"w": np.zeros(2)}, sgd(0.5), staleness=np.inf, client="local") as server:
    ...     worker = server.worker("first")
    ...     worker.push_pull({"w": np.array([1.0, -1.0])})["w"]
    array([-0.5,  0.5])
    """

    def __init__(
        self,
        source: Address | LocalServers,
        consistency: Consistency,
        name: str,
        *,
        virtual_worker: int = 0,
        assignment: int = 0,
        servers: Servers | None = None,
    ) -> None:
        self.consistency, self.name = consistency, name
        self.virtual_worker, self.assignment = virtual_worker, assignment
        self.skipped = 0
        self._source = source
        self._servers = servers
        self._buffers = Buffers()
        self._sent = -1
        self._versions = [0] * source.layout.n_servers
        self._in_flight: list[Pending] | None = None
        layout, self._tables = source.layout, frozenset(dict(consistency.tables))
        numbers = range(layout.n_servers)
        self._apart = [layout.holds_only(number, self._tables) for number in numbers]
        """Of each server, whether all that it holds is out of step; never of the first."""
        self._has_tables = [any(span.name in self._tables for span in layout.spans(number)) for number in numbers]

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_servers": None, "_in_flight": None, "_buffers": Buffers()}

    @property
    def layout(self) -> Layout:
        """The layout of the parameters over the servers."""
        return self._source.layout

    @property
    def version(self) -> int:
        """The number of updates that the parameters read last have seen, on the server that has seen most."""
        return max(self._versions)

    @property
    def servers(self) -> Servers:
        """The servers, as this thread reaches them."""
        if self._servers is None:
            self._servers = self._source.connect() if isinstance(self._source, Address) else self._source
        return self._servers

    def resume(self) -> int:
        """Go on after the last push of this assignment that all servers have.

        Returns
        -------
        int
            The number of pushes that they have.
        """
        found = [self.servers.ask(server, "number", self.name) for server in range(self.layout.n_servers)]
        assignment, at = min(found)
        self._sent = at if assignment == self.assignment else -1
        return self._sent + 1

    def enter(self) -> None:
        """Join: where staleness is bounded, the servers wait for this worker from now on."""
        self._send_all([Enter(self.name)], self._read_requests(rows=()))

    def leave(self) -> None:
        """Leave: no worker waits for this one any more."""
        self._send_all([Leave(self.name)], [ACKNOWLEDGEMENT] * self.layout.n_servers)

    def pull(self, names: tuple[str, ...] | None = None, rows: Mapping[str, Any] | None = None) -> dict[str, Array]:
        """Return the parameters as they are now.

        Parameters
        ----------
        names : tuple of str, optional
            By default all.
        rows : mapping of str to row numbers, optional
            Only these rows, of only these parameters.

        Returns
        -------
        dict of str to array
            Copies of the parameters by name; with ``rows``, a row for each number.

        Raises
        ------
        DataError
            Where there is no such parameter, or no such row.
        """
        if rows is not None:
            check_mapping("rows", rows)
            return self._pull_rows({name: check_rows(self.layout.field(name), rows[name]) for name in rows})[0]
        if names is None:
            return self._read(self._send_all([], self._read_requests()))
        if isinstance(names, str) or not isinstance(names, Iterable):
            raise DataError(f"names: expected a tuple of names, got {names!r}")
        found, replies = self._pull_rows(dict.fromkeys(names))
        if not self._tables.intersection(names):  # else they may not have waited for the step
            self._note(replies)
        return found

    def await_version(self, version: int) -> None:
        """Let the next read wait until so many synchronous steps have been taken.

        Parameters
        ----------
        version : int
            The number of steps.
        """
        self._versions = [max(version, own) for own in self._versions]

    def push(self, gradients: Mapping[str, Any], weight: float = 1.0) -> None:
        """Push gradients, and return when they are acknowledged: applied, and on the replica.

        Parameters
        ----------
        gradients : mapping of str to array or SparseRows
            Parameters that are not named get no gradient.
        weight : float, default 1.0
            In a synchronous step: the weight of this contribution in the mean, not in parameters out of step.

        Raises
        ------
        DataError
            Where a name is unknown, a shape is not the parameter's, or a number is not finite.
        """
        self._wait()
        messages = self._messages(gradients, weight)
        _results(self._send(messages, [ACKNOWLEDGEMENT] * len(messages)))

    def push_pull(self, gradients: Mapping[str, Any], weight: float = 1.0) -> dict[str, Array]:
        """Push, and pull the parameters as soon as this worker may go on, in one message a server.

        Parameters
        ----------
        gradients, weight : see `push`
            Gradients by name, and their weight in a synchronous step.

        Returns
        -------
        dict of str to array
            The parameters after the push.
        """
        self.start(gradients, weight)
        return self.finish()

    def start(self, gradients: Mapping[str, Any], weight: float = 1.0, *, at: int | None = None) -> None:
        """Begin to push and pull; `finish` ends it, and until then ``gradients`` are not to be written to.

        Parameters
        ----------
        gradients, weight : see `push`
            Gradients by name, and their weight in a synchronous step.
        at : int, optional
            The number of the push within its assignment: by default the next.
        """
        self._wait()
        if at is not None:
            self._sent = at - 1
        self._in_flight = self._send(self._messages(gradients, weight), self._read_requests())

    def finish(self) -> dict[str, Array]:
        """Wait for the push that was started.

        Returns
        -------
        dict of str to array
            The parameters after it.
        """
        if self._in_flight is None:
            raise RuntimeError("nothing was started")
        calls, self._in_flight = self._in_flight, None
        return self._read(_results(calls))

    def join_step(self, virtual_workers: Sequence[int], *, read: bool = True) -> dict[str, Array]:
        """Join the steps of a synchronous run, for the first time or in place of a worker that was lost.

        Parameters
        ----------
        virtual_workers : sequence of int
            Those that this worker carries out.
        read : bool, default True
            Whether the parameters are returned.

        Returns
        -------
        dict of str to array
            The parameters, of the same step on all servers; empty without ``read``.

        Raises
        ------
        LostServerError
            Where a worker was lost when only some servers had its contribution: those have gone on to the next step,
            and nobody has the parameters any more that the others need a gradient at.
        """
        names = None if read else ()
        params = self.pull(names)
        if self.consistency.backup_workers == 0 and self.version:
            for server, apart in enumerate(self._apart):
                if apart and not self.servers.ask(server, "has_parts", self.version - 1, virtual_workers):
                    raise LostServerError(f"a worker was lost while it pushed its part of step {self.version - 1}")
        while self.consistency.backup_workers == 0 and min(self._versions) < self.version:
            for server, version in enumerate(self._versions):
                if version < self.version and not self.servers.ask(server, "has_parts", version, virtual_workers):
                    raise LostServerError(f"a worker was lost while it pushed its part of step {version}")
            self.await_version(self.version)  # contributions of others are on their way
            params = self.pull(names)
        return params

    def push_step(self, parts: Sequence[StepPart], *, read: bool = True, epoch: int = 0) -> dict[str, Array]:
        """Push the contributions of several virtual workers to a synchronous step, and wait for the step.

        Parameters
        ----------
        parts : sequence of StepPart
            One for each of these virtual workers.
        read : bool, default True
            Whether the parameters after the step are returned.
        epoch : int, default 0
            The epoch whose sums over rows the step adds to.

        Returns
        -------
        dict of str to array
            The parameters after the step; empty without ``read``.
        """
        messages = self._step_messages(parts, epoch)
        self._wait()
        replies = _results(self._send(messages, self._read_requests(rows=None if read else ())))
        if read:
            return self._read(replies)
        self._note(replies)
        return {}

    def _messages(self, gradients: Mapping[str, Any], weight: float) -> list[list[Message]]:
        check_number("weight", weight, low=0)
        check_mapping("gradients", gradients)
        if self.consistency.staleness == 0:
            return self._step_messages([StepPart(self.virtual_worker, weight, gradients)])
        (cuts, _) = self._cut(gradients)
        if weight != 1:
            raise DataError(f"weight: expected 1 with staleness={self.consistency.staleness:g}, which takes no means")
        self._sent += 1
        number = (self.assignment, self._sent)
        parts = cuts or [None] * len(self._versions)
        return [[Push(self.name, number, g, seen)] for g, seen in zip(parts, self._versions, strict=True)]

    def _step_messages(self, parts: Sequence[StepPart], epoch: int = 0) -> list[list[Message]]:
        """Return the contributions of virtual workers to a step; what is read next has seen this step."""
        nodes: list[list[Node]] = [[] for _ in self._versions]
        messages: list[list[Message]] = [[] for _ in self._versions]
        for virtual_worker, weight, gradients, sums in parts:
            cuts, tables = (None, None) if gradients is None else self._cut(gradients)
            for server, own in enumerate(nodes):
                nothing = WeightedGradient(weight if gradients is None else 0.0, None)
                partial = nothing if cuts is None else _weighted(cuts[server], weight)
                own.append(Node(0, virtual_worker, partial._replace(sums=sums)))
                if self._has_tables[server]:  # also without a gradient, so that none waits for this one
                    step = self._versions[server]
                    gradient = None if tables is None else tables[server]
                    messages[server].append(Push(contributor(virtual_worker), (0, step), gradient, step))
        steps, self._versions = self._versions, [version + 1 for version in self._versions]
        n_virtual = self.consistency.virtual_workers
        for server, (step, own) in enumerate(zip(steps, nodes, strict=True)):
            if not self._apart[server]:
                messages[server].append(StepParts(step, tuple(reduce_nodes(GradientSum(), own, n_virtual)), epoch))
        return messages

    def _cut(self, gradients: Mapping[str, Any]) -> tuple[list[Gradient] | None, list[Gradient] | None]:
        """Return the parts of each server in step and out of it; None where the gradients are skipped for a NaN."""
        in_step = {name: gradient for name, gradient in gradients.items() if name not in self._tables}
        cuts = cut(self.layout, in_step, self._tables)
        tables = {name: gradient for name, gradient in gradients.items() if name in self._tables}
        cut_tables = cut(self.layout, tables) if self._tables else None
        wrong = non_finite(gradients)
        if wrong is None:
            return cuts, cut_tables
        if self.consistency.on_nan == "raise":
            raise DataError(wrong)
        self.skipped += 1
        return None, None

    def _read_requests(self, rows: tuple[()] | None = None) -> list[ReadRequest]:
        versions = self._versions if self.consistency.staleness == 0 else [0] * len(self._versions)
        return [ReadRequest(self.name, version, rows) for version in versions]

    def _send(self, messages: Sequence[list[Message]], wanted: list[ReadRequest]) -> list[Pending]:
        pairs = zip(messages, wanted, strict=True)
        return [self.servers.send(server, own, request) for server, (own, request) in enumerate(pairs)]

    def _send_all(self, messages: list[Message], wanted: list[ReadRequest]) -> list[Reply]:
        """Send the same messages to all servers, and return the replies."""
        self._wait()
        return _results(self._send([messages] * len(wanted), wanted))

    def _wait(self) -> None:
        """Wait for the push in flight: a server that changes must not get pushes in another order."""
        _results(self._in_flight or [])

    def _note(self, replies: list[Reply]) -> None:
        """Note the versions that were read; a server that knows no steps of its own is taken to be at the last."""
        self._versions = [reply.version for reply in replies]
        if any(self._apart):
            last = max(v for v, apart in zip(self._versions, self._apart, strict=True) if not apart)
            self._versions = [last if apart else v for v, apart in zip(self._versions, self._apart, strict=True)]

    def _read(self, replies: list[Reply]) -> dict[str, Array]:
        self._note(replies)
        parts = [reply.values[0] for reply in replies]
        vector = parts[0] if len(parts) == 1 else np.concatenate(parts)
        # NumPy would multiply unaligned parameters, as they come off the wire, by other routines that round otherwise
        return self.layout.unflatten(vector if vector.flags.aligned else self._buffers.copy(vector))

    def _pull_rows(self, rows: Mapping[str, Array | None]) -> tuple[dict[str, Array], list[Reply]]:
        """Return the rows of parameters with these numbers, all where they are None, and the servers' replies."""
        found: dict[str, Array] = {}
        asked: list[list[tuple[str, Array | slice]]] = [[] for _ in self._versions]
        places: list[list[tuple[Array, Array | slice]]] = [[] for _ in self._versions]
        for name, numbers in rows.items():
            field = self.layout.field(name)
            n_rows = field.n_rows if numbers is None else len(numbers)
            table = np.empty((n_rows, field.width), field.dtype)
            found[name] = table.reshape(field.shape if numbers is None else (n_rows, *field.shape[1:]))
            for server, positions, own in self.layout.locate(name, numbers):
                asked[server].append((name, own))
                places[server].append((table, positions))
        wanted = [request._replace(rows=tuple(own)) for request, own in zip(self._read_requests(), asked, strict=True)]
        replies = self._send_all([], wanted)
        for own_places, reply in zip(places, replies, strict=True):
            for (table, positions), values in zip(own_places, reply.values, strict=True):
                table[positions] = values
        return found, replies


def _results(calls: list[Pending]) -> list[Reply]:
    return [call.result() for call in calls]


def _weighted(gradient: Gradient, weight: float) -> WeightedGradient:
    if gradient is None:
        return WeightedGradient(weight, None)
    if isinstance(gradient, tuple):
        return WeightedGradient(weight, tuple(part._replace(values=part.values * weight) for part in gradient))
    return WeightedGradient(weight, gradient * weight)
