"""Local stochastic gradient steps of linear models, in preconditioned coordinates."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import scipy.sparse as sp

from daskml_kit.numerics.losses import Loss, Terms
from daskml_kit.numerics.penalties import Shrinkage, shrink
from daskml_kit.numerics.targets import OneVsRest, Read
from daskml_kit.optim import State, Update, adagrad, adam, constant, inverse_scaling, momentum, optimal, sgd
from daskml_kit.optim.rules import Adagrad, Adam, Momentum, Sgd
from daskml_kit.parameter_server.training.minibatches import Minibatch
from daskml_kit.parameter_server.training.updates import Contribution, WorkerStep
from daskml_kit.typing import Array, Matrix


@dataclass(frozen=True, eq=False)
class Preconditioner:
    r"""Diagonal preconditioner: coefficients u of the features :math:`(x - m) / s` in place of w of x.

    The models are the same, the steps are others.

    A vector holds the coefficients of the features and then the intercept, b in place of :math:`b + w^\top m`.

    Parameters
    ----------
    scale : array of shape (n_features + 1,)
        s above; the last, the intercept's, is 1.
    shift : array of shape (n_features,), optional
        m above; None is zero.
    norm : float
        The expected norm of a preconditioned row, its 1 for the intercept included.
    target_scale : float
        The standard deviation of the targets where the loss is of their size, else 1.

    Examples
    --------
    >>> scaling = Preconditioner(np.array([2.0, 1.0]), np.array([10.0]))
    >>> scaling.enter(np.array([[3.0, 1.0]]))
    array([[ 6., 31.]])
    >>> scaling.leave(np.array([[6.0, 31.0]]))
    array([[3., 1.]])
    """

    scale: Array
    shift: Array | None = None
    norm: float = 1.0
    target_scale: float = 1.0

    def enter(self, coef: Array) -> Array:
        """Return u for coefficients w, of shape (n_columns, n_features + 1)."""
        inside = coef * self.scale
        if self.shift is not None:
            inside[:, -1] += coef[:, :-1] @ self.shift
        return inside

    def leave(self, inside: Array) -> Array:
        """Return w for u."""
        coef = inside / self.scale
        if self.shift is not None:
            coef[:, -1] -= coef[:, :-1] @ self.shift
        return coef


def identity(n_features: int) -> Preconditioner:
    """Return the preconditioner that leaves the features as they are."""
    return Preconditioner(np.ones(n_features + 1))


def standardized(sample: Matrix, weight: Array, *, centered: bool, target_scale: float = 1.0) -> Preconditioner:
    r"""Return the preconditioner that gives the features of a sample one scale.

    The scale is :math:`\sqrt{\sum z^4 / \sum z^2}`: that of the values which a feature has where it has one, so that a
    rare indicator is not blown up, as its standard deviation would. CSR is not centered: its zeros stay; a feature that
    the sample has no number of has the scale of all numbers.

    Parameters
    ----------
    sample : array of shape (n, n_features), or CSR
    weight : array of shape (n,)
    centered : bool

    Examples
    --------
    >>> standardized(np.array([[1.0, 5.0], [3.0, 5.0]]), np.ones(2), centered=True).scale
    array([1., 1., 1.])
    """
    total = weight.sum()
    shift = None
    if sp.issparse(sample):
        squares = sample.astype(np.float64).power(2)
        second, fourth = weight @ squares, weight @ squares.power(2)
    else:
        values = np.asarray(sample, np.float64)
        if centered:
            shift = weight @ values / total
            values = values - shift
        squares = values * values
        second, fourth = weight @ squares, weight @ (squares * squares)
    seen = fourth > (total * np.finfo(float).eps * (1 if shift is None else shift**2)) ** 2 / total
    unseen = fourth[seen].sum() / second[seen].sum() if shift is None and seen.any() else 1.0
    scale = np.sqrt(np.divide(fourth, second, out=np.full_like(second, unseen), where=seen))
    norm = float(np.sqrt(1 + np.sum(second[seen] / scale[seen] ** 2) / total))
    return Preconditioner(np.append(scale, 1.0), shift, norm, target_scale)


OPTIMIZERS = ("auto", "sgd", "momentum", "adagrad", "adam")
DECAY_POWER = 0.5
"""The power of the number of steps by which the rates of Adam and of momentum decay, so that they converge."""


ROW_RATE = 4
"""How many times larger Adagrad's rate is where a step is one of a row, and bounded by the penalty: measured on
weighted words, the loss after an epoch is 6 percent lower than at the rate of minibatches."""


def tuned_rule(optimizer: str, eta0: float | None, preconditioner: Preconditioner, *, by_row: bool = False) -> Update:
    """Return a rule for standardized features, with a rate that needs no tuning unless ``eta0`` gives one.

    The first steps of Adagrad and Adam change each coefficient by their rate. With one over the norm of a row, as a
    cautious guess, they change predictions by about one standard deviation of the targets.

    Parameters
    ----------
    optimizer : {"momentum", "adagrad", "adam"}
    eta0 : float, optional
    preconditioner : Preconditioner
    by_row : bool, default False
        Whether a step is one of a row.
    """
    norm, scale = preconditioner.norm, preconditioner.target_scale
    if optimizer == "adagrad":
        return adagrad(eta0 or (ROW_RATE if by_row else 1) * scale / norm)
    if optimizer == "adam":
        return adam(inverse_scaling(eta0 or scale / norm / 4, DECAY_POWER))
    return momentum(inverse_scaling(eta0 or 1 / norm**2, DECAY_POWER))


def named_rule(learning_rate: str, eta0: float, power_t: float, alpha: float) -> Update:
    """Return plain descent with scikit-learn's learning rate of this name, a step being a minibatch.

    References
    ----------
    L. Bottou, Stochastic gradient descent tricks, 2012 ("optimal").

    Examples
    --------
    >>> named_rule("optimal", 0.01, 0.5, 1e-4).rate(1)
    10.0
    """
    if learning_rate in ("constant", "adaptive"):
        return sgd(constant(eta0))
    if learning_rate in ("pa1", "pa2"):
        return sgd(constant(1.0))
    if learning_rate == "invscaling":
        return sgd(inverse_scaling(eta0, power_t))
    return sgd(optimal(alpha, 1 / (alpha * alpha**-0.25)))


def long_run_step(rule: Update, state: State) -> float | Array:
    """Return the step of a rule, in each coordinate, where the gradient has been 1 for long.

    The proximal step of the l1 norm may go as far, for both to be in balance where they should be.

    Examples
    --------
    >>> rule = adagrad(0.5)
    >>> long_run_step(rule, (np.array(1.0), np.array([4.0, 1.0])))
    array([0.25, 0.5 ])
    """
    step = max(int(state[0]), 1)
    if isinstance(rule, Adagrad):
        return np.asarray(rule.rate(step) / (np.sqrt(state[1]) + rule.eps))
    if isinstance(rule, Adam):
        return np.asarray(rule.rate(step) / (np.sqrt(state[2] / (1 - rule.b2**step)) + rule.eps))
    if isinstance(rule, Momentum):
        return rule.rate(step) / (1 - rule.decay)
    if isinstance(rule, Sgd):
        return rule.rate(step)
    raise TypeError(f"{type(rule).__name__} has no long-run step")


class TargetReader(Protocol):
    """Reader of the stored targets of some rows, a row of the result for each column of coefficients."""

    def read(self, y: Array, weight: Array | None, dtype: np.dtype) -> Read:
        """Return targets and weights."""


@dataclass(frozen=True)
class ResidualTargets:
    """Targets of `OneVsRest` with the other sign: 1 for the label, as losses of a residual take them.

    Parameters
    ----------
    signs : OneVsRest
    """

    signs: OneVsRest

    def read(self, y: Array, weight: Array | None, dtype: np.dtype) -> Read:
        found = self.signs.read(y, weight, dtype)
        return found._replace(y=-found.y)


@dataclass(frozen=True)
class PassiveAggressive:
    r"""Passive-aggressive steps: as far as a row's loss asks for, in the direction of its gradient.

    The step of a row is :math:`\min(C, \ell / \|x\|^2)` ("pa1") or :math:`\ell / (\|x\|^2 + 1 / 2C)` ("pa2").

    Parameters
    ----------
    kind : {"pa1", "pa2"}
    aggressiveness : float
        C above.

    References
    ----------
    K. Crammer et al., Online passive-aggressive algorithms, JMLR 7, 2006.

    Examples
    --------
    >>> steps, X = PassiveAggressive("pa1", 1.0), np.array([[1.0, 0.0], [1.0, 1.0], [2.0, 0.0]])
    >>> steps.gradient(np.array([[0.0, 8.0, 1.0]]), np.array([[0.0, -1.0, -1.0]]), X)
    array([[ 0.  , -1.  , -0.25]])
    """

    kind: str
    aggressiveness: float

    def gradient(self, loss: Array, gradient: Array, X: Matrix) -> Array:
        """Return the gradient of each row, of shape (n_columns, n), whose unit step is the passive-aggressive one."""
        squares = X.multiply(X).sum(axis=1) if sp.issparse(X) else np.einsum("ij,ij->i", X, X)
        norms = np.asarray(squares, loss.dtype).reshape(-1)
        if self.kind == "pa2":
            step = loss / (norms + 0.5 / self.aggressiveness)
        else:
            bounded = np.divide(loss, norms, out=np.zeros_like(loss), where=norms > 0)
            step = np.minimum(bounded, self.aggressiveness)
        return np.asarray(step * np.sign(gradient))


COEF, MEAN = "coef", "mean"


@dataclass(frozen=True, eq=False)
class LinearSgdStep(WorkerStep):
    r"""Local SGD on :math:`\frac1n \sum_i s_i \ell(y_i, x_i^\top w + b) + \alpha R(w)` for all columns at once.

    The parameters are ``coef`` of shape (n_columns, n_features + 1), preconditioned; the state of ``rule``, which
    workers take over from each other with the parameters; and with ``average_from`` the ``mean`` of ``coef`` over all
    steps from that one on. The contribution is their change by the minibatches.

    Parameters
    ----------
    row_loss : Loss
    target : TargetReader
    penalty : Shrinkage
    rule : Update
    preconditioner : Preconditioner
    fit_intercept : bool
    average_from : float, optional
        The first step whose result counts in the mean.
    most_batches : int
        The most minibatches between two pushes.
    passive_aggressive : PassiveAggressive, optional
        Steps in place of the gradients'; the penalty's then have the rate ``aggressiveness``.
    """

    row_loss: Loss
    target: TargetReader
    penalty: Shrinkage
    rule: Update
    preconditioner: Preconditioner
    fit_intercept: bool = True
    average_from: float | None = None
    most_batches: int = 64
    passive_aggressive: PassiveAggressive | None = None
    local = True

    def start(self, coef: Array) -> dict[str, Array]:
        """Return the parameters where training begins with ``coef``, those of the features."""
        inside = self.preconditioner.enter(np.asarray(coef, np.float64))
        state = {state_name(i): array.astype(np.float64) for i, array in enumerate(self.rule.init(inside))}
        mean = {} if self.average_from is None else {MEAN: inside.copy()}
        return {COEF: inside, **state, **mean}

    def end(self, params: dict[str, Array]) -> Array:
        """Return the coefficients of the features, the mean where it has begun."""
        return self.preconditioner.leave(self._result(params))

    def loss(self, params: dict[str, Array], batch: Minibatch) -> float:
        """Return the mean loss of rows, without penalty, at the coefficients that training would end with."""
        with np.errstate(over="ignore", invalid="ignore"):
            value, _ = self._terms(self._result(params) / self.preconditioner.scale, batch)
        return float(value.sum() / batch.mass) if batch.mass else 0.0

    def compute(self, params: dict[str, Array], batches: Iterable[Minibatch]) -> Contribution:
        """Make a step for each minibatch."""
        own = {name: array.copy() for name, array in params.items()}
        inverse = 1 / self.preconditioner.scale
        gradients = np.zeros_like(own[COEF])
        loss, n_rows = 0.0, 0
        with np.errstate(over="ignore", invalid="ignore"):
            for batch in batches:
                loss += self._gradients(own[COEF] * inverse, batch, gradients)
                gradients *= inverse
                self._move(own, gradients, inverse)
                n_rows += batch.n_rows
            total = 0.0 if self.passive_aggressive else self.penalty.value((own[COEF] * inverse)[:, :-1])
        moved = {name: own[name] - array for name, array in params.items()}
        return Contribution(loss / n_rows + total if n_rows else 0.0, float(n_rows), n_rows, moved, moved)

    @property
    def _penalty_rate(self) -> float:
        return 1.0 if self.passive_aggressive is None else self.passive_aggressive.aggressiveness

    def _result(self, params: dict[str, Array]) -> Array:
        begun = self.average_from is not None and params[state_name(0)] >= self.average_from
        return params[MEAN] if begun else params[COEF]

    def _gradients(self, coef: Array, batch: Minibatch, out: Array) -> float:
        """Write the gradient of the mean of rows and the smooth penalty, in the scale of the features; return a loss.

        ``coef`` are those of the shifted features; the loss is a sum over rows and columns.
        """
        value, gradient = self._terms(coef, batch)
        gradient /= batch.n_rows
        weights = out[:, :-1]
        if sp.issparse(batch.X):
            weights[:] = (batch.X.T @ gradient.T).T
        elif gradient.dtype == out.dtype:
            np.matmul(gradient, batch.X, out=weights)
        else:
            weights[:] = gradient @ batch.X
        total = gradient.sum(axis=1, dtype=np.float64)
        if self.preconditioner.shift is not None:
            weights -= total[:, None] * self.preconditioner.shift
        if self.penalty.alpha:
            weights += self._penalty_rate * self.penalty.gradient(coef[:, :-1])
        out[:, -1] = total if self.fit_intercept else 0
        return float(value.sum())

    def _terms(self, coef: Array, batch: Minibatch) -> tuple[Array, Array]:
        X = batch.X if batch.X.dtype.kind == "f" else batch.X.astype(np.float64)
        raw = self._predict(coef, X)
        if batch.y is None:
            raise TypeError("rows without targets")
        y, weight = self.target.read(batch.y, batch.weight, raw.dtype)
        terms: Terms = self.row_loss.terms(raw, y, 1)
        value, gradient = terms.value, terms.gradient
        if self.passive_aggressive is not None:
            gradient = self.passive_aggressive.gradient(value, gradient, X)
        if weight is None:
            return value, gradient
        return value * weight, (gradient * weight).astype(raw.dtype, copy=False)

    def _predict(self, coef: Array, X: Matrix) -> Array:
        shift, offset = self.preconditioner.shift, coef[:, -1]
        if shift is not None:
            offset = offset - coef[:, :-1] @ shift
        gradients = coef[:, :-1].astype(X.dtype, copy=False)
        raw: Array = np.ascontiguousarray((X @ gradients.T).T) if sp.issparse(X) else gradients @ X.T
        raw += offset[:, None].astype(raw.dtype, copy=False)
        return raw

    def _move(self, own: dict[str, Array], gradients: Array, inverse: Array) -> None:
        coef = own[COEF]
        state = tuple(array for name, array in own.items() if name not in (COEF, MEAN))
        self.rule.apply(gradients, state, coef)
        threshold = self._penalty_rate * self.penalty.alpha * self.penalty.l1_ratio
        if threshold:
            lengths = np.broadcast_to(long_run_step(self.rule, state), coef.shape)
            coef[:, :-1] = shrink(coef[:, :-1], threshold * (lengths * inverse)[:, :-1])
        if self.average_from is not None and state[0] >= self.average_from:
            mean = own[MEAN]
            mean += (coef - mean) / (state[0] - self.average_from + 1)


def state_name(position: int) -> str:
    """Return the name of an array of the rule's state."""
    return f"state {position}"
