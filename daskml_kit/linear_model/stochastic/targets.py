"""What margins and residuals are taken of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from daskml_kit.numerics.targets import OneVsRest, Read
from daskml_kit.typing import Array


class Readable(Protocol):
    """Reads the stored targets of some rows, a row of the result for each column of coefficients."""

    def read(self, y: Array, weight: Array | None, dtype: np.dtype) -> Read:
        """Return targets and weights."""


@dataclass(frozen=True)
class Opposite:
    """The targets of `OneVsRest` with the other sign: 1 for the label, as losses of a residual take them.

    Parameters
    ----------
    signs : OneVsRest
    """

    signs: OneVsRest

    def read(self, y: Array, weight: Array | None, dtype: np.dtype) -> Read:
        found = self.signs.read(y, weight, dtype)
        return found._replace(y=-found.y)
