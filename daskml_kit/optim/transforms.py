"""Gradient clipping, chains of transforms before a rule, and steps of some rows only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from daskml_kit.arguments import check_number
from daskml_kit.numerics.row_sparse import sum_rows
from daskml_kit.optim.base import State, Transform, Update
from daskml_kit.typing import Array


@dataclass(frozen=True)
class Chain:
    transforms: tuple[Transform, ...]
    rule: Update

    @property
    def elementwise(self) -> bool:
        return all(getattr(transform, "elementwise", True) for transform in self.transforms) and is_elementwise(
            self.rule
        )

    def init(self, w: Array) -> State:
        return self.rule.init(w)

    def apply(self, grad: Array, state: State, w: Array) -> tuple[Array, State]:
        for transform in self.transforms:
            grad = transform(grad)
        return self.rule.apply(grad, state, w)


def chain(*steps: Transform | Update) -> Update:
    """Chain of gradient transforms and the rule that is applied after them.

    Parameters
    ----------
    *steps : Transform or Update
        Transforms, such as `clip`, and as the last the rule.

    Returns
    -------
    Update
        The rule, for `ParameterServer` or `train`.

    Raises
    ------
    TypeError
        Where the last is not a rule, or another is not a transform.

    See Also
    --------
    clip, clip_norm : Transforms.

    Examples
    --------
    >>> import numpy as np
    >>> from daskml_kit.optim import clip, sgd
    >>> rule, w = chain(clip(1.0), sgd(0.1)), np.zeros(2)
    >>> rule.apply(np.array([50.0, -0.5]), rule.init(w), w)[0]
    array([-0.1 ,  0.05])
    """
    *transforms, rule = steps or (None,)
    if not hasattr(rule, "apply"):
        raise TypeError(f"chain: expected an update rule as its last step, such as sgd, got {rule!r}")
    for transform in transforms:
        if not callable(transform):
            raise TypeError(f"chain: expected a transform such as clip before the last step, got {transform!r}")
    return Chain(cast("tuple[Transform, ...]", tuple(transforms)), cast("Update", rule))


def is_elementwise(update: Update) -> bool:
    """Tell whether a rule on each range of the parameters is the rule on the whole.

    A rule says that it is not by an attribute ``elementwise`` that is False.

    Parameters
    ----------
    update : Update
        The rule.

    Returns
    -------
    bool
        False where a rule needs the whole gradient, as `clip_norm` does.

    Examples
    --------
    >>> from daskml_kit.optim import clip, clip_norm, sgd
    >>> is_elementwise(chain(clip(1.0), sgd(0.1))), is_elementwise(chain(clip_norm(1.0), sgd(0.1)))
    (True, False)
    """
    return bool(getattr(update, "elementwise", True))


@dataclass(frozen=True)
class Clip:
    max_value: float
    elementwise: ClassVar[bool] = True

    def __call__(self, grad: Array) -> Array:
        return np.clip(grad, -self.max_value, self.max_value)


@dataclass(frozen=True)
class ClipNorm:
    max_norm: float
    elementwise: ClassVar[bool] = False

    def __call__(self, grad: Array) -> Array:
        flat = grad.reshape(-1)
        norm = float(np.sqrt(np.dot(flat, flat)))
        return grad * (self.max_norm / norm) if norm > self.max_norm else grad


def clip(max_value: float) -> Transform:
    """Gradient clipping by value: each element is kept in [-max_value, max_value].

    Parameters
    ----------
    max_value : float
        Larger than 0.

    Returns
    -------
    Transform
        For `chain`.

    See Also
    --------
    clip_norm : Clips the norm.

    Examples
    --------
    >>> clip(1.0)(np.array([-3.0, 0.5]))
    array([-1. ,  0.5])
    """
    check_number("max_value", max_value, low=0, strict=True)
    return Clip(max_value)


def clip_norm(max_norm: float) -> Transform:
    """Gradient clipping by norm: a gradient with a Euclidean norm above ``max_norm`` is scaled down to it.

    The norm is that of the whole gradient, so this does not split over ranges: a parameter server with such a rule has
    ``servers=1`` (`is_elementwise` tells).

    Parameters
    ----------
    max_norm : float
        Larger than 0.

    Returns
    -------
    Transform
        For `chain`.

    See Also
    --------
    clip : Clips each element.

    References
    ----------
    R. Pascanu, T. Mikolov & Y. Bengio, On the difficulty of training recurrent neural networks, ICML 2013.

    Examples
    --------
    >>> clip_norm(1.0)(np.array([3.0, 4.0]))
    array([0.6, 0.8])
    """
    check_number("max_norm", max_norm, low=0, strict=True)
    return ClipNorm(max_norm)


def apply_rows(update: Update, rows: Array, grad_rows: Array, state: State, w: Array) -> tuple[Array, State]:
    """Update of some rows of ``w`` by one step, in place, at a cost in proportion to them.

    It is lazy, as sparse forms of Adagrad and Adam are: the moments of other rows stay as they are, while the step
    counts for all.

    Parameters
    ----------
    update : Update
    rows : array of integers of shape (k,)
        Gradients of a row that comes twice are added first.
    grad_rows : array of shape (k, ...)
    state : State
        Its arrays of shape () belong to all rows, the others have a row for each row of ``w``.
    w : array of shape (n, ...)

    Returns
    -------
    w : array of shape (n, ...)
        The parameters after the step.
    state : State
        The state after it.

    Raises
    ------
    IndexError
        Where a row is negative, or not below n.

    Examples
    --------
    >>> import numpy as np
    >>> from daskml_kit.optim import sgd
    >>> rule, w = sgd(0.5), np.ones((3, 2))
    >>> apply_rows(rule, np.array([2]), np.array([[1.0, -1.0]]), rule.init(w), w)[0]
    array([[1. , 1. ],
           [1. , 1. ],
           [0.5, 1.5]])
    """
    if not (rows[1:] > rows[:-1]).all():
        rows, grad_rows = sum_rows(rows, grad_rows)
    if len(rows) and not 0 <= rows[0] <= rows[-1] < len(w):
        raise IndexError(f"rows: expected numbers from 0 to {len(w) - 1}, got {rows[0]} to {rows[-1]}")
    part = tuple(array[rows] if array.ndim else array for array in state)
    w[rows], part = update.apply(grad_rows, part, w[rows])
    for whole, array in zip(state, part, strict=True):
        whole[rows if whole.ndim else ...] = array
    return w, state
