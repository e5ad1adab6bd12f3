"""Transforms of gradients, one after the other, before a rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from daskml_kit.solvers.updates.update import State, Transform, Update
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
    """Return the rule, the last of ``steps``, applied to gradients that went through the transforms before it.

    Raises
    ------
    TypeError
        Where the last is not a rule, or another is not a transform.

    Examples
    --------
    >>> import numpy as np
    >>> from daskml_kit.solvers.updates import clip, sgd
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
    """Return whether a rule on each range of the parameters is the rule on the whole.

    A rule says that it is not by an attribute ``elementwise`` that is False.

    Examples
    --------
    >>> from daskml_kit.solvers.updates import clip, clip_norm, sgd
    >>> is_elementwise(chain(clip(1.0), sgd(0.1))), is_elementwise(chain(clip_norm(1.0), sgd(0.1)))
    (True, False)
    """
    return bool(getattr(update, "elementwise", True))
