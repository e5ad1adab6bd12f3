"""Oracles answer with value and gradient at a point; the data term is one, and each transform wraps another."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from daskml_kit.activity import note_loss
from daskml_kit.numerics.arrow import Arrow
from daskml_kit.numerics.losses import Loss, Softmax
from daskml_kit.numerics.targets import Target
from daskml_kit.reductions.loss import Eval, LossAt
from daskml_kit.solvers.types import Asking, Oracle
from daskml_kit.solvers.views import StandardizedView, View, mapped_coefficients, seen, unscaling
from daskml_kit.typing import Array


def data_term(
    loss: Loss,
    target: Target,
    shape: tuple[int, int],
    scale: float,
    columns: Array | None = None,
    exclusive: tuple[int, int] | None = None,
    merged: bool = False,
) -> Oracle:
    """Return the oracle of ``scale`` times the summed loss, over coefficients of ``shape`` (outputs, features + 1).

    Where ``columns`` are given, these are the features; where ``exclusive`` ones are, Hessians are an `Arrow`. Equal
    rows are ``merged`` where that is asked for.
    """

    def oracle(w: Array, order: int, along: Array | None = None) -> Asking:
        direction = None if along is None else along.reshape(1, *shape)
        own = exclusive if order > 1 else None
        coef = w.reshape(1, *shape)
        sums = yield LossAt(loss, target, coef, order, None, direction, columns, own, merged)
        if along is None:
            note_loss(sums.value * scale)
        hess = None if sums.hess is None else sums.hess * scale
        if hess is not None and own is not None:
            hess = Arrow.unpacked(hess, shape[1], *own)
        return Eval(sums.value * scale, sums.grad * scale, hess)

    return oracle


def ridge(oracle: Oracle, strength: Array) -> Oracle:
    """Add half of ``strength`` (a number for each coefficient) times the squared coefficients."""

    def penalized(w: Array, order: int, along: Array | None = None) -> Asking:
        here = yield from oracle(w, order, along)
        if along is not None:
            return Eval(here.value + float(strength @ (along * along)), here.grad + strength * along)
        hess = here.hess
        if hess is not None:
            hess = hess.with_ridge(strength) if isinstance(hess, Arrow) else hess + np.diag(strength)
        return Eval(here.value + 0.5 * float(strength @ (w * w)), here.grad + strength * w, hess)

    return penalized


def restricted(oracle: Oracle, free: Array, size: int) -> Oracle:
    """Hold all but the ``free`` (indices) of ``size`` coefficients at zero; the new oracle takes the free ones."""

    def inner(w: Array, order: int, along: Array | None = None) -> Asking:
        whole, direction = np.zeros(size), None if along is None else np.zeros(size)
        whole[free] = w
        if direction is not None:
            direction[free] = along
        here = yield from oracle(whole, order, direction)
        return Eval(here.value, here.grad[free], None if here.hess is None else here.hess[np.ix_(free, free)])

    return inner


def behind(view: View, oracle: Oracle) -> Oracle:
    """Take coefficients of the features that ``view`` shows."""
    return lambda w, order, along=None: seen(view, oracle(w, order, along))


def from_center(coef: Array, center: Array) -> Array:
    """Return coefficients (k, d + 1) of features less ``center`` as those of the features; by ``-center``, back."""
    return mapped_coefficients(unscaling(center, np.ones_like(center)), coef)


def centered(oracle: Oracle, n_outputs: int, columns: Array, width: int) -> Oracle:
    """Pin the sum over outputs of the coefficients in ``columns`` to zero, where the loss does not see it.

    A softmax does not change when a constant is added to every output. Half the squared sum is added to the objective:
    it is zero at the minimum, and makes that minimum unique.
    """
    where = np.arange(n_outputs)[:, None] * width + columns

    def pinned(w: Array, order: int, along: Array | None = None) -> Asking:
        here = yield from oracle(w, order, along)
        total = (w if along is None else along)[where].sum(axis=0)
        grad = here.grad.copy()
        grad[where] += total
        hess = None if here.hess is None else here.hess.copy()
        if hess is not None:
            for column in where.T:
                hess[np.ix_(column, column)] += 1
        return Eval(here.value + (0.5 if along is None else 1.0) * float(total @ total), grad, hess)

    return pinned


def last_by_logarithm(oracle: Oracle, floor: float) -> Oracle:
    """Replace the last coefficient, which must be positive, by its logarithm.

    Steps then shrink it by a factor at most, while the others follow. The hessian that the change of variable adds is
    taken by its size, which keeps the Hessian of a convex objective positive. Once it is below ``floor`` (a logarithm),
    nothing pulls it further down.
    """

    def transformed(w: Array, order: int, along: Array | None = None) -> Asking:
        if along is not None:
            raise TypeError("a Hessian in a logarithm is not asked for along a direction")
        if w[-1] > 700:  # beyond, its exponential overflows
            return Eval(np.inf, np.full_like(w, np.nan))
        stretch = np.append(np.ones(len(w) - 1), np.exp(w[-1]))
        here = yield from oracle(np.append(w[:-1], stretch[-1]), order)
        grad = here.grad * stretch
        hess = None if here.hess is None else here.hess * np.outer(stretch, stretch)
        if hess is not None:
            hess[-1, -1] += abs(grad[-1])
        if w[-1] < floor and grad[-1] > 0:
            grad[-1] = 0
            if hess is not None:
                hess[-1, :-1] = hess[:-1, -1] = 0
        return Eval(here.value, grad, hess)

    return transformed


@dataclass(frozen=True, eq=False)
class Problem:
    """Minimize ``scale * sum(loss) + sum(l2 * w**2) / 2 + sum(l1 * abs(w))`` over the free coefficients.

    Parameters
    ----------
    loss : Loss
    target : Target
    shape : tuple of int
        Outputs and features + 1.
    free : array of int
        Which of the raveled coefficients are free; the others are zero.
    l2, l1 : array of shape (len(free),)
    scale : float
        One over the weight of all rows, as scikit-learn has it.
    start : array of shape (len(free),)
    log_floor : float, optional
        The last coefficient is positive, and fitted by its logarithm; below this it is as good as zero.
    center : array of shape (features,), optional
        Coefficients are those of features less this; all of them are free.
    columns : int array of shape (features,), optional
        The columns of X that the features are; by default all.
    exclusive : tuple of (int, int), optional
        The first of columns of which no row has two, and the one behind the last: Hessians are then an `Arrow`.
        There is one output, and all coefficients are free.
    merged : bool
        Whether equal rows of categories are taken as one.
    """

    loss: Loss
    target: Target
    shape: tuple[int, int]
    free: Array
    l2: Array
    l1: Array
    scale: float
    start: Array
    log_floor: float | None = None
    center: Array | None = None
    columns: Array | None = None
    exclusive: tuple[int, int] | None = None
    merged: bool = False

    @property
    def is_whole(self) -> bool:
        """True where all coefficients are free, as they are."""
        return len(self.free) == self.shape[0] * self.shape[1] and self.log_floor is None

    def about(self, center: Array) -> Problem:
        """Return the same problem in the coefficients of features less ``center``."""
        start = from_center(self.start.reshape(self.shape), -center).ravel()
        return replace(self, start=start, center=center)

    def of_columns(self, columns: Array) -> tuple[Problem, Array]:
        """Return the problem of some of its columns, and which of its free coefficients are free there."""
        k, width = self.shape
        where = np.full(k * width, -1)
        where[self.free] = np.arange(len(self.free))
        chosen = where.reshape(k, width)[:, np.append(columns, width - 1)].ravel()
        free = np.flatnonzero(chosen >= 0)
        own = chosen[free]
        parts = {name: getattr(self, name)[own] for name in ("l2", "l1", "start")}
        of_X = columns if self.columns is None else self.columns[columns]
        return replace(self, shape=(k, len(columns) + 1), free=free, columns=of_X, **parts), own

    def oracle(self) -> Oracle:
        """Return the smooth part."""
        size = self.shape[0] * self.shape[1]
        options = self.columns, self.exclusive, self.merged
        whole = data_term(self.loss, self.target, self.shape, self.scale, *options)
        if self.center is not None:
            # features far from zero make Hessians singular to rounding, together with the intercept
            whole = behind(StandardizedView(self.center, np.ones_like(self.center), None), whole)
        inner = whole if len(self.free) == size else restricted(whole, self.free, size)
        smooth = ridge(inner if self.log_floor is None else last_by_logarithm(inner, self.log_floor), self.l2)
        if not isinstance(self.loss, Softmax):
            return smooth
        width = len(self.free) // self.shape[0]
        loose = np.flatnonzero((self.l2 + self.l1)[:width] == 0)
        return centered(smooth, self.shape[0], loose, width)

    def unravel(self, w: Array) -> Array:
        """Return the coefficients of shape (outputs, features + 1), zeros where they are not free."""
        whole = np.zeros(self.shape[0] * self.shape[1])
        whole[self.free] = w
        if self.log_floor is not None:
            whole[self.free[-1]] = np.exp(w[-1])
        return whole.reshape(self.shape)
