"""Blocks on the workers of a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dask
from dask.delayed import Delayed
from distributed import Client, Future, futures_of, wait

from daskml_kit.engines.capacity import fits
from daskml_kit.engines.shards import choose_holders
from daskml_kit.model_selection.adaptive.sources import Sides, joined


class Held:
    """The blocks of a search on a cluster: persisted where they fit, else computed while models visit them.

    Parameters
    ----------
    client : distributed.Client
    sides : Sides
    """

    def __init__(self, client: Client, sides: Sides) -> None:
        self._client = client
        self._recipes = sides.train
        self.persisted = fits(client, sides.n_bytes) or not sides.separable
        test = dask.delayed(joined)([list(recipe.parts) for recipe in sides.test])
        rows = [part for recipe in sides.train for part in recipe.parts] if self.persisted else []
        futures = _started(client, [*rows, test])
        wait(futures)
        for future in futures:
            if future.status != "finished":
                future.result()
        *held, self.test = futures
        width = len(sides.train[0].parts)
        self._blocks = [tuple(held[i : i + width]) for i in range(0, len(held), width)]
        self._homes = self._find_homes()

    @property
    def n_blocks(self) -> int:
        return len(self._recipes)

    def block(self, number: int) -> tuple[Future, ...]:
        """Return the parts of a block; one that is not persisted is forgotten when nothing waits for it any more."""
        if self.persisted:
            return self._blocks[number]
        return tuple(_started(self._client, self._recipes[number].parts))

    def place(self, number: int) -> dict[str, Any]:
        """Return the options by which a task is put beside a block, if that lies anywhere."""
        return {"workers": [self._homes[number]], "allow_other_workers": True} if self._homes else {}

    def _find_homes(self) -> list[str]:
        first = [parts[0] for parts in self._blocks]
        if not first:
            return []
        holders, workers = self._client.who_has(first), sorted(self._client.nthreads())
        sizes = self._client.nbytes([future.key for future in first], summary=False)
        return choose_holders(
            [holders.get(future.key) or workers for future in first], [sizes.get(future.key, 0) for future in first]
        )


def _started(client: Client, tasks: Sequence[Delayed]) -> list[Future]:
    return [futures_of(task)[0] for task in client.persist(list(tasks))]
