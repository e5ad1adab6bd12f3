"""Adagrad a row at a time, for sparse rows of many features: a step costs what its row has numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from daskml_kit.linear_model.sgd_step import COEF, LinearSgdStep, state_name
from daskml_kit.numerics.losses import (
    BoundedHuber,
    EpsilonInsensitive,
    Hinge,
    Logistic,
    Loss,
    ModifiedHuber,
    Squared,
    SquaredEpsilonInsensitive,
    SquaredHinge,
)
from daskml_kit.optim.rules import Adagrad
from daskml_kit.parameter_server.training.minibatches import Minibatch
from daskml_kit.parameter_server.training.updates import Contribution
from daskml_kit.typing import Array

KINDS: tuple[type[Loss], ...] = (
    Logistic,
    Hinge,
    SquaredHinge,
    ModifiedHuber,
    Squared,
    BoundedHuber,
    EpsilonInsensitive,
    SquaredEpsilonInsensitive,
)
"""Losses in the order of their numbers in `daskml_kit.numerics.compiled`."""


@dataclass(frozen=True, eq=False)
class RowSgdStep(LinearSgdStep):
    r"""Steps of Adagrad for each row of a minibatch, compiled.

    The penalty's steps are taken when a feature is next seen, and bound the rate: see
    `daskml_kit.numerics.compiled.adagrad_rows`.

    References
    ----------
    J. Duchi, E. Hazan & Y. Singer, Adaptive subgradient methods for online learning and stochastic optimization, JMLR
    12, 2011 (composite mirror descent); J. Langford, L. Li & T. Zhang, Sparse online learning via truncated gradient,
    JMLR 10, 2009 (lazy updates).
    """

    def compute(self, params: dict[str, Array], batches: Iterable[Minibatch]) -> Contribution:
        """Make a step for each row."""
        from daskml_kit.numerics import compiled  # Numba takes a second to import: only where much is to do

        count, squares = state_name(0), state_name(1)
        coef, sums = params[COEF].copy(), params[squares].copy()
        settings, before = self._settings(), float(params[count])
        table = np.empty((coef.shape[1], 2 * len(coef) + 2))
        compiled.fill_table(table, coef, sums, self.preconditioner.scale, before)
        loss, n_rows = 0.0, 0
        for batch in batches:
            if batch.y is None:
                raise TypeError("rows without targets")
            y, weight = self.target.read(batch.y, batch.weight, np.dtype(np.float64))
            weight = np.ones((1, batch.n_rows)) if weight is None else np.atleast_2d(weight).astype(np.float64)
            rows = batch.X.indices, batch.X.data, batch.X.indptr
            loss += compiled.adagrad_rows(rows, y, weight, table, settings, before + n_rows)
            n_rows += batch.n_rows
        total = compiled.take_last_steps(table, settings, before + n_rows, coef, sums)
        moved = {COEF: coef, count: np.array(float(n_rows)), squares: sums}
        return Contribution(loss / n_rows + total if n_rows else 0.0, float(n_rows), n_rows, moved, moved)

    def _settings(self) -> tuple[int, float, float, float, float, float, bool]:
        rule, loss = self.rule, self.row_loss
        if not isinstance(rule, Adagrad):
            raise TypeError(f"steps of rows: expected Adagrad, got {type(rule).__name__}")
        bound = loss.threshold if isinstance(loss, Hinge) else getattr(loss, "epsilon", 0.0)
        alpha, l1 = self.penalty.alpha, self.penalty.l1_ratio
        kind = KINDS.index(type(loss))
        return kind, float(bound), rule.rate(1), rule.eps, alpha * l1, alpha * (1 - l1), self.fit_intercept
