"""The parameter server, as its users see it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Literal, Self

import numpy as np
from distributed import Client

from daskml_kit.engines.open import find_client
from daskml_kit.exceptions import AsynchronousClientError, DataError
from daskml_kit.optim import State, Update, is_elementwise
from daskml_kit.parameter_server.client import Trainer
from daskml_kit.parameter_server.failover import Watch
from daskml_kit.parameter_server.layout import Layout
from daskml_kit.parameter_server.protocol import Terms
from daskml_kit.parameter_server.rpc import Address, LocalServers
from daskml_kit.parameter_server.snapshots import read_snapshot, write_snapshot
from daskml_kit.parameter_server.state_machine import Store, check_state, joined, part_of
from daskml_kit.typing import Array

SERVER_BYTES = 4 * 2**20
"""What servers="auto" gives to a server at least."""


class ParameterServer(AbstractContextManager["ParameterServer"]):
    r"""Parameters that many trainers pull and push gradients to, held by workers of a Dask cluster.

    The arrays are cut into ranges, one a server, an actor on a worker. Each has a replica on another worker, which has
    every push before it is acknowledged: losing any one worker loses no acknowledged push, and each is applied exactly
    once. Calls go from worker to worker, one message a server, over Dask's own connections.

    Parameters
    ----------
    params : mapping of str to array of floats
        Where training starts.
    update : Update
        What a server does with a gradient: `sgd`, `momentum`, `adagrad`, `adam`, `add`, or a `chain`.
    staleness : float, default 0
        0: synchronous steps; each takes the mean of the gradients of all ``lanes``, always in the same order, so the
        numbers do not depend on who comes first. s: a gradient is applied as it comes, and a trainer that is more than
        s pushes ahead of the slowest waits. ``numpy.inf``: none waits.
    servers : int or "auto"
        By default one for each 4 MiB, and at most one a worker.
    replicas : {0, 1}, default 1
    lanes : int, default 1
        How many pieces make a synchronous step: as many as there are trainers that push one each.
    backup : int, default 0
        How many of these a step does not wait for.
    on_nan : {"raise", "skip"}
        What becomes of a gradient that is not finite: an error, or nothing, which `Trainer.skipped` counts.
    state : tuple of arrays, optional
        The state of the rule to go on from, as an earlier server's `state` gave it.
    client : distributed.Client or "local", optional
        By default the current one. With "local", or where there is none, the parameters are held here, for threads.

    Raises
    ------
    DataError
        Where parameters or arguments cannot be used.

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
        staleness: float = 0,
        servers: int | str = "auto",
        replicas: int = 1,
        *,
        lanes: int = 1,
        backup: int = 0,
        on_nan: str = "raise",
        state: State = (),
        client: Client | Literal["local"] | None = None,
    ) -> None:
        arrays = _checked_params(params)
        terms = _checked_terms(staleness, lanes, backup, on_nan)
        if not hasattr(update, "init") or not hasattr(update, "apply"):
            raise DataError(f"update: expected a rule such as sgd(0.1), got {update!r}")
        cluster = _client(client)
        workers = _checked_workers(cluster, servers, replicas, sum(array.nbytes for array in arrays.values()))
        layout = Layout.of(arrays, max(len(workers), 1))
        if layout.n_servers > 1 and not is_elementwise(update):
            raise DataError("update: a rule that needs the whole gradient, such as clip_norm, takes servers=1")
        vector = layout.flatten(arrays)
        if state:
            check_state(state, update, vector)
        stores = [
            Store(vector[part].copy(), update, layout.spans(number), terms, part_of(state, part))
            for number, part in enumerate(layout.ranges())
        ]
        self._start(layout, stores, terms, cluster, workers, replicas)

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
            The rule that the snapshot's state is of.

        Raises
        ------
        CheckpointError
            Where there is no whole snapshot, or it belongs to another rule.
        """
        self = cls.__new__(cls)
        cluster = _client(client)
        found = read_snapshot(directory, update)
        workers = _checked_workers(cluster, servers, replicas, found.n_bytes)
        layout, stores = found.cut(max(len(workers), 1), update)
        self._start(layout, stores, found.terms, cluster, workers, replicas)
        self._remember(directory)
        return self

    @property
    def address(self) -> Address | LocalServers:
        """How trainers reach the servers."""
        return self._local or self._remote.address(self.layout)

    def trainer(self, name: str, *, lane: int = 0) -> Trainer:
        """Return a handle that pulls and pushes; it may be an argument of a task, and is for one thread at a time.

        Parameters
        ----------
        name : str
            Pushes are told apart by it: no other trainer may have it. A task that is run again with the same handle
            pushes nothing twice; another handle of the same name goes on where `Trainer.resume` is called first.
        lane : int, default 0
            Its piece of each synchronous step.
        """
        if not 0 <= lane < self.terms.lanes:
            raise DataError(f"lane: expected a number from 0 to {self.terms.lanes - 1}, got {lane!r}")
        return Trainer(self.address, self.terms, name, lane=lane)

    def pull(self, names: tuple[str, ...] | None = None, rows: Mapping[str, Any] | None = None) -> dict[str, Array]:
        """Return parameters by name: all, some, or of some the given rows only."""
        return self._own.pull(names, rows)

    def push(self, gradients: Mapping[str, Any], weight: float = 1.0) -> None:
        """Hand over gradients, arrays or `Rows`, as a trainer does; see `Trainer.push`."""
        self._own.push(gradients, weight)

    def leave(self, name: str) -> None:
        """Let nobody wait for a trainer of this name any more, which has ended or was lost."""
        Trainer(self.address, self.terms, name, servers=self._own.servers).leave()

    def snapshot(self, directory: str | os.PathLike[str]) -> None:
        """Write parameters, the rule's state and all counts to a directory, whole or not at all."""
        write_snapshot(directory, self.layout, self._stores(), self.terms)
        self._remember(directory)

    @property
    def version(self) -> int:
        """How many updates have been applied."""
        return max(self._own.servers.counts(number).version for number in range(self.layout.n_servers))

    @property
    def state(self) -> State:
        """The state of the rule for all parameters."""
        return joined(store.state for store in self._stores())

    @property
    def lags(self) -> Counter[int]:
        """How many pushes were computed with parameters that had missed so many updates."""
        return self._own.servers.counts(0).lags

    @property
    def late(self) -> int:
        """How many pieces came after their step had gone on without them."""
        return self._own.servers.counts(0).late

    @property
    def losses(self) -> int:
        """How often a server was lost with its worker, and another took over."""
        return 0 if self._local else self._remote.losses

    def close(self) -> None:
        """End the servers; what they hold is gone."""
        if self._local:
            self._local.stop()
        else:
            self._remote.stop()

    def __exit__(self, *details: object) -> None:
        self.close()

    def _stores(self) -> list[Store]:
        return [self._own.servers.dump(number) for number in range(self.layout.n_servers)]

    def _remember(self, directory: str | os.PathLike[str]) -> None:
        self._last_snapshot = f"the last snapshot is in {os.fspath(directory)!r}, which ParameterServer.restore takes"

    def _start(
        self,
        layout: Layout,
        stores: list[Store],
        terms: Terms,
        client: Client | None,
        workers: list[str],
        replicas: int,
    ) -> None:
        self.layout, self.terms = layout, terms
        self._last_snapshot = "there is no snapshot"
        self._local = LocalServers(layout, stores[0]) if client is None else None
        if client is not None:
            self._remote = Watch(client, stores, workers, replicas, lambda: self._last_snapshot)
        servers = self._local or self._remote.address(layout).connect(self._remote.client)
        self._own = Trainer(self.address, terms, "", servers=servers)
        self._own.resume()
        self._own.pull()


