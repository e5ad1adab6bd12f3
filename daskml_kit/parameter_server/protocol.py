"""Messages between workers and parameter servers, and the replies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from operator import add
from typing import Any, NamedTuple, TypeAlias

from daskml_kit.reductions.reduction import Node
from daskml_kit.typing import Array


class Consistency(NamedTuple):
    """The consistency model that workers and servers have agreed on.

    Parameters
    ----------
    staleness : float
        0 for synchronous steps, else how many pushes a worker may be ahead of the slowest; infinity for any.
    virtual_workers : int
        The number of contributions that make a synchronous step.
    backup_workers : int
        How many of these it does not wait for.
    on_nan : {"raise", "skip"}
        What becomes of a gradient with NaN or infinity.
    tables : tuple of (name, staleness)
        In a synchronous run: parameters out of step, to which each contribution's gradient is applied as it comes, and
        how many steps a reader may be ahead of the slowest contribution to them.
    """

    staleness: float = 0
    virtual_workers: int = 1
    backup_workers: int = 0
    on_nan: str = "raise"
    tables: tuple[tuple[str, float], ...] = ()


class RowGradient(NamedTuple):
    """The gradient of ``rows`` of a server's part of an array, values of shape (n_rows, width)."""

    name: str
    rows: Array
    values: Array


Gradient: TypeAlias = Array | tuple[RowGradient, ...] | None
"""Of a server's whole range, or of some rows; None where it is left out."""


def contributor(virtual_worker: int) -> str:
    """Return the name under which a virtual worker pushes to parameters out of step, whoever carries it out."""
    return f"virtual worker {virtual_worker}"


class Push(NamedTuple):
    """An asynchronous push, applied as it comes; in a synchronous run, to parameters out of step.

    Parameters
    ----------
    worker : str
    number : pair of int
        Grows from push to push of a worker: a push that came before is not applied again.
    gradient : Gradient
    seen : int
        How many updates had been applied to the parameters that it was computed with; in a synchronous run, steps.
    """

    worker: str
    number: tuple[int, int]
    gradient: Gradient = None
    seen: int = 0


class LossSums(NamedTuple):
    """Sums over the rows of contributions: losses times weights, weights, rows, and how many contributions."""

    loss: float = 0.0
    weight: float = 0.0
    n_rows: int = 0
    pushes: int = 0

    def plus(self, other: LossSums) -> LossSums:
        """Return the sums over both.

        Examples
        --------
        >>> LossSums(0.5, 1.0, 1, 1).plus(LossSums(2.0, 3.0, 2, 1))
        LossSums(loss=2.5, weight=4.0, n_rows=3, pushes=2)
        """
        return LossSums(*map(add, self, other))


NO_ROWS = LossSums()


class WeightedGradient(NamedTuple):
    """A weighted sum of gradients, None where the weight is 0, and the sums over the rows that it was computed of."""

    weight: float
    total: Gradient
    sums: LossSums = NO_ROWS


class StepPart(NamedTuple):
    """Contribution of a virtual worker to a synchronous step; without gradients, it has no more rows."""

    virtual_worker: int
    weight: float
    gradients: Mapping[str, Any] | None
    sums: LossSums = NO_ROWS


class StepParts(NamedTuple):
    """Contributions of virtual workers to a synchronous step: tree nodes with partial sums (`WeightedGradient`).

    The servers keep the sums over the rows of an ``epoch`` until a step of another.
    """

    step: int
    nodes: tuple[Node, ...]
    epoch: int = 0


class Enter(NamedTuple):
    """A worker joins: bounded staleness counts its pushes from now on."""

    worker: str


class Leave(NamedTuple):
    """A worker leaves: nobody waits for it any more."""

    worker: str


Message: TypeAlias = Push | StepParts | Enter | Leave


class ReadRequest(NamedTuple):
    """A pull: the parameters to return, and the version to wait for.

    Parameters
    ----------
    worker : str
        The one whose clock must not be too far ahead; "" reads at once.
    version : int
        In a synchronous run: after this many updates.
    rows : tuple of (name, rows), optional
        Rows of the server's part of some fields, by default all that it has. An empty tuple: an acknowledgement is
        enough.
    """

    worker: str = ""
    version: int = 0
    rows: tuple[tuple[str, Array | slice], ...] | None = None


class ServerCounts(NamedTuple):
    """Counters of a server: updates, staleness of each push, and contributions of stragglers that came too late."""

    version: int
    staleness_counts: Counter[int]
    late: int


class Request(NamedTuple):
    """One remote call of a server: a single argument, as each is serialized by itself."""

    epoch: int
    messages: list[Message]
    wanted: ReadRequest


class Reply(NamedTuple):
    """Parameters as they were after ``version`` updates; where it is not ``ready`` the worker asks again."""

    ready: bool
    version: int
    values: tuple[Array, ...] = ()
