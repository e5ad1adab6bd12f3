"""Which workers hold which range of the parameters, as everybody may read it off the scheduler."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

from daskml_kit.parameter_server.shard import actor_at


class Place(NamedTuple):
    """An actor: its key and its worker's address."""

    key: str
    address: str

    def actor(self) -> Any:
        """Return the actor; its methods run where it is."""
        return actor_at(*self)


class Server(NamedTuple):
    """One range: its ``epoch`` grows whenever another actor takes over or follows."""

    epoch: int
    primary: Place
    replica: Place | None


class View(NamedTuple):
    """All servers at one time; ``failure`` says why there are none any more."""

    servers: tuple[Server, ...]
    failure: str = ""

    def packed(self) -> list[Any]:
        """Return it in lists and strings, as a `distributed.Variable` takes it."""
        servers = [[s.epoch, list(s.primary), list(s.replica) if s.replica else None] for s in self.servers]
        return [servers, self.failure]

    @classmethod
    def unpacked(cls, packed: Any) -> Self:
        servers, failure = packed
        return cls(tuple(Server(e, Place(*p), Place(*r) if r else None) for e, p, r in servers), failure)
