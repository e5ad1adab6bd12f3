"""Training configuration: synchronous or asynchronous, epochs and minibatches, checked before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple, TypeAlias

import numpy as np

from daskml_kit.arguments import check_choice, check_mapping, check_number, random_state_of
from daskml_kit.exceptions import DataError

ON_NAN = ("raise", "skip")
VIRTUAL_WORKERS = 8
"""Virtual workers of a synchronous step by default."""


@dataclass(frozen=True, kw_only=True)
class _Servers:
    """Base of the training objects: placement of the parameters, and how often workers push."""

    push_every: int | None = None
    servers: int | str = "auto"
    replicas: int = 1

    def __post_init__(self) -> None:
        if self.push_every is not None:
            check_number("push_every", self.push_every, low=1, integer=True)
        if not isinstance(self.servers, str) or self.servers != "auto":
            check_number("servers", self.servers, low=1, integer=True)
        check_number("replicas", self.replicas, low=0, high=1, integer=True)


@dataclass(frozen=True, kw_only=True)
class Synchronous(_Servers):
    """Bulk-synchronous training: all virtual workers make each step together, with the same bits on any cluster.

    The blocks of the data are divided among virtual workers, which push a contribution to each step. Real workers
    carry out as many of them as they have to, so that the numbers do not depend on how many real workers there are.

    Parameters
    ----------
    push_every : int, optional
        Minibatches between two pushes. By default 1; `SGDClassifier` and `SGDRegressor` push four times an epoch, but
        after at most 64 minibatches.
    servers : int or "auto", default "auto"
        Servers on a cluster; "auto" is one for each 4 MiB of parameters.
    replicas : {0, 1}, default 1
        Copies of each server's parameters on other Dask workers.
    virtual_workers : int, optional
        Contributions to a step, and so the most real workers that can take part. The result depends on it. By default
        8; `MLPClassifier` and `MLPRegressor` take one for each 100 rows of a minibatch, at most 8.
    backup_workers : int, default 0
        Contributions that a step does not wait for, those of stragglers; the result then depends on who is late.
    staleness : mapping of str to int or numpy.inf, default 0
        Parameters that are out of step, such as tables of embeddings: of each contribution, their gradient is applied
        as it comes, whole, where that of all others is averaged with the other contributions of the step. A reader
        waits where one lags by more than so many steps. 0: all are in step.

    Raises
    ------
    ValueError
        Where a value cannot be used.

    See Also
    --------
    Asynchronous : Workers that do not wait for each other.

    References
    ----------
    J. Chen et al., Revisiting distributed synchronous SGD, 2016 (backup workers).

    Examples
    --------
    >>> from daskml_kit.neural_network import MLPClassifier
    >>> from daskml_kit.parameter_server import Synchronous
    >>> MLPClassifier(training=Synchronous(virtual_workers=4, backup_workers=1)).training.backup_workers
    1

    Tables asynchronous, all else in step:

    >>> Synchronous(staleness={"embedding": np.inf}).staleness
    {'embedding': inf}
    """

    virtual_workers: int | None = None
    backup_workers: int = 0
    staleness: Mapping[str, float] | float = 0
    top_k: ClassVar[None] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.virtual_workers is not None:
            check_number("virtual_workers", self.virtual_workers, low=1, integer=True)
        check_number("backup_workers", self.backup_workers, low=0, integer=True)
        if isinstance(self.staleness, Mapping) or self.staleness != 0:
            check_mapping("staleness", self.staleness)
            bounds: Any = self.staleness
            for name, bound in bounds.items():
                if bound != np.inf:
                    check_number(f"staleness[{name!r}]", bound, low=0, integer=True)


@dataclass(frozen=True, kw_only=True)
class Asynchronous(_Servers):
    """Asynchronous training: each worker's pushes are applied as they come, within a bound of staleness.

    Parameters
    ----------
    push_every : int, optional
        Minibatches between two pushes. By default as many as it takes to hide the time of a push; `MLPClassifier` and
        `MLPRegressor` push each.
    servers : int or "auto", default "auto"
        Servers on a cluster; "auto" is one for each 4 MiB of parameters.
    replicas : {0, 1}, default 1
        Copies of each server's parameters on other Dask workers.
    staleness : int or numpy.inf, default numpy.inf
        How many pushes a worker may be ahead of the slowest (stale-synchronous parallel); infinity is no bound.
    top_k : float, optional
        Share of a gradient's rows that is pushed, above 0 and at most 1; the rest is added to the next push.

    Raises
    ------
    ValueError
        Where a value cannot be used.

    See Also
    --------
    Synchronous : Steps that all workers make together.

    References
    ----------
    Q. Ho et al., More effective distributed ML via a stale synchronous parallel parameter server, NIPS 2013.
    Y. Lin et al., Deep gradient compression, ICLR 2018 (top-k).

    Examples
    --------
    >>> from daskml_kit.linear_model import SGDClassifier
    >>> from daskml_kit.parameter_server import Asynchronous
    >>> SGDClassifier(training=Asynchronous(staleness=4)).training.staleness
    4
    """

    staleness: float = np.inf
    top_k: float | None = None
    virtual_workers: ClassVar[int] = 1
    backup_workers: ClassVar[int] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.staleness != np.inf:
            check_number("staleness", self.staleness, low=1, integer=True)
        if self.top_k is not None:
            check_number("top_k", self.top_k, low=0, high=1, strict=True)


Training: TypeAlias = Synchronous | Asynchronous


def apart_from_places(training: Training | None) -> Training:
    """Return how to train, whatever holds the parameters: a checkpoint does not depend on that.

    Examples
    --------
    >>> apart_from_places(Synchronous(servers=4, replicas=0)) == apart_from_places(None)
    True
    """
    return replace(Synchronous() if training is None else training, servers="auto", replicas=1)


class TrainingConfig(NamedTuple):
    """Configuration of a training; the parameters are those of `train`."""

    training: Training = Synchronous()
    epochs: int = 1
    batch_size: int = 256
    shuffle: bool = True
    validation_fraction: float = 0.0
    patience: int | None = None
    tol: float = 1e-4
    on_nan: str = "raise"
    random_state: int = 0
    verbose: int = 0


def checked(config: TrainingConfig) -> TrainingConfig:
    """Return the configuration.

    Raises
    ------
    ValueError
        Where a value cannot be used.
    """
    check_training(config.training)
    for name in ("epochs", "batch_size"):
        check_number(name, getattr(config, name), low=1, integer=True)
    if config.patience is not None:
        check_number("patience", config.patience, low=1, integer=True)
    check_number("validation_fraction", config.validation_fraction, low=0, below=1)
    check_number("tol", config.tol, low=0)
    check_choice("on_nan", config.on_nan, ON_NAN)
    if not isinstance(config.verbose, bool):
        check_number("verbose", config.verbose, low=0)
    return config


def check_training(training: Any) -> Training:
    """Return how to train, by default `Synchronous()`; raise a DataError where it is neither this nor that."""
    if training is None:
        return Synchronous()
    if not isinstance(training, (Synchronous, Asynchronous)):
        raise DataError(f"training: expected Synchronous(...) or Asynchronous(...), got {training!r}")
    return training


def seed_of(random_state: Any) -> int:
    """Return the seed of a training: an integer is one, anything else draws one."""
    if isinstance(random_state, (int, np.integer)):
        check_number("random_state", random_state, low=0, high=2**32 - 1, integer=True)
        return int(random_state)
    return int(random_state_of(random_state).randint(2**31 - 1))
