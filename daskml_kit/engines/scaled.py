"""Questions about standardised features, answered from the features as they are."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from daskml_kit.engines.engine import Engine
from daskml_kit.engines.profile import Profile
from daskml_kit.queries.at import At, Eval
from daskml_kit.queries.gram import Gram, Scatter
from daskml_kit.queries.query import Query
from daskml_kit.queries.survey import Overview, Survey
from daskml_kit.typing import Array


class ScaledEngine(AbstractContextManager["ScaledEngine"]):
    r"""An engine over :math:`(x - \mu) / \sigma` that never computes it.

    Standardising is affine, so a linear predictor of the standardised features is one of the features:
    :math:`v^\top (x - \mu) / \sigma + c = w^\top x + b` with :math:`w = v / \sigma` and
    :math:`b = c - v^\top (\mu / \sigma)`. Points are mapped by this matrix, slopes and Hessians back by its transpose.

    Parameters
    ----------
    engine : Engine
    mean, scale : array of shape (d,)
    """

    def __init__(self, engine: Engine, mean: Array, scale: Array) -> None:
        self.engine, self.mean, self.scale = engine, mean, scale
        self.n_blocks = engine.n_blocks
        self.known: dict[Any, Any] | None = getattr(engine, "known", None)
        self._map = unscaling(mean, scale)

    @property
    def profile(self) -> Profile:
        return self.engine.profile

    def answer(self, query: Query) -> list[Any]:
        """Answer losses at points, the Gram matrix, and the survey.

        Raises
        ------
        TypeError
            For any other question.
        """
        if isinstance(query, At):
            mapped = replace(query, coef=query.coef @ self._map.T)
            return [self._back(answer, query.coef.shape[1]) for answer in self.engine.answer(mapped)]
        if isinstance(query, Gram):
            return [self._scatter(answer) for answer in self.engine.answer(query)]
        if isinstance(query, Survey):
            return [self._shared_overview(answer) for answer in self.engine.answer(query)]
        raise TypeError(f"{type(query).__name__} is not asked of standardised features")

    def relabel(self, change: Callable[[Any], Any]) -> None:
        self.engine.relabel(change)

    def __exit__(self, *details: object) -> None:
        return None

    def _back(self, answer: Eval, n_outputs: int) -> Eval:
        grad = (answer.grad.reshape(n_outputs, -1) @ self._map).ravel()
        if answer.hess is None:
            return Eval(answer.value, grad)
        whole = np.kron(np.eye(n_outputs), self._map)
        return Eval(answer.value, grad, whole.T @ answer.hess @ whole)

    def _scatter(self, answer: Scatter) -> Scatter:
        others = np.zeros(len(answer.mean) - len(self.mean))
        by = np.concatenate([1 / self.scale, others + 1])
        mean = (answer.mean - np.concatenate([self.mean, others])) * by
        return answer._replace(mean=mean, product=answer.product * np.outer(by, by))

    def _shared_overview(self, answer: Overview) -> Overview:
        """Scale the sample once for all fits on these rows."""
        shared: dict[Any, Any] = getattr(self.engine, "shared", {})
        key = ("scaled", id(answer), self.mean.tobytes(), self.scale.tobytes())
        if key not in shared:
            shared[key] = answer, self._overview(answer)  # the answer is kept, so that no other has its id
        overview: Overview = shared[key][1]
        return overview

    def _overview(self, answer: Overview) -> Overview:
        X = answer.sample_X
        if sp.issparse(X):
            if self.mean.any():
                raise ValueError("Cannot center sparse matrices: pass `with_mean=False` instead")
            return answer._replace(sample_X=sp.csr_array(X.multiply(1 / self.scale)))
        return answer._replace(sample_X=((X - self.mean) / self.scale).astype(X.dtype, copy=False))


def unscaling(mean: Array, scale: Array) -> Array:
    """Return the (d + 1, d + 1) matrix that maps coefficients of standardised features to those of the features.

    Examples
    --------
    >>> unscaling(np.array([3.0]), np.array([2.0])) @ [4.0, 1.0]
    array([ 2., -5.])
    """
    d = len(mean)
    matrix = np.eye(d + 1)
    matrix[:d, :d] = np.diag(1 / scale)
    matrix[d, :d] = -mean / scale
    return matrix
