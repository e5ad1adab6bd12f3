"""The multi-layer perceptron: its output, and its loss with gradients, on a batch of rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np
from scipy.special import expit, xlogy

from daskml_kit.numerics.losses import Logistic, Poisson, Softmax, Squared, Terms
from daskml_kit.typing import Array, Matrix


class Activation(NamedTuple):
    """An activation: ``apply`` writes into its argument; ``pull(units, delta)`` multiplies ``delta`` by the gradient.

    Gradients are those at the point where the activation gave ``units``.
    """

    apply: Callable[[Array], None]
    pull: Callable[[Array, Array], None]


def _leave(units: Array) -> None:
    pass


def _pull_none(units: Array, delta: Array) -> None:
    pass


def _logistic(units: Array) -> None:
    # by tanh, which is vectorized and cannot overflow
    units *= 0.5
    np.tanh(units, out=units)
    units += 1
    units *= 0.5


def _pull_logistic(units: Array, delta: Array) -> None:
    delta *= units
    delta *= 1 - units


def _tanh(units: Array) -> None:
    np.tanh(units, out=units)


def _pull_tanh(units: Array, delta: Array) -> None:
    delta *= 1 - units * units


def _relu(units: Array) -> None:
    np.maximum(units, 0, out=units)


def _pull_relu(units: Array, delta: Array) -> None:
    delta *= units > 0


ACTIVATIONS = {
    "identity": Activation(_leave, _pull_none),
    "logistic": Activation(_logistic, _pull_logistic),
    "tanh": Activation(_tanh, _pull_tanh),
    "relu": Activation(_relu, _pull_relu),
}
"""Activations by scikit-learn's names."""


class Output(Protocol):
    """Output units; ``raw`` of shape (n, k) is what goes into them, and may be written to."""

    def terms(self, raw: Array, y: Array) -> Terms:
        """Return the loss of each row, of shape (n,), and its gradient in ``raw``, of shape (n, k)."""

    def mean(self, raw: Array) -> Array:
        """Return what comes out, of shape (n, k)."""


@dataclass(frozen=True)
class SoftmaxOutput:
    """Multinomial log-loss of the codes ``y`` of shape (n,), integers below k."""

    def terms(self, raw: Array, y: Array) -> Terms:
        if y.ndim != 1:
            raise ValueError(f"y: expected codes of classes, of shape ({len(raw)},), got shape {y.shape}")
        value, gradient, _ = Softmax(raw.shape[1]).terms(raw.T, y.astype(np.intp, copy=False), 1)
        return Terms(value[0], gradient.T, None)

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
            value, gradient, _ = Logistic().terms(raw, sign, 1)
        return Terms(value.sum(axis=1), gradient, None)

    def mean(self, raw: Array) -> Array:
        return np.asarray(expit(raw, out=raw))


@dataclass(frozen=True)
class IdentityOutput:
    """Half the squared error, summed over outputs."""

    def terms(self, raw: Array, y: Array) -> Terms:
        value, gradient, _ = Squared().terms(raw, _columns(y, raw), 1)
        return Terms(value.sum(axis=1), gradient, None)

    def mean(self, raw: Array) -> Array:
        return raw


@dataclass(frozen=True)
class ExpOutput:
    """Half the Poisson deviance, summed over outputs."""

    def terms(self, raw: Array, y: Array) -> Terms:
        target = _columns(y, raw)
        value, gradient, _ = Poisson().terms(raw, target, 1)
        value += xlogy(target, target) - target
        return Terms(value.sum(axis=1), gradient, None)

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


Params = Mapping[str, Array]
"""``coefs_0`` of shape (inputs, units), ``intercepts_0`` of shape (units,), and so on for each layer."""


