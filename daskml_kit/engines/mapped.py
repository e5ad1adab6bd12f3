"""Reductions about features that are mapped for each fit, answered from the features that are there."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Any, Self

import numpy as np
import scipy.sparse as sp

from daskml_kit.engines.engine import Engine
from daskml_kit.engines.profile import Profile
from daskml_kit.reductions.gram import Gram, Scatter
from daskml_kit.reductions.loss import Eval, LossAt
from daskml_kit.reductions.reduction import Reduction
from daskml_kit.reductions.summary import DataSummary, Summary
from daskml_kit.typing import Array, Matrix


class MappedEngine:
    """Base of engines over features that are an affine function of those that another engine knows.

    Points are mapped by the matrix of the coefficients, gradients and Hessians back by its transpose.

    Parameters
    ----------
    engine : Engine
    coefficients : sparse matrix of shape (p + 1, q + 1)
        Maps coefficients of the q mapped features, the intercept last, to those of the p features.
    name : hashable
        Tells maps of a kind apart: what is made of a sample of rows is kept by it.
    """

    kind: str
    """What is done to the features."""

    def __init__(self, engine: Engine, coefficients: Any, name: Hashable) -> None:
        self.engine, self.name = engine, name
        self.n_blocks = engine.n_blocks
        self.known: dict[Any, Any] | None = getattr(engine, "known", None)
        self.shared: dict[Any, Any] = getattr(engine, "shared", {})
        self._map = coefficients

    @property
    def profile(self) -> Profile:
        return self.engine.profile

    def answer(self, reduction: Reduction) -> list[Any]:
        """Answer losses at points, the Gram matrix, and the survey.

        Raises
        ------
        TypeError
            For any other reduction.
        """
        if isinstance(reduction, LossAt):
            mapped = replace(reduction, coef=mapped_coefficients(self._map, reduction.coef))
            return [self._back(answer, reduction.coef.shape[1]) for answer in self.engine.answer(mapped)]
        if isinstance(reduction, Gram):
            return [self._scatter(answer) for answer in self.engine.answer(reduction)]
        if isinstance(reduction, Summary):
            return [self._shared_overview(answer) for answer in self.engine.answer(reduction)]
        raise TypeError(f"{type(reduction).__name__} is not asked of {self.kind} features")

    def relabel(self, change: Callable[[Any], Any]) -> None:
        self.engine.relabel(change)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        return None

    def _scatter(self, answer: Scatter) -> Scatter:
        """Return the scatter of the mapped features and the targets."""
        raise NotImplementedError

    def _rows(self, X: Matrix) -> Matrix:
        """Return rows mapped."""
        raise NotImplementedError

    def _back(self, answer: Eval, n_outputs: int) -> Eval:
        grad = (answer.grad.reshape(n_outputs, -1) @ self._map).ravel()
        if answer.hess is None:
            return Eval(answer.value, grad)
        whole = sp.csr_array(sp.kron(sp.eye_array(n_outputs), self._map))
        return Eval(answer.value, grad, whole.T @ answer.hess @ whole)

    def _shared_overview(self, answer: DataSummary) -> DataSummary:
        """Map the sample once for all fits on these rows."""
        key = (self.kind, self.name, id(answer))
        if key not in self.shared:
            found = answer._replace(sample_X=self._rows(answer.sample_X))
            self.shared[key] = answer, found  # the answer is kept, so that no other has its id
        summary: DataSummary = self.shared[key][1]
        return summary


def mapped_coefficients(matrix: Any, coef: Array) -> Array:
    """Return the coefficients, the last axis of ``coef``, mapped by a sparse matrix."""
    return np.asarray(coef.reshape(-1, coef.shape[-1]) @ matrix.T).reshape(*coef.shape[:-1], matrix.shape[0])
