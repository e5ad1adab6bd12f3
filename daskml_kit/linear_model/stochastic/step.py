"""What a trainer does with the mini-batches of a linear model: a step of its own for each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy.sparse as sp

from daskml_kit.linear_model.stochastic.coordinates import Coordinates
from daskml_kit.linear_model.stochastic.rules import stride
from daskml_kit.linear_model.stochastic.targets import Readable
from daskml_kit.numerics.losses import Loss, Terms
from daskml_kit.numerics.penalties import shrink
from daskml_kit.numerics.shrinkage import Shrinkage
from daskml_kit.parameter_server.training.batches import Batch
from daskml_kit.parameter_server.training.steps import Contribution
from daskml_kit.solvers.updates import Update
from daskml_kit.typing import Array, Matrix

COEF, MEAN = "coef", "mean"


@dataclass(frozen=True, eq=False)
class LinearSteps:
    r"""Steps on :math:`\frac1n \sum_i s_i \ell(y_i, x_i^\top w + b) + \alpha R(w)` for all columns at once.

    The parameters are ``coef`` of shape (n_columns, n_features + 1), in ``coordinates``; the state of ``rule``, which
    trainers take over from each other with the parameters; and with ``average_from`` the ``mean`` of ``coef`` over all
    steps from that one on. What comes of them is the way to where they are after the mini-batches.

    Parameters
    ----------
    row_loss : Loss
    target : Readable
    penalty : Shrinkage
    rule : Update
    coordinates : Coordinates
    fit_intercept : bool
    average_from : float, optional
        The first step whose result counts in the mean.
    """

    row_loss: Loss
    target: Readable
    penalty: Shrinkage
    rule: Update
    coordinates: Coordinates
    fit_intercept: bool = True
    average_from: float | None = None
    most_batches: int = 64
    by_rows: ClassVar[bool] = False
    local: ClassVar[bool] = True

    def start(self, coef: Array) -> dict[str, Array]:
        """Return the parameters where training begins with ``coef``, those of the features."""
        inside = self.coordinates.enter(np.asarray(coef, np.float64))
        state = {_name(i): array.astype(np.float64) for i, array in enumerate(self.rule.init(inside))}
        mean = {} if self.average_from is None else {MEAN: inside.copy()}
        return {COEF: inside, **state, **mean}

    def end(self, params: dict[str, Array]) -> Array:
        """Return the coefficients of the features, the mean where it has begun."""
        return self.coordinates.leave(self._result(params))

    def needs(self, batches: list[Batch]) -> None:
        return None

    def loss(self, params: dict[str, Array], batch: Batch) -> float:
        """Return the mean loss of rows, without penalty, at what training would end with."""
        with np.errstate(over="ignore", invalid="ignore"):
            value, _ = self._terms(self._result(params) / self.coordinates.scale, batch)
        return float(value.sum() / batch.mass) if batch.mass else 0.0

    def contribute(self, params: dict[str, Array], batches: Iterable[Batch]) -> Contribution:
        """Make a step for each mini-batch."""
        own = {name: array.copy() for name, array in params.items()}
        inverse = 1 / self.coordinates.scale
        slopes = np.zeros_like(own[COEF])
        loss, n_rows = 0.0, 0
        with np.errstate(over="ignore", invalid="ignore"):
            for batch in batches:
                loss += self._slopes(own[COEF] * inverse, batch, slopes)
                slopes *= inverse
                self._move(own, slopes, inverse)
                n_rows += batch.n_rows
            total = self.penalty.value((own[COEF] * inverse)[:, :-1])
        way = {name: own[name] - array for name, array in params.items()}
        return Contribution(loss / n_rows + total if n_rows else 0.0, float(n_rows), n_rows, way, way)

    def _result(self, params: dict[str, Array]) -> Array:
        begun = self.average_from is not None and params[_name(0)] >= self.average_from
        return params[MEAN] if begun else params[COEF]

    def _slopes(self, coef: Array, batch: Batch, out: Array) -> float:
        """Write the gradient of the mean of rows and the smooth penalty, in the scale of the features; return a loss.

        ``coef`` are those of the shifted features; the loss is a sum over rows and columns.
        """
        value, slope = self._terms(coef, batch)
        slope /= batch.n_rows
        weights = out[:, :-1]
        if sp.issparse(batch.X):
            weights[:] = (batch.X.T @ slope.T).T
        elif slope.dtype == out.dtype:
            np.matmul(slope, batch.X, out=weights)
        else:
            weights[:] = slope @ batch.X
        total = slope.sum(axis=1, dtype=np.float64)
        if self.coordinates.shift is not None:
            weights -= total[:, None] * self.coordinates.shift
        if self.penalty.alpha:
            weights += self.penalty.slope(coef[:, :-1])
        out[:, -1] = total if self.fit_intercept else 0
        return float(value.sum())

    def _terms(self, coef: Array, batch: Batch) -> tuple[Array, Array]:
        X = batch.X if batch.X.dtype.kind == "f" else batch.X.astype(np.float64)
        raw = self._predict(coef, X)
        if batch.y is None:
            raise TypeError("rows without targets")
        y, weight = self.target.read(batch.y, batch.weight, raw.dtype)
        terms: Terms = self.row_loss.terms(raw, y, 1)
        if weight is None:
            return terms.value, terms.slope
        return terms.value * weight, (terms.slope * weight).astype(raw.dtype, copy=False)

    def _predict(self, coef: Array, X: Matrix) -> Array:
        shift, offset = self.coordinates.shift, coef[:, -1]
        if shift is not None:
            offset = offset - coef[:, :-1] @ shift
        slopes = coef[:, :-1].astype(X.dtype, copy=False)
        raw: Array = np.ascontiguousarray((X @ slopes.T).T) if sp.issparse(X) else slopes @ X.T
        raw += offset[:, None].astype(raw.dtype, copy=False)
        return raw

    def _move(self, own: dict[str, Array], slopes: Array, inverse: Array) -> None:
        coef = own[COEF]
        state = tuple(array for name, array in own.items() if name not in (COEF, MEAN))
        self.rule.apply(slopes, state, coef)
        threshold = self.penalty.alpha * self.penalty.l1_ratio
        if threshold:
            lengths = np.broadcast_to(stride(self.rule, state), coef.shape)
            coef[:, :-1] = shrink(coef[:, :-1], threshold * (lengths * inverse)[:, :-1])
        if self.average_from is not None and state[0] >= self.average_from:
            mean = own[MEAN]
            mean += (coef - mean) / (state[0] - self.average_from + 1)


def _name(position: int) -> str:
    """Return the name of an array of the rule's state."""
    return f"state {position}"