@dataclass(frozen=True)
class NetworkLoss:
    r"""The mean loss of scikit-learn's multi-layer perceptrons on a batch, and its gradient, by backpropagation.

    .. math:: \frac{1}{n} \Big( \sum_i \ell(f(x_i), y_i) + \frac{\alpha}{2} \sum_l \|W_l\|_2^2 \Big)

    Intercepts are not penalized. The losses of several outputs are summed, as they are in scikit-learn's gradients
    (the squared error in its ``loss_`` is their mean).

    Parameters
    ----------
    activation : {"relu", "tanh", "logistic", "identity"}
        Of hidden units.
    output : {"softmax", "logistic", "identity", "exp"}
        Log-loss of the codes of classes; of 0 and 1, one column or a column for each label; squared error; half
        Poisson deviance.
    alpha : float

    Raises
    ------
    ValueError
        Where a setting is unknown or out of its range, or targets have not the shape of the outputs.

    References
    ----------
    D. Rumelhart, G. Hinton & R. Williams, Learning representations by back-propagating errors, Nature 323, 1986.

    Examples
    --------
    >>> params = {"coefs_0": np.array([[1.0], [-1.0]]), "intercepts_0": np.zeros(1)}
    >>> loss, grads = NetworkLoss("relu", "identity")(params, np.array([[2.0, 1.0]]), np.array([3.0]))
    >>> loss, grads["coefs_0"].ravel(), grads["intercepts_0"]
    (2.0, array([-4., -2.]), array([-2.]))
    """

    activation: str
    output: str
    alpha: float = 0.0

    def __post_init__(self) -> None:
        for name, known in (("activation", ACTIVATIONS), ("output", OUTPUTS)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name}: expected one of {[*known]}, got {getattr(self, name)!r}")
        if not self.alpha >= 0:
            raise ValueError(f"alpha: expected a number of at least 0, got {self.alpha!r}")

    def __call__(
        self, params: Params, X: Matrix, y: Array, weight: Array | None = None
    ) -> tuple[float, dict[str, Array]]:
        """Return the mean loss of the rows, and its gradient by the names of the parameters.

        With weights of rows, n above is their sum.
        """
        layers = self._forward(params, X)
        terms = _weighted(OUTPUTS[self.output].terms(layers.pop(), y), weight)
        total = X.shape[0] if weight is None else float(weight.sum())
        grads = self._backward(params, layers, terms.gradient, total)
        square = sum(float(np.vdot(coef, coef)) for coef in _coefs(params))
        return (float(terms.value.sum(dtype=np.float64)) + 0.5 * self.alpha * square) / total, grads

    def predict(self, params: Params, X: Matrix) -> Array:
        """Return what the output units give, of shape (n, outputs): probabilities, or predictions."""
        return OUTPUTS[self.output].mean(self._forward(params, X).pop())

    def _forward(self, params: Params, X: Matrix) -> list[Matrix]:
        """Return the inputs of each layer, and of the output units."""
        layers = [X]
        for i, coef in enumerate(_coefs(params)):
            if i > 0:
                ACTIVATIONS[self.activation].apply(layers[-1])
            units = layers[-1] @ coef
            units += params[f"intercepts_{i}"]
            layers.append(units)
        return layers

    def _backward(self, params: Params, layers: list[Matrix], delta: Array, total: float) -> dict[str, Array]:
        grads, coefs = {}, _coefs(params)
        delta /= total
        for i in reversed(range(len(coefs))):
            grad = np.asarray(layers[i].T @ delta)
            grad += self.alpha / total * coefs[i]
            grads[f"coefs_{i}"] = grad.astype(coefs[i].dtype, copy=False)
            grads[f"intercepts_{i}"] = delta.sum(axis=0).astype(coefs[i].dtype, copy=False)
            if i > 0:
                delta = delta @ coefs[i].T
                ACTIVATIONS[self.activation].pull(layers[i], delta)
        return {name: grads[name] for name in params}


def glorot(
    sizes: Sequence[int],
    activation: str,
    rng: np.random.Generator | np.random.RandomState,
    dtype: type = np.float64,
) -> dict[str, Array]:
    r"""Draw the parameters of a network from :math:`U(-b, b)`, b² = 6 / (inputs + units), or 2 for logistic units.

    Parameters
    ----------
    sizes : sequence of int
        Features, units of each hidden layer, outputs.
    activation : str
    rng : numpy.random.Generator or RandomState
        A RandomState draws what scikit-learn draws with it.

    References
    ----------
    X. Glorot & Y. Bengio, Understanding the difficulty of training deep feedforward neural networks, AISTATS 2010,
    eq. 16; scikit-learn draws intercepts too.

    Examples
    --------
    >>> {name: array.shape for name, array in glorot([4, 3, 1], "relu", np.random.default_rng(0)).items()}
    {'coefs_0': (4, 3), 'intercepts_0': (3,), 'coefs_1': (3, 1), 'intercepts_1': (1,)}
    """
    params: dict[str, Array] = {}
    for i, (inputs, units) in enumerate(pairwise(sizes)):
        bound = np.sqrt((2 if activation == "logistic" else 6) / (inputs + units))
        params[f"coefs_{i}"] = rng.uniform(-bound, bound, (inputs, units)).astype(dtype, copy=False)
        params[f"intercepts_{i}"] = rng.uniform(-bound, bound, units).astype(dtype, copy=False)
    return params


def _coefs(params: Params) -> list[Array]:
    return [params[f"coefs_{i}"] for i in range(len(params) // 2)]


def _weighted(terms: Terms, weight: Array | None) -> Terms:
    if weight is None:
        return terms
    gradient = terms.gradient
    gradient *= weight[:, None]
    return Terms(terms.value * weight, gradient, None)
