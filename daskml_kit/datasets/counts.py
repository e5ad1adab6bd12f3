"""Counts that follow a log-linear model, for Poisson regression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
from sklearn.utils import check_random_state

from daskml_kit.datasets.arguments import check_counts, check_numbers
from daskml_kit.datasets.chunks import Chunks
from daskml_kit.datasets.layout import arrays
from daskml_kit.datasets.rows import Recipe, Rows, draw_seed
from daskml_kit.typing import Array

LARGEST_MEAN = 2.0**62  # of a Poisson count that an int64 holds


@dataclass(frozen=True, eq=False)
class Counts(Recipe):
    """Standard normal rows, and counts of mean exp(X @ coef), with coef of shape (n_features,)."""

    coef: Array

    @property
    def width(self) -> int:
        return len(self.coef)

    def draw(self, rng: np.random.Generator, rows: Array) -> tuple[Array, ...]:
        X = rng.standard_normal((len(rows), self.width))
        logarithm = X @ self.coef
        if (logarithm > np.log(LARGEST_MEAN)).any():
            raise ValueError(f"scale: too large, a count of mean exp({logarithm.max():.1f}) does not fit in an int64")
        return X, rng.poisson(np.exp(logarithm))


def make_counts(
    n_samples: int = 1000,
    n_features: int = 100,
    n_informative: int = 2,
    scale: float = 1.0,
    chunks: Chunks = None,
    random_state: Any = None,
) -> tuple[da.Array, da.Array]:
    """Generate counts that depend on a few features, block by block.

    ``y ~ Poisson(exp(X @ coef))`` with standard normal X, and coefficients that are uniform between ``-scale`` and 0
    for ``n_informative`` features, and 0 for the others.

    Parameters
    ----------
    n_samples : int
    n_features : int
    n_informative : int
        Features that the counts depend on.
    scale : float
        Size of the coefficients.
    chunks : int or tuple of int, optional
        Rows a block, or the rows of each; by default blocks of about 16 MiB. The rows are the same for any.
    random_state : int, RandomState or None

    Returns
    -------
    X : dask array of shape (n_samples, n_features), float64
    y : dask array of shape (n_samples,), int64

    Raises
    ------
    ValueError
        Where an argument is out of range; when computed, where ``scale`` makes counts too large for an int64.

    Examples
    --------
    >>> X, y = make_counts(n_samples=1000, n_features=5, random_state=0)
    >>> y.compute().min()
    np.int64(0)
    """
    check_counts(1, n_samples=n_samples, n_features=n_features)
    check_counts(0, n_informative=n_informative)
    check_numbers(scale=scale)
    if n_informative > n_features:
        raise ValueError(f"n_informative: expected at most n_features={n_features}, got {n_informative}")
    state = check_random_state(random_state)
    coef = np.zeros(n_features)
    informative = state.choice(n_features, n_informative, replace=False)
    coef[informative] = (state.uniform(size=n_informative) - 1) * scale
    X, y = arrays(Rows(Counts(coef), n_samples, draw_seed(state)), chunks)
    return X, y
