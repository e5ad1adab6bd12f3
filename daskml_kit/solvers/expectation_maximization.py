"""Expectation-maximization of mixtures, a pass an iteration."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, NamedTuple, Protocol

import numpy as np

from daskml_kit.activity import note_loss
from daskml_kit.numerics.gaussian_components import Gaussians, MixtureSums
from daskml_kit.reductions.responsibilities import Responsibilities
from daskml_kit.typing import Array


class MixtureState(Protocol):
    """MixtureState of a mixture, with what is known of them beside."""

    @property
    def gaussians(self) -> Gaussians:
        """The densities by which responsibilities are made, their means less the shift."""


class Mixture(NamedTuple):
    """End of expectation-maximization: the components, the lower bound of each iteration, and whether it converged."""

    components: Any
    bounds: list[float]
    converged: bool

    @property
    def bound(self) -> float:
        """The last lower bound."""
        return self.bounds[-1] if self.bounds else -np.inf


def expectation_maximization(
    start: MixtureState,
    shift: Array,
    improve: Callable[[Any, MixtureSums], tuple[Any, float]],
    *,
    tol: float,
    max_iter: int,
    bound: float = -np.inf,
    entropies: bool = False,
) -> Generator[Any, Any, Mixture]:
    """Improve the components until the lower bound gains less than ``tol`` (Dempster, Laird and Rubin 1977).

    Parameters
    ----------
    start : MixtureState
    shift : array of shape (n_features,)
        Subtracted from the rows.
    improve : callable
        Makes of components, and of the sums of rows by their responsibilities, better ones and a lower bound.
    tol : float
    max_iter : int
    bound : float, optional
        Lower bound before the first iteration.
    entropies : bool, default False
        Whether ``improve`` needs the entropies of responsibilities.
    """
    components = start
    bounds: list[float] = []
    for _ in range(max_iter):
        found: MixtureSums = yield Responsibilities(components.gaussians, shift, entropies)
        before = bound
        components, bound = improve(components, found)
        bounds.append(bound)
        note_loss(-bound, "negative lower bound")
        if abs(bound - before) < tol:
            return Mixture(components, bounds, True)
    if not max_iter:
        yield Responsibilities(components.gaussians, shift)  # finds a NaN
    return Mixture(components, bounds, False)
