"""Only the largest elements of a gradient are pushed; the rest is kept, and added to the next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from daskml_kit.errors import DataError
from daskml_kit.numerics.rows import Rows
from daskml_kit.parameter_server.layout import Layout
from daskml_kit.typing import Array


class TopK:
    """Compression with error feedback: what is not pushed now is pushed when it has grown.

    Parameters
    ----------
    share : float
        Of the elements of each array that are pushed, above 0 and at most 1.
    layout : Layout

    References
    ----------
    Y. Lin et al., Deep gradient compression, ICLR 2018; S. Stich et al., Sparsified SGD with memory, NeurIPS 2018.

    Examples
    --------
    >>> top = TopK(0.5, Layout.of({"w": np.zeros(2)}, 1))
    >>> top.compress({"w": np.array([3.0, 1.0])})["w"]
    Rows(rows=array([0]), values=array([3.]))
    >>> top.compress({"w": np.array([0.0, 1.0])})["w"]
    Rows(rows=array([1]), values=array([2.]))
    """

    def __init__(self, share: float, layout: Layout) -> None:
        self.share, self.layout = share, layout
        self._rest: dict[str, Array] = {}

    def compress(self, gradients: Mapping[str, Any]) -> dict[str, Any]:
        """Return for each array the rows with the largest elements."""
        return {name: self._largest(name, gradient) for name, gradient in gradients.items()}

    def _largest(self, name: str, gradient: Any) -> Any:
        if isinstance(gradient, Rows):
            raise DataError("top_k: expected whole gradients, got rows, which are few already")
        total = np.asarray(gradient) + self._rest.get(name, 0.0)
        if total.ndim == 0:
            return total
        sizes = np.abs(total.reshape(len(total), -1)).max(axis=1, initial=0.0)
        k = min(max(int(np.ceil(self.share * len(total))), 1), len(total))
        rows = np.sort(np.argpartition(sizes, len(total) - k)[len(total) - k :])
        values = total[rows]
        total[rows] = 0
        self._rest[name] = total
        return Rows(rows, values)
