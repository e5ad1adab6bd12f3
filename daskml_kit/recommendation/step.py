"""What a trainer does with a mini-batch of ratings: it asks for the rows of the tables that these have, and no more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from daskml_kit.numerics.factorisation import NAMES, FactorisationLoss
from daskml_kit.numerics.rows import Rows
from daskml_kit.parameter_server.training.batches import Batch
from daskml_kit.parameter_server.training.steps import Contribution
from daskml_kit.recommendation.pairs import whole_pairs
from daskml_kit.typing import Array


@dataclass(frozen=True)
class RatingSteps:
    """Gradients of the rows that mini-batches touch, each the mean over its ratings in its mini-batch.

    Those of several mini-batches, and of several lanes, add up: a row that only one of them touches goes a whole step.

    Parameters
    ----------
    model : FactorisationLoss
    biases : bool
    """

    model: FactorisationLoss
    biases: bool
    most_batches: int = 4
    by_rows: ClassVar[bool] = True
    local: ClassVar[bool] = False

    def needs(self, batches: list[Batch]) -> Mapping[str, Array]:
        """Return the users and items of mini-batches, by the names of their tables."""
        sides = [np.unique(np.concatenate([whole_pairs(b.X)[:, side] for b in batches])) for side in (0, 1)]
        return {name: sides[i % 2] for i, name in enumerate(NAMES) if i < 2 or self.biases}

    def contribute(self, params: dict[str, Array], batches: Iterable[Batch]) -> Contribution:
        """Return what comes of mini-batches at the rows that they need."""
        batches = list(batches)
        rows = self.needs(batches)
        found: dict[str, list[Rows]] = {name: [] for name in rows}
        loss, n_rows = 0.0, 0
        for batch in batches:
            pairs = whole_pairs(batch.X)
            places = [np.searchsorted(rows[name], pairs[:, i]) for i, name in enumerate(NAMES[:2])]
            value, grads = self.model(params, np.column_stack(places), np.asarray(batch.y))
            for name, grad in grads.items():
                found[name].append(Rows(rows[name][grad.rows], grad.values))
            loss, n_rows = loss + value * batch.n_rows, n_rows + batch.n_rows
        arrays = {name: Rows(*(np.concatenate(part) for part in zip(*own, strict=True))) for name, own in found.items()}
        return Contribution(loss / max(n_rows, 1), float(n_rows), n_rows, arrays)

    def loss(self, params: dict[str, Array], batch: Batch) -> float:
        return self.model(params, whole_pairs(batch.X), np.asarray(batch.y))[0]
