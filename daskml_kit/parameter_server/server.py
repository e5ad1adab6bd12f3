"""The parameter server: named arrays on the workers of a cluster, which workers pull and push gradients to."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Literal, Self

import numpy as np
from distributed import Client

from daskml_kit.arguments import check_number
from daskml_kit.engines.open import find_client
from daskml_kit.exceptions import AsynchronousClientError, DataError
from daskml_kit.optim import State, Update, is_elementwise
from daskml_kit.parameter_server.client import WorkerClient
from daskml_kit.parameter_server.failover import FailoverSupervisor
from daskml_kit.parameter_server.layout import Layout
from daskml_kit.parameter_server.protocol import Consistency, LossSums, ServerCounts
from daskml_kit.parameter_server.rpc import Address, LocalServers
from daskml_kit.parameter_server.snapshots import read_snapshot, write_snapshot
from daskml_kit.parameter_server.state_machine import StateMachine, check_state, merged, split
from daskml_kit.representation import as_html, as_line
from daskml_kit.typing import Array

SERVER_BYTES = 4 * 2**20
"""Least size of a range with servers="auto"."""


class ParameterServer(AbstractContextManager["ParameterServer"]):
    r"""Parameter server: named arrays that many workers pull, and push gradients to, held by workers of a Dask cluster.

    The arrays are cut into ranges, one a server, an actor on a Dask worker. Each has a replica on another, which has
    every push before it is acknowledged: losing any one Dask worker loses no acknowledged push, and each is applied
    exactly once. Calls go from worker to worker, one message a server, over Dask's own connections.

    Parameters
    ----------
    params : mapping of str to array of floats
        Where training starts.
    update : Update
        Rule by which a server applies a gradient: `sgd`, `momentum`, `adagrad`, `adam`, `add`, or a `chain`.
    staleness : float or mapping of str to float, default 0
        0: synchronous steps; each takes the mean of the gradients of all virtual workers, always in the same order, so
        the numbers do not depend on who comes first. s: a gradient is applied as it comes, and a worker that is more
        than s pushes ahead of the slowest waits. ``numpy.inf``: none waits. A mapping, such as ``{"embedding":
        numpy.inf}``, lets the parameters that it names be out of step, and all others in step: of each push, which is
        a contribution to a step, their gradient is applied as it comes, and read without waiting for the step. Whoever
        reads them at a step waits as long as any virtual worker's push lies more than s steps behind.
    servers : int or "auto", default "auto"
        Number of servers; "auto" is one for each 4 MiB, and at most one a Dask worker. Where there are more servers
        than workers, they move to workers that join.
    replicas : {0, 1}, default 1
        Copies of each range on other Dask workers.
    virtual_workers : int, default 1
        Contributions that make a synchronous step: as many as there are workers that push one each.
    backup_workers : int, default 0
        Contributions that a synchronous step does not wait for, below ``virtual_workers``.
    on_nan : {"raise", "skip"}, default "raise"
        Whether a gradient that is not finite is an error, or is left out, which `WorkerClient.skipped` counts.
    state : tuple of arrays, optional
        The state of the rule to go on from, as an earlier server's `state` gave it.
    client : distributed.Client or "local", optional
        By default the current one. With "local", or where there is none, the parameters are held here, for threads.

    Attributes
    ----------
    layout : Layout
        Place of the named arrays on the servers.
    consistency : Consistency
        The consistency model.

    Raises
    ------
    DataError
        Where parameters or arguments cannot be used.

    See Also
    --------
    train : Trains a model with workers beside the blocks of its data.

    References
    ----------
    M. Li et al., Scaling distributed machine learning with the parameter server, OSDI 2014.
    Q. Ho et al., More effective distributed ML via a stale synchronous parallel parameter server, NIPS 2013.
    J. Chen et al., Revisiting distributed synchronous SGD, 2016 (backup workers).

    Examples
    --------
    >>> from daskml_kit.parameter_server import ParameterServer, sgd
    >>> with ParameterServer({"w": np.zeros(2)}, update=sgd(0.5)) as server:
    ...     server.push({"w": np.array([1.0, -1.0])})
    ...     server.pull()["w"]
    array([-0.5,  0.5])
    """

    def __init__(
        self,
        params: Mapping[str, Any],
        update: Update,
        staleness: float | Mapping[str, float] = 0,
        servers: int | str = "auto",
        replicas: int = 1,
        *,
        virtual_workers: int = 1,
        backup_workers: int = 0,
        on_nan: str = "raise",
        state: State = (),
        client: Client | Literal["local"] | None = None,
    ) -> None:
        arrays = _checked_params(params)
        tables = _checked_tables(staleness, arrays) if isinstance(staleness, Mapping) else {}
        number = 0 if isinstance(staleness, Mapping) else staleness
        consistency = _checked_consistency(number, virtual_workers, backup_workers, on_nan)
        consistency = consistency._replace(tables=tuple(tables.items()))
        arrays = dict(sorted(arrays.items(), key=lambda item: item[0] in tables))  # what is in step first, in one piece
        if not hasattr(update, "init") or not hasattr(update, "apply"):
            raise DataError(f"update: expected a rule such as sgd(0.1), got {update!r}")
        cluster = _client(client)
        hosts = _checked_hosts(cluster, servers, replicas, sum(array.nbytes for array in arrays.values()))
        layout = Layout.of(arrays, max(len(hosts), 1))
        if layout.n_servers > 1 and not is_elementwise(update):
            raise DataError("update: a rule that needs the whole gradient, such as clip_norm, takes servers=1")
        vector = layout.flatten(arrays)
        if state:
            check_state(state, update, vector)
        self._start(layout, split(layout, vector, update, consistency, state), cluster, hosts, replicas)

    @classmethod
    def restore(
        cls,
        directory: str | os.PathLike[str],
        update: Update,
        *,
        servers: int | str = "auto",
        replicas: int = 1,
        client: Client | Literal["local"] | None = None,
    ) -> Self:
        """Return a parameter server that goes on from a snapshot.

        Parameters
        ----------
        directory : path
            Given to `snapshot` before.
        update : Update
            The rule that the snapshot's state belongs to.
        servers, replicas, client : see `ParameterServer`
            Where the parameters are held now.

        Returns
        -------
        ParameterServer
            With the parameters, the rule's state and the counts of the snapshot.

        Raises
        ------
        CheckpointError
            Where there is no whole snapshot, or it belongs to another rule.
        """
        self = cls.__new__(cls)
        cluster = _client(client)
        found = read_snapshot(directory, update)
        hosts = _checked_hosts(cluster, servers, replicas, found.n_bytes)
        layout, machines = found.cut(max(len(hosts), 1), update)
        self._start(layout, machines, cluster, hosts, replicas)
        self._remember(directory)
        return self

    def __repr__(self) -> str:
        return as_line("ParameterServer", self._facts())

    def _repr_html_(self) -> str:
        return as_html("Parameter server", self._facts())

    def _facts(self) -> dict[str, Any]:
        shapes = ", ".join(f"{field.name} {field.shape}" for field in self.layout.fields)
        where = "in this process" if self._local else f"on {self.layout.n_servers} workers"
        numbers = f"{self.layout.size:,} of {np.dtype(self.layout.dtype)}, {where}"
        staleness = dict(self.consistency.tables) or self.consistency.staleness
        return {"params": shapes, "numbers": numbers, "staleness": staleness}

    @property
    def address(self) -> Address | LocalServers:
        """Address by which workers reach the servers."""
        return self._local or self._remote.address(self.layout)

    def worker(self, name: str, *, virtual_worker: int = 0) -> WorkerClient:
        """Return the client handle of a worker; it may be an argument of a task, and is for one thread at a time.

        Parameters
        ----------
        name : str
            Pushes are told apart by it: no other worker may have it. A task that is run again with the same handle
            pushes nothing twice; another handle of the same name goes on where `WorkerClient.resume` is called first.
        virtual_worker : int, default 0
            Its contribution to each synchronous step.

        Returns
        -------
        WorkerClient
            The handle, with `~WorkerClient.pull`, `~WorkerClient.push` and `~WorkerClient.push_pull`.
        """
        n_virtual = self.consistency.virtual_workers
        if not isinstance(name, str):
            raise DataError(f"name: expected a string, got {name!r}")
        check_number("virtual_worker", virtual_worker, low=0, high=n_virtual - 1, integer=True)
        return WorkerClient(self.address, self.consistency, name, virtual_worker=virtual_worker)

    def pull(self, names: tuple[str, ...] | None = None, rows: Mapping[str, Any] | None = None) -> dict[str, Array]:
        """Return parameters by name: all, some, or of some the given rows only.

        Parameters
        ----------
        names, rows : see `WorkerClient.pull`
            Parameters, or rows of parameters, to read.

        Returns
        -------
        dict of str to array
            Copies of the parameters.
        """
        return self._own.pull(names, rows)

    def push(self, gradients: Mapping[str, Any], weight: float = 1.0) -> None:
        """Push gradients, arrays or `SparseRows`, as a worker does.

        Parameters
        ----------
        gradients, weight : see `WorkerClient.push`
            Gradients by name, and their weight in a synchronous step.
        """
        self._own.push(gradients, weight)

    def leave(self, name: str) -> None:
        """Let nobody wait any more for a worker that has ended or was lost.

        Parameters
        ----------
        name : str
            The worker's.
        """
        if not isinstance(name, str):
            raise DataError(f"name: expected a string, got {name!r}")
        WorkerClient(self.address, self.consistency, name, servers=self._own.servers).leave()

    def snapshot(self, directory: str | os.PathLike[str]) -> None:
        """Write parameters, the rule's state and all counts to a directory, whole or not at all.

        Parameters
        ----------
        directory : path
            For `restore`; a snapshot that is there is replaced.
        """
        write_checkpoint(self, directory, self.machines())

    @property
    def version(self) -> int:
        """Number of updates that have been applied."""
        return max(self._counts(number).version for number in range(self.layout.n_servers))

    @property
    def state(self) -> State:
        """State of the rule for all parameters."""
        return self.copies()[1]

    def copies(self) -> tuple[dict[str, Array], State]:
        """Return copies of the parameters and of the rule's state, which another server goes on from.

        Returns
        -------
        params : dict of str to array
            All parameters.
        state : tuple of arrays
            State of the rule for all of them.
        """
        return merged(self.layout, self.machines())

    def machines(self) -> list[StateMachine]:
        """Return copies of the state machines of all ranges: parameters, the rule's state and all counts.

        Returns
        -------
        list of StateMachine
            One a range, in their order.
        """
        return [self._own.servers.ask(number, "copy") for number in range(self.layout.n_servers)]

    @property
    def staleness_counts(self) -> Counter[int]:
        """Number of pushes by the updates (for tables out of step, the steps) that their parameters had missed."""
        return self._counts(self.layout.n_servers - 1).staleness_counts  # parameters out of step come last

    @property
    def late(self) -> int:
        """Number of contributions of stragglers that came after their step had gone on without them."""
        return self._counts(0).late

    @property
    def failovers(self) -> int:
        """Number of primaries that were lost with their Dask worker, and whose replica took over."""
        return 0 if self._local else self._remote.failovers

    @property
    def epoch_sums(self) -> LossSums:
        """Sums over the rows of the last epoch of synchronous steps, by the first server."""
        found: LossSums = self._own.servers.ask(0, "epoch_sums")
        return found

    def close(self) -> None:
        """End the servers; their parameters are gone."""
        if self._local:
            self._local.stop()
        else:
            self._remote.stop()

    def __exit__(self, *details: object) -> None:
        self.close()

    def _counts(self, server: int) -> ServerCounts:
        found: ServerCounts = self._own.servers.ask(server, "counts")
        return found

    def _remember(self, directory: str | os.PathLike[str]) -> None:
        self._last_snapshot = f"the last snapshot is in {os.fspath(directory)!r}, which ParameterServer.restore takes"

    def _start(
        self, layout: Layout, machines: list[StateMachine], client: Client | None, hosts: list[str], replicas: int
    ) -> None:
        self.layout, self.consistency = layout, machines[0].consistency
        self._last_snapshot = "there is no snapshot"
        self._local = LocalServers(layout, machines[0]) if client is None else None
        if client is not None:
            self._remote = FailoverSupervisor(client, machines, hosts, replicas, lambda: self._last_snapshot)
        servers = self._local or self._remote.address(layout).connect(self._remote.client)
        self._own = WorkerClient(self.address, self.consistency, "", servers=servers)
        self._own.resume()
        self._own.pull()


def write_checkpoint(
    server: ParameterServer,
    directory: str | os.PathLike[str],
    machines: list[StateMachine],
    training: Mapping[str, Any] | None = None,
) -> None:
    """Write a snapshot of machines that a server gave, with what a training needs beside them to go on."""
    write_snapshot(directory, server.layout, machines, server.consistency, training)
    server._remember(directory)


def _client(given: Client | Literal["local"] | None) -> Client | None:
    if isinstance(given, Client) and given.asynchronous:
        raise AsynchronousClientError("client: expected a synchronous one; calls wait for the servers")
    if given is not None and given != "local" and not isinstance(given, Client):
        raise DataError(f"client: expected a client, 'local' or None, got {given!r}")
    return None if given == "local" else given or find_client()


def _checked_params(params: Mapping[str, Any]) -> dict[str, Array]:
    if not isinstance(params, Mapping) or not params or not all(isinstance(name, str) for name in params):
        raise DataError(f"params: expected a mapping of names to arrays, got {type(params).__name__} {params!r:.60}")
    arrays = {name: np.asarray(array) for name, array in params.items()}
    for name, array in arrays.items():
        if array.ndim == 0 and not isinstance(params[name], np.ndarray):
            raise DataError(f"params[{name!r}]: expected an array, got {params[name]!r}")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise DataError(f"params[{name!r}]: expected finite numbers, got {array[~np.isfinite(array)][0]}")
    return arrays


def _checked_tables(staleness: Mapping[str, float], arrays: Mapping[str, Array]) -> dict[str, float]:
    """Return the bounds of the parameters that are out of step."""
    for name, bound in staleness.items():
        if name not in arrays:
            known = ", ".join(map(repr, arrays))
            raise DataError(f"staleness: expected names of parameters, {known}, got {name!r}")
        if isinstance(bound, bool) or not isinstance(bound, (int, float, np.number)) or not bound >= 0:
            raise DataError(f"staleness[{name!r}]: expected 0, a number of steps, or numpy.inf, got {bound!r}")
    tables = {name: float(bound) for name, bound in staleness.items() if bound}
    if len(tables) == len(arrays):
        raise DataError(f"staleness: expected a parameter in step, with 0, beside others, got {dict(staleness)!r}")
    return tables


def _checked_consistency(staleness: float, virtual_workers: int, backup_workers: int, on_nan: str) -> Consistency:
    if not isinstance(staleness, (int, float, np.number)) or not staleness >= 0:
        raise DataError(f"staleness: expected 0, a number of pushes, or numpy.inf, got {staleness!r}")
    if not isinstance(virtual_workers, (int, np.integer)) or virtual_workers < 1:
        raise DataError(f"virtual_workers: expected a number of at least 1, got {virtual_workers!r}")
    if not isinstance(backup_workers, (int, np.integer)) or not 0 <= backup_workers < virtual_workers:
        raise DataError(
            f"backup_workers: expected a number from 0 to below virtual_workers, {virtual_workers}, "
            f"got {backup_workers!r}"
        )
    if on_nan not in ("raise", "skip"):
        raise DataError(f"on_nan: expected 'raise' or 'skip', got {on_nan!r}")
    if staleness and virtual_workers > 1:
        raise DataError(
            f"virtual_workers: expected 1 with staleness={staleness}, where no step waits for contributions, "
            f"got {virtual_workers}"
        )
    return Consistency(float(staleness), int(virtual_workers), int(backup_workers), on_nan)


def _checked_hosts(client: Client | None, servers: int | str, replicas: int, n_bytes: int) -> list[str]:
    """Return the addresses of the Dask workers that servers are made on."""
    if replicas not in (0, 1):
        raise DataError(f"replicas: expected 0 or 1, got {replicas!r}")
    if servers != "auto" and (not isinstance(servers, (int, np.integer)) or servers < 1):
        raise DataError(f"servers: expected 'auto' or a number of at least 1, got {servers!r}")
    if client is None:
        if servers not in ("auto", 1):
            raise DataError(f"servers: expected 1 without a cluster, got {servers!r}")
        return []
    hosts = sorted(client.nthreads())
    if not hosts:
        raise DataError("client: expected a cluster with at least one worker, got none")
    wanted = min(max(n_bytes // SERVER_BYTES, 1), len(hosts)) if servers == "auto" else int(servers)
    return [hosts[number % len(hosts)] for number in range(wanted)]
