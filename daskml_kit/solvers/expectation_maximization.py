"""Expectation-maximization of Gaussian mixtures, a pass an iteration."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, NamedTuple

import numpy as np

from daskml_kit.numerics.gaussian_components import Gaussians, MixtureSums, maximized
from daskml_kit.reductions.responsibilities import Responsibilities
from daskml_kit.typing import Array


class Mixture(NamedTuple):
    """End of expectation-maximization: components, their covariances, and the lower bound of each iteration.

    ``covariances`` is None where there was no iteration.
    """

    gaussians: Gaussians
    covariances: Array | None
    bounds: list[float]
    converged: bool

    @property
    def bound(self) -> float:
        """The last lower bound of the mean log-likelihood."""
        return self.bounds[-1] if self.bounds else -np.inf


def expectation_maximization(
    start: Gaussians,
    shift: Array,
    *,
    tol: float,
    max_iter: int,
    reg_covar: float,
    scatter: Array | None = None,
    bound: float = -np.inf,
) -> Generator[Any, Any, Mixture]:
    """Improve the components until the mean log-likelihood gains less than ``tol`` (Dempster, Laird and Rubin 1977).

    Parameters
    ----------
    start : Gaussians
        Their means are less the shift.
    shift : array of shape (n_features,)
        Subtracted from the rows; for "tied" covariances the mean of the rows.
    tol : float
    max_iter : int
    reg_covar : float
        Added to variances.
    scatter : array of shape (n_features, n_features), optional
        Products of all rows about their mean, which "tied" covariances need.
    bound : float, optional
        Mean log-likelihood before the first iteration.
    """
    gaussians, covariances = start, None
    bounds: list[float] = []
    for _ in range(max_iter):
        found: MixtureSums = yield Responsibilities(gaussians, shift)
        gaussians, covariances = maximized(gaussians, found, reg_covar, scatter)
        before, bound = bound, found.log_likelihood / found.n_rows
        bounds.append(bound)
        if abs(bound - before) < tol:
            return Mixture(gaussians, covariances, bounds, True)
    if not max_iter:
        yield Responsibilities(gaussians, shift)  # finds a NaN
    return Mixture(gaussians, covariances, bounds, False)
