"""Losses of a linear predictor, with their first and second derivatives.

A loss sees one tile: ``raw`` of shape (n_columns, n_rows), a linear predictor a column of coefficients, and
targets that broadcast against it. It may write into ``raw``, a temporary of the pass. Constants that do not depend
on the predictor are dropped. Formulas are stable by ``exp(-abs(z))`` and use `numpy.exp`, which is vectorized.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from daskml_kit.numerics.targets import scratch
from daskml_kit.typing import Array


class Terms(NamedTuple):
    """The loss of each row and column, its gradient and its hessian in the predictor, all unweighted."""

    value: Array
    gradient: Array
    hessian: Array | None


class Loss(Protocol):
    """A loss; equal losses (frozen dataclasses) may be asked about in one pass."""

    def terms(self, raw: Array, y: Array, order: int) -> Terms:
        """Return the terms at the predictors ``raw``; hessian only where ``order`` is 2."""


def hessian_times(loss: Loss, raw: Array, y: Array, along: Array) -> Array:
    """Return the Hessian of a loss in its predictors at ``raw`` times ``along``; both may be written into.

    Examples
    --------
    >>> hessian_times(Poisson(), np.zeros((1, 2)), np.ones((1, 2)), np.array([[1.0, 2.0]]))
    array([[1., 2.]])
    """
    if isinstance(loss, Softmax):
        return loss.hessian_times(raw, along)
    hessian = loss.terms(raw, y, 2).hessian
    if hessian is None:
        raise TypeError(f"{type(loss).__name__} has no Hessian")
    return hessian * along if hessian.ndim == along.ndim else np.einsum("abn,bn->an", hessian, along)


@dataclass(frozen=True)
class Squared:
    r"""Half the squared error, :math:`\tfrac12 (y - z)^2`."""

    def terms(self, raw: Array, y: Array, order: int) -> Terms:
        gradient = np.subtract(raw, y, out=raw)
        return Terms(0.5 * gradient * gradient, gradient, np.ones_like(gradient) if order > 1 else None)


@dataclass(frozen=True)
class Logistic:
    r"""Binomial negative log-likelihood, :math:`\log(1 + e^{m})`: m = yz, y is -1 for the label and 1 for the rest."""

    def terms(self, raw: Array, y: Array, order: int) -> Terms:
        margin = np.multiply(raw, y, out=raw)
        growth = np.exp(margin, out=scratch("growth", margin.shape, margin.dtype))
        total = np.add(growth, 1, out=scratch("total", margin.shape, margin.dtype))
        wrong = np.divide(growth, total, out=growth)
        value = np.log(total, out=total)
        if not np.isfinite(value.max(initial=0)):  # the plain formulas overflow only for margins of hundreds
            decay = np.exp(-np.abs(margin))
            value = np.maximum(margin, 0) + np.log1p(decay)
            wrong = np.where(margin > 0, 1, decay) / (1 + decay)
        hessian = wrong * (1 - wrong) if order > 1 else None
        return Terms(value, np.multiply(wrong, y, out=wrong), hessian)


def compiled_terms(loss: Loss, raw: Array, y: Array, order: int) -> Terms:
    """Return the terms of a loss, by compiled loops where NumPy's are slow on some processors.

    Parameters are those of `Loss.terms`; ``raw`` is C-contiguous.
    """
    if not isinstance(loss, Logistic) or raw.dtype != np.float64:
        return loss.terms(raw, y, order)
    from daskml_kit.numerics.compiled_points import logistic_terms

    value, slope = (scratch(name, raw.shape, raw.dtype) for name in ("value", "slope"))
    spare = scratch("spare", raw.shape[1:], raw.dtype)
    for point, own in enumerate(raw):
        logistic_terms(own, y[point if len(y) > 1 else 0], value[point], slope[point], spare)
    wrong = np.abs(slope) if order > 1 else slope
    return Terms(value, slope, wrong * (1 - wrong) if order > 1 else None)


@dataclass(frozen=True)
class SquaredHinge:
    r"""Squared hinge, :math:`\max(0, 1 + m)^2` with m = yz, where y is -1 for the label and 1 for the rest."""

    def terms(self, raw: Array, y: Array, order: int) -> Terms:
        margin = np.multiply(raw, y, out=raw)
        margin += 1
        np.maximum(margin, 0, out=margin)
        hessian = 2.0 * (margin > 0) if order > 1 else None
        value = margin * margin
        margin *= 2
        return Terms(value, np.multiply(margin, y, out=margin), hessian)


@dataclass(frozen=True)
class Poisson:
    r"""Half Poisson deviance with log link, :math:`e^{z} - y z`."""

    def terms(self, raw: Array, y: Array, order: int) -> Terms:
        mean = np.exp(raw)
        return Terms(mean - y * raw, mean - y, mean if order > 1 else None)


@dataclass(frozen=True)
class Gamma:
    r"""Half Gamma deviance with log link, :math:`z + y e^{-z}`."""

    def terms(self, raw: Array, y: Array, order: int) -> Terms:
        ratio = y * np.exp(-raw)
        return Terms(raw + ratio, 1 - ratio, ratio if order > 1 else None)


@dataclass(frozen=True)
class Tweedie:
    r"""Half Tweedie deviance with log link, :math:`\frac{e^{(2-p)z}}{2-p} - y\frac{e^{(1-p)z}}{1-p}`, p not 1 or 2."""

    power: float

    def terms(self, raw: Array, y: Array, order: int) -> Terms:
        p = self.power
        fit, pull = np.exp((2 - p) * raw), y * np.exp((1 - p) * raw)
        hessian = (2 - p) * fit - (1 - p) * pull if order > 1 else None
        return Terms(fit / (2 - p) - pull / (1 - p), fit - pull, hessian)


@dataclass(frozen=True)
class TweedieIdentity:
    r"""Half Tweedie deviance with identity link; the predictor must stay positive where ``power`` is above 0.

    :math:`\tfrac12(y-z)^2` for p = 0, :math:`z - y\log z` for p = 1, :math:`\log z + y/z` for p = 2, else
    :math:`\frac{z^{2-p}}{2-p} - y\frac{z^{1-p}}{1-p}`. Outside its domain the loss is infinite.
    """

    power: float

    def terms(self, raw: Array, y: Array, order: int) -> Terms:
        p = self.power
        if p == 0:
            return Squared().terms(raw, y, order)
        with np.errstate(all="ignore"):
            if p == 1:
                value = raw - y * np.log(raw)
            elif p == 2:
                value = np.log(raw) + y / raw
            else:
                value = raw ** (2 - p) / (2 - p) - y * raw ** (1 - p) / (1 - p)
            gradient = raw ** (-p) * (raw - y)
            hessian = raw ** (-p) * ((1 - p) + p * y / raw) if order > 1 else None
        value[raw <= 0] = np.inf
        return Terms(value, gradient, hessian)


@dataclass(frozen=True)
class Huber:
    r"""Concomitant-scale Huber loss of a residual in units of the scale (Owen 2007, eq. 6).

    With the scale :math:`\sigma` in ``raw[1]`` (positive, the same for every row) and :math:`r = y - z`:
    :math:`\sigma + r^2/\sigma` inside :math:`|r| \le \epsilon\sigma`, else
    :math:`\sigma + 2\epsilon|r| - \epsilon^2\sigma`.
    """

    epsilon: float

    def terms(self, raw: Array, y: Array, order: int) -> Terms:
        predictor, scale = raw[0], raw[1, 0]
        u = (predictor - y.reshape(-1)) / scale
        far = np.abs(u) > self.epsilon
        near_u = np.where(far, 0.0, u)
        value = scale * (1 + np.where(far, 2 * self.epsilon * np.abs(u) - self.epsilon**2, near_u * near_u))
        gradient = np.empty_like(raw)
        gradient[0] = np.where(far, 2 * self.epsilon * np.sign(u), 2 * near_u)
        gradient[1] = 1 - np.where(far, self.epsilon**2, near_u * near_u)
        if order < 2:
            return Terms(value[None], gradient, None)
        hessian = np.empty((2, 2, raw.shape[1]), raw.dtype)
        hessian[0, 0] = np.where(far, 0.0, 2 / scale)
        hessian[0, 1] = hessian[1, 0] = -2 * near_u / scale
        hessian[1, 1] = 2 * near_u * near_u / scale
        return Terms(value[None], gradient, hessian)


@dataclass(frozen=True)
class Softmax:
    r"""Multinomial negative log-likelihood, :math:`\log\sum_k e^{z_k} - z_y` for the codes y in {0, ..., K-1}."""

    n_classes: int

    def terms(self, raw: Array, y: Array, order: int) -> Terms:
        codes, rows = y.reshape(-1), np.arange(raw.shape[1])
        raw -= raw.max(axis=0)
        value = -raw[codes, rows]
        np.exp(raw, out=raw)
        total = raw.sum(axis=0)
        value += np.log(total)
        raw /= total
        hessian = None
        if order > 1:
            hessian = -raw[:, None, :] * raw[None, :, :]
            diagonal = np.arange(self.n_classes)
            hessian[diagonal, diagonal] += raw
        raw[codes, rows] -= 1
        return Terms(value[None], raw, hessian)

    def hessian_times(self, raw: Array, along: Array) -> Array:
        """Return the Hessian in the predictors times ``along``, row by row, without the Hessian."""
        raw -= raw.max(axis=0)
        np.exp(raw, out=raw)
        raw /= raw.sum(axis=0)
        along -= np.einsum("kn,kn->n", raw, along)
        return np.multiply(raw, along, out=along)


@dataclass(frozen=True)
class Hinge:
    r"""Hinge, :math:`\max(0, \theta + m)` with m = yz, where y is -1 for the label and 1 for the rest.

    The threshold :math:`\theta` is 1 for a support vector machine, 0 for the perceptron. At the corner the gradient is
    that of the side with a loss, as scikit-learn's, so that a perceptron leaves zero.
    """

    threshold: float = 1.0

    def terms(self, raw: Array, y: Array, order: int) -> Terms:
        margin = np.multiply(raw, y, out=raw)
        margin += self.threshold
        gradient = (margin >= 0) * y
        return Terms(np.maximum(margin, 0, out=margin), gradient, np.zeros_like(gradient) if order > 1 else None)


@dataclass(frozen=True)
class ModifiedHuber:
    r"""Modified Huber, :math:`\max(0, 1 + m)^2` up to m = 1 and :math:`4m` beyond (Zhang 2004).

    With m = yz, where y is -1 for the label and 1 for the rest.
    """

    def terms(self, raw: Array, y: Array, order: int) -> Terms:
        margin = np.multiply(raw, y, out=raw)
        height = np.clip(margin + 1, 0, 2)
        hessian = 2.0 * ((height > 0) & (margin <= 1)) if order > 1 else None
        value = height * height
        value += 4 * np.maximum(margin - 1, 0)
        height *= 2
        return Terms(value, np.multiply(height, y, out=height), hessian)


@dataclass(frozen=True)
class BoundedHuber:
    r"""Huber's loss, :math:`\tfrac12 r^2` up to :math:`|r| = \epsilon` and :math:`\epsilon(|r| - \epsilon/2)` beyond.

    With r = z - y, in units of the target (`losses.Huber` estimates a scale beside).
    """

    epsilon: float

    def terms(self, raw: Array, y: Array, order: int) -> Terms:
        residual = np.subtract(raw, y, out=raw)
        gradient = np.clip(residual, -self.epsilon, self.epsilon)
        hessian = 1.0 * (np.abs(residual) <= self.epsilon) if order > 1 else None
        residual -= 0.5 * gradient
        return Terms(np.multiply(residual, gradient, out=residual), gradient, hessian)


@dataclass(frozen=True)
class EpsilonInsensitive:
    r"""Loss of support vector regression, :math:`\max(0, |z - y| - \epsilon)`."""

    epsilon: float

    def terms(self, raw: Array, y: Array, order: int) -> Terms:
        gradient, excess = _sign_and_excess(raw, y, self.epsilon)
        gradient *= excess > 0
        return Terms(excess, gradient, np.zeros_like(gradient) if order > 1 else None)


@dataclass(frozen=True)
class SquaredEpsilonInsensitive:
    r"""Squared loss of support vector regression, :math:`\max(0, |z - y| - \epsilon)^2`."""

    epsilon: float

    def terms(self, raw: Array, y: Array, order: int) -> Terms:
        gradient, excess = _sign_and_excess(raw, y, self.epsilon)
        gradient *= excess
        gradient *= 2
        hessian = 2.0 * (excess > 0) if order > 1 else None
        return Terms(np.multiply(excess, excess, out=excess), gradient, hessian)


def _sign_and_excess(raw: Array, y: Array, epsilon: float) -> tuple[Array, Array]:
    residual = np.subtract(raw, y, out=raw)
    sign = np.sign(residual)
    excess = np.abs(residual, out=residual)
    excess -= epsilon
    return sign, np.maximum(excess, 0, out=excess)


def target_powers(loss: Loss) -> int | None:
    """Return the degree of a loss as a polynomial in the target, whatever the predictor; None where it is none.

    Examples
    --------
    >>> target_powers(Poisson()), target_powers(Squared()), target_powers(BoundedHuber(1.0))
    (1, 2, None)
    """
    if isinstance(loss, Squared) or loss == TweedieIdentity(0):
        return 2
    return 1 if isinstance(loss, (Poisson, Gamma, Tweedie, TweedieIdentity)) else None


MARGIN_LOSSES: dict[str, Loss] = {
    "hinge": Hinge(1.0),
    "log_loss": Logistic(),
    "modified_huber": ModifiedHuber(),
    "squared_hinge": SquaredHinge(),
    "perceptron": Hinge(0.0),
}
RESIDUAL_LOSSES: dict[str, Callable[[float], Loss]] = {
    "squared_error": lambda epsilon: Squared(),
    "huber": BoundedHuber,
    "epsilon_insensitive": EpsilonInsensitive,
    "squared_epsilon_insensitive": SquaredEpsilonInsensitive,
}


def classifier_loss(name: str, epsilon: float = 0.1) -> Loss:
    """Return a loss of SGDClassifier, whose targets `signs` makes; those of a residual serve classifiers too.

    Raises
    ------
    ValueError
        Where there is no loss of this name.

    Examples
    --------
    >>> classifier_loss("perceptron")
    Hinge(threshold=0.0)
    """
    return MARGIN_LOSSES[name] if name in MARGIN_LOSSES else _residual_loss(name, epsilon, [*MARGIN_LOSSES])


def regressor_loss(name: str, epsilon: float = 0.1) -> Loss:
    """Return a loss of SGDRegressor.

    Raises
    ------
    ValueError
        Where there is no loss of this name.

    Examples
    --------
    >>> regressor_loss("huber", 1.35)
    BoundedHuber(epsilon=1.35)
    """
    return _residual_loss(name, epsilon, [])


def signs(loss: Loss, is_label: Array, dtype: type = np.float64) -> Array:
    """Return the targets 1 and -1 of a classifier: the label's is -1 for losses of a margin, 1 for a residual's.

    Examples
    --------
    >>> signs(Hinge(), np.array([True, False])), signs(Squared(), np.array([True, False]))
    (array([-1.,  1.]), array([ 1., -1.]))
    """
    label = -1 if loss in MARGIN_LOSSES.values() else 1
    return np.where(is_label, label, -label).astype(dtype)


def _residual_loss(name: str, epsilon: float, others: list[str]) -> Loss:
    if name not in RESIDUAL_LOSSES:
        raise ValueError(f"loss: expected one of {sorted([*others, *RESIDUAL_LOSSES])}, got {name!r}")
    if not epsilon >= 0:
        raise ValueError(f"epsilon: expected a number of at least 0, got {epsilon!r}")
    return RESIDUAL_LOSSES[name](epsilon)
