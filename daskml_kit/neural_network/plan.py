"""How a perceptron's parameters say that it is trained, checked before anything starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from daskml_kit.numerics.activations import ACTIVATIONS
from daskml_kit.parameter_server.training.setting import Setting, checked
from daskml_kit.solvers.updates import Update, adam, momentum
from daskml_kit.validation import check_choice, check_number

SCHEDULES = ("constant", "invscaling", "adaptive")
SOLVERS = ("adam", "sgd")
AUTO_BATCH = 200
LANE_ROWS, MOST_LANES = 100, 8
UNUSED: dict[str, tuple[Any, str, Callable[[Any], bool]]] = {
    "learning_rate": ("constant", "solver='sgd'", lambda model: model.solver == "sgd"),
    "momentum": (0.9, "solver='sgd'", lambda model: model.solver == "sgd"),
    "nesterovs_momentum": (True, "solver='sgd'", lambda model: model.solver == "sgd"),
    "power_t": (0.5, "learning_rate='invscaling'", lambda model: model.learning_rate == "invscaling"),
    "beta_1": (0.9, "solver='adam'", lambda model: model.solver == "adam"),
    "beta_2": (0.999, "solver='adam'", lambda model: model.solver == "adam"),
    "epsilon": (1e-8, "solver='adam'", lambda model: model.solver == "adam"),
    "validation_fraction": (0.1, "early_stopping=True", lambda model: model.early_stopping),
    "max_fun": (15000, "solver='lbfgs', which is not supported", lambda model: False),
}
"""Parameters that only some settings use: their defaults, what uses them, and whether it does."""


def check_parameters(model: Any) -> None:
    """Raise a ValueError where a parameter of a perceptron cannot be used, or has no use beside the others."""
    if model.solver == "lbfgs":
        raise ValueError("solver='lbfgs' is not supported: training goes by mini-batches; use 'adam' or 'sgd'")
    check_choice("solver", model.solver, SOLVERS)
    check_choice("activation", model.activation, tuple(ACTIVATIONS))
    check_choice("learning_rate", model.learning_rate, SCHEDULES)
    for name in ("alpha", "tol", "power_t"):
        check_number(name, getattr(model, name), low=0)
    for name in ("learning_rate_init", "epsilon"):
        check_number(name, getattr(model, name), low=0, strict=True)
    for name in ("momentum", "beta_1", "beta_2"):
        _check_below_one(name, getattr(model, name))
    if model.early_stopping:
        check_number("validation_fraction", model.validation_fraction, low=0, strict=True)
        _check_below_one("validation_fraction", model.validation_fraction)
    check_number("max_iter", model.max_iter, low=1, integer=True)
    check_number("n_iter_no_change", model.n_iter_no_change, low=1, integer=model.n_iter_no_change != np.inf)
    check_number("push_every", model.push_every, low=1, integer=True)
    if model.batch_size != "auto":
        check_number("batch_size", model.batch_size, low=1, integer=True)
    for name, (default, used_by, is_used) in UNUSED.items():
        value = getattr(model, name)
        if value != default and not is_used(model):
            raise ValueError(f"{name}: expected {default!r}, since it is used with {used_by} only, got {value!r}")
    if model.lanes is not None:
        check_number("lanes", model.lanes, low=1, integer=True)
    setting_of(model, batch_size=AUTO_BATCH, seed=0, epochs=1)


def layer_sizes(model: Any) -> list[int]:
    """Return the units of each hidden layer."""
    sizes = model.hidden_layer_sizes
    given = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
    for size in given:
        if not isinstance(size, (int, np.integer)) or isinstance(size, bool) or size <= 0:
            raise ValueError(f"hidden_layer_sizes must be > 0, whole numbers, got {sizes!r}")
    return [int(size) for size in given]


def setting_of(model: Any, *, batch_size: int, seed: int, epochs: int) -> Setting:
    """Return how the parameter server trains."""
    lanes = min(max(batch_size // LANE_ROWS, 1), MOST_LANES) if model.lanes is None else min(model.lanes, batch_size)
    return checked(
        Setting(
            mode=model.mode,
            staleness=model.staleness,
            epochs=epochs,
            batch_size=batch_size,
            push_every=model.push_every,
            lanes=lanes,
            backup=model.backup,
            shuffle=bool(model.shuffle),
            validation_fraction=float(model.validation_fraction) if model.early_stopping else 0.0,
            random_state=seed,
            n_jobs=model.n_jobs,
            verbose=int(model.verbose),
        )
    )


def rule_of(model: Any, rate: float) -> Update:
    """Return what the servers do with a gradient."""
    if model.solver == "adam":
        return adam(rate, model.beta_1, model.beta_2, model.epsilon)
    return momentum(rate, model.momentum, bool(model.nesterovs_momentum))


def batch_rows(model: Any, n_rows: int) -> int:
    """Return the rows of a mini-batch where so many are trained on."""
    return min(AUTO_BATCH if model.batch_size == "auto" else int(model.batch_size), max(n_rows, 1))


def _check_below_one(name: str, value: Any) -> None:
    check_number(name, value, low=0)
    if not value < 1:
        raise ValueError(f"{name}: expected a number from 0 to below 1, got {value!r}")
