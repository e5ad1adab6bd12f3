"""Reductions about standardized features, answered from the features as they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from daskml_kit.engines.engine import Engine
from daskml_kit.engines.mapped import MappedEngine
from daskml_kit.reductions.gram import Scatter
from daskml_kit.typing import Array, Matrix


class ScaledEngine(MappedEngine):
    r"""An engine over :math:`(x - \mu) / \sigma` that never computes it.

    Standardizing is affine, so a linear predictor of the standardized features is one of the features:
    :math:`v^\top (x - \mu) / \sigma + c = w^\top x + b` with :math:`w = v / \sigma` and
    :math:`b = c - v^\top (\mu / \sigma)`.

    Parameters
    ----------
    engine : Engine
    mean, scale : array of shape (d,)
    """

    kind = "standardized"

    def __init__(self, engine: Engine, mean: Array, scale: Array) -> None:
        super().__init__(engine, unscaling(mean, scale), (mean.tobytes(), scale.tobytes()))
        self.mean, self.scale = mean, scale

    def _scatter(self, answer: Scatter) -> Scatter:
        others = np.zeros(len(answer.mean) - len(self.mean))
        by = np.concatenate([1 / self.scale, others + 1])
        mean = (answer.mean - np.concatenate([self.mean, others])) * by
        return answer._replace(mean=mean, product=answer.product * np.outer(by, by))

    def _rows(self, X: Matrix) -> Matrix:
        if not sp.issparse(X):
            return ((X - self.mean) / self.scale).astype(X.dtype, copy=False)
        if self.mean.any():
            raise ValueError("Cannot center sparse matrices: pass `with_mean=False` instead")
        return sp.csr_array(X.multiply(1 / self.scale))


def unscaling(mean: Array, scale: Array) -> Any:
    """Return the (d + 1, d + 1) CSR matrix that maps coefficients of standardized features to those of the features.

    Examples
    --------
    >>> unscaling(np.array([3.0]), np.array([2.0])) @ [4.0, 1.0]
    array([ 2., -5.])
    """
    d = len(mean)
    places = np.arange(d)
    rows, columns = np.concatenate([places, np.full(d, d), [d]]), np.concatenate([places, places, [d]])
    values = np.concatenate([1 / scale, -mean / scale, [1.0]])
    return sp.csr_array((values, (rows, columns)), shape=(d + 1, d + 1))
