"""What trainers say to a server, and what it replies."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple, TypeAlias

from daskml_kit.reductions.reduction import Node
from daskml_kit.typing import Array


class Terms(NamedTuple):
    """What trainers and servers have agreed on.

    Parameters
    ----------
    staleness : float
        0 for synchronous steps, else how many pushes a trainer may be ahead of the slowest; infinity for any.
    lanes : int
        Into how many pieces a synchronous step is divided.
    backup : int
        How many of these it does not wait for.
    on_nan : {"raise", "skip"}
        What becomes of a gradient with NaN or infinity.
    """

    staleness: float = 0
    lanes: int = 1
    backup: int = 0
    on_nan: str = "raise"


class RowGradient(NamedTuple):
    """The gradient of ``rows`` of a server's span, values of shape (n_rows, width)."""

    name: str
    rows: Array
    values: Array


Gradient: TypeAlias = Array | tuple[RowGradient, ...] | None
"""Of a server's whole range, or of some rows; None where it is left out."""


class Push(NamedTuple):
    """A contribution that is applied as it comes.

    Parameters
    ----------
    trainer : str
    number : pair of int
        Grows from push to push of a trainer: what has come before is not applied again.
    gradient : Gradient
    seen : int
        How many updates had been applied to what it was computed with.
    """

    trainer: str
    number: tuple[int, int]
    gradient: Gradient = None
    seen: int = 0


class Share(NamedTuple):
    """A weighted sum of gradients; None where the weight is 0."""

    weight: float
    total: Gradient


class Pieces(NamedTuple):
    """Contributions of some lanes to a synchronous step: nodes of the tree over all lanes, their partials `Share`."""

    step: int
    nodes: tuple[Node, ...]


class Enter(NamedTuple):
    """A trainer whose pace counts from now on."""

    trainer: str


class Leave(NamedTuple):
    """A trainer that nobody waits for any more."""

    trainer: str


Message: TypeAlias = Push | Pieces | Enter | Leave


class Wish(NamedTuple):
    """What a trainer wants to read, and when.

    Parameters
    ----------
    trainer : str
        The one whose clock must not be too far ahead; "" reads at once.
    version : int
        In a synchronous run: after this many updates.
    names : tuple of str, optional
        Fields; by default all.
    rows : tuple of (name, rows), optional
        Rows of the server's spans, in place of whole fields.
    nothing : bool
        An acknowledgement is enough.
    """

    trainer: str = ""
    version: int = 0
    names: tuple[str, ...] | None = None
    rows: tuple[tuple[str, Array], ...] | None = None
    nothing: bool = False


class Counts(NamedTuple):
    """What has happened to a server: updates, how many others each push had missed, pieces that came too late."""

    version: int
    lags: Counter[int]
    late: int


class Request(NamedTuple):
    """What one call of a server brings and asks for: one argument, as each is packed by itself."""

    epoch: int
    messages: list[Message]
    wish: Wish


class Reply(NamedTuple):
    """Parameters as they were after ``version`` updates; not ``ready`` where the trainer has to ask again."""

    ready: bool
    version: int
    values: tuple[Array, ...] = ()
