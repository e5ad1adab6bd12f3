"""Update rules of stochastic training: small pairs of ``init`` and ``apply`` that know neither data nor cluster."""

from daskml_kit.solvers.updates.adagrad import adagrad
from daskml_kit.solvers.updates.adam import adam
from daskml_kit.solvers.updates.add import add
from daskml_kit.solvers.updates.chain import chain, is_elementwise
from daskml_kit.solvers.updates.clip import clip, clip_norm
from daskml_kit.solvers.updates.momentum import momentum
from daskml_kit.solvers.updates.rows import apply_rows
from daskml_kit.solvers.updates.schedule import Schedule, constant, inverse_scaling, optimal
from daskml_kit.solvers.updates.sgd import sgd
from daskml_kit.solvers.updates.update import State, Transform, Update

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