def _client(given: Client | Literal["local"] | None) -> Client | None:
    if isinstance(given, Client) and given.asynchronous:
        raise AsynchronousClientError("client: expected a synchronous one; calls wait for the servers")
    if given is not None and given != "local" and not isinstance(given, Client):
        raise DataError(f"client: expected a client, 'local' or None, got {given!r}")
    return None if given == "local" else given or find_client()


def _checked_params(params: Mapping[str, Any]) -> dict[str, Array]:
    if not isinstance(params, Mapping) or not params:
        raise DataError(f"params: expected a mapping of names to arrays, got {type(params).__name__} {params!r:.60}")
    return {name: np.asarray(array) for name, array in params.items()}


def _checked_terms(staleness: float, lanes: int, backup: int, on_nan: str) -> Terms:
    if not isinstance(staleness, (int, float, np.number)) or not staleness >= 0:
        raise DataError(f"staleness: expected 0, a number of pushes, or numpy.inf, got {staleness!r}")
    if not isinstance(lanes, (int, np.integer)) or lanes < 1:
        raise DataError(f"lanes: expected a number of at least 1, got {lanes!r}")
    if not isinstance(backup, (int, np.integer)) or not 0 <= backup < lanes:
        raise DataError(f"backup: expected a number from 0 to below lanes, {lanes}, got {backup!r}")
    if on_nan not in ("raise", "skip"):
        raise DataError(f"on_nan: expected 'raise' or 'skip', got {on_nan!r}")
    if staleness and lanes > 1:
        raise DataError(f"lanes: expected 1 with staleness={staleness}, since nothing waits for pieces, got {lanes}")
    return Terms(float(staleness), int(lanes), int(backup), on_nan)


def _checked_workers(client: Client | None, servers: int | str, replicas: int, n_bytes: int) -> list[str]:
    """Return on which workers servers are made."""
    if replicas not in (0, 1):
        raise DataError(f"replicas: expected 0 or 1, got {replicas!r}")
    if servers != "auto" and (not isinstance(servers, (int, np.integer)) or servers < 1):
        raise DataError(f"servers: expected 'auto' or a number of at least 1, got {servers!r}")
    if client is None:
        if servers not in ("auto", 1):
            raise DataError(f"servers: expected 1 without a cluster, got {servers!r}")
        return []
    workers = sorted(client.nthreads())
    if not workers:
        raise DataError("client: expected a cluster with at least one worker, got none")
    wanted = min(max(n_bytes // SERVER_BYTES, 1), len(workers)) if servers == "auto" else int(servers)
    if wanted > len(workers):
        raise DataError(f"servers: expected at most one a worker, {len(workers)}, got {servers}")
    return workers[:wanted]
