"""Output units of a network, with the loss that belongs to each: its slope in the units' input is mean minus target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import expit, xlogy

from daskml_kit.numerics.losses import Logistic, Poisson, Softmax, Squared, Terms
from daskml_kit.typing import Array


class Output(Protocol):
    """Output units; ``raw`` of shape (n, k) is what goes into them, and may be written to."""

    def terms(self, raw: Array, y: Array) -> Terms:
        """Return the loss of each row, of shape (n,), and its slope in ``raw``, of shape (n, k)."""

    def mean(self, raw: Array) -> Array:
        """Return what comes out, of shape (n, k)."""


@dataclass(frozen=True)
class SoftmaxOutput:
    """Multinomial log-loss of the codes ``y`` of shape (n,), integers below k."""

    def terms(self, raw: Array, y: Array) -> Terms:
        if y.ndim != 1:
            raise ValueError(f"y: expected codes of classes, of shape ({len(raw)},), got shape {y.shape}")
        value, slope, _ = Softmax(raw.shape[1]).terms(raw.T, y.astype(np.intp, copy=False), 1)
        return Terms(value[0], slope.T, None)

    def mean(self, raw: Array) -> Array:
        raw -= raw.max(axis=1, keepdims=True)
        np.exp(raw, out=raw)
        raw /= raw.sum(axis=1, keepdims=True)
        return raw


@dataclass(frozen=True)
class LogisticOutput:
    """Binomial log-loss of ``y`` in {0, 1}, summed over outputs: one for two classes, or one a label."""

    def terms(self, raw: Array, y: Array) -> Terms:
        sign = np.where(_columns(y, raw) > 0, -1, 1).astype(raw.dtype)
        with np.errstate(over="ignore", invalid="ignore"):  # the loss sees to it that what overflows is not used
            value, slope, _ = Logistic().terms(raw, sign, 1)
        return Terms(value.sum(axis=1), slope, None)

    def mean(self, raw: Array) -> Array:
        return np.asarray(expit(raw, out=raw))


@dataclass(frozen=True)
class IdentityOutput:
    """Half the squared error, summed over outputs."""

    def terms(self, raw: Array, y: Array) -> Terms:
        value, slope, _ = Squared().terms(raw, _columns(y, raw), 1)
        return Terms(value.sum(axis=1), slope, None)

    def mean(self, raw: Array) -> Array:
        return raw


@dataclass(frozen=True)
class ExpOutput:
    """Half the Poisson deviance, summed over outputs."""

    def terms(self, raw: Array, y: Array) -> Terms:
        target = _columns(y, raw)
        value, slope, _ = Poisson().terms(raw, target, 1)
        value += xlogy(target, target) - target
        return Terms(value.sum(axis=1), slope, None)

    def mean(self, raw: Array) -> Array:
        return np.exp(raw, out=raw)


OUTPUTS: dict[str, Output] = {
    "softmax": SoftmaxOutput(),
    "logistic": LogisticOutput(),
    "identity": IdentityOutput(),
    "exp": ExpOutput(),
}
"""Output units by scikit-learn's names."""


def _columns(y: Array, raw: Array) -> Array:
    columns = y[:, None] if y.ndim == 1 else y
    if columns.shape != raw.shape:
        raise ValueError(f"y: expected {raw.shape[1]} outputs for {len(raw)} rows, got shape {y.shape}")
    return columns
