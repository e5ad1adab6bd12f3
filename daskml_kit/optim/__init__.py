"""Update rules of stochastic training: small pairs of ``init`` and ``apply`` that know neither data nor cluster."""

from daskml_kit.optim.base import Schedule, State, Transform, Update, constant, inverse_scaling, optimal
from daskml_kit.optim.rules import adagrad, adam, add, momentum, sgd
from daskml_kit.optim.transforms import apply_rows, chain, clip, clip_norm, is_elementwise

__all__ = [
    "Schedule",
    "State",
    "Transform",
    "Update",
    "adagrad",
    "adam",
    "add",
    "apply_rows",
    "chain",
    "clip",
    "clip_norm",
    "constant",
    "inverse_scaling",
    "is_elementwise",
    "momentum",
    "optimal",
    "sgd",
]
