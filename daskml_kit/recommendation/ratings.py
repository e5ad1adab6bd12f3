"""The predicted ratings of a fitted factorisation, free of Dask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from daskml_kit.numerics.factorisation import FactorisationLoss
from daskml_kit.recommendation.pairs import whole_pairs
from daskml_kit.typing import Array


@dataclass(frozen=True, eq=False)
class Ratings:
    """Predicts ratings; a user or an item that is not known has no factors and no bias.

    Parameters
    ----------
    params : dict of arrays
        By the names of `FactorisationLoss`.
    mean : float
    """

    params: dict[str, Array]
    mean: float

    def predict(self, X: Any) -> Array:
        """Return the rating of each pair, of shape (n,)."""
        pairs = whole_pairs(X)
        sizes = np.array([len(self.params["user_factors"]), len(self.params["item_factors"])])
        known = (pairs >= 0) & (pairs < sizes)
        both = known.all(axis=1)
        rating = np.full(len(pairs), self.mean, self.params["user_factors"].dtype)
        rating[both] = FactorisationLoss(mean=self.mean).predict(self.params, pairs[both])
        for side, name in enumerate(("user_biases", "item_biases")):
            if name in self.params:
                alone = known[:, side] & ~both
                rating[alone] += self.params[name][pairs[alone, side]]
        return rating
