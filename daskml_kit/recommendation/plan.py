"""How a factorisation's parameters say that it is trained, checked before anything starts."""

from __future__ import annotations

from typing import Any

from daskml_kit.parameter_server.training.setting import Setting, checked
from daskml_kit.recommendation.pairs import SIDES
from daskml_kit.solvers.updates import Update, adagrad, adam, sgd
from daskml_kit.validation import check_choice, check_number

OPTIMIZERS = {"sgd": sgd, "adagrad": adagrad, "adam": adam}


def plan_of(model: Any) -> tuple[Setting, Update]:
    """Return how the parameter server trains, and what it does with a gradient, once the parameters are checked."""
    check_number("n_factors", model.n_factors, low=1, integer=True)
    check_number("regularization", model.regularization, low=0)
    check_number("tol", model.tol, low=0)
    check_number("max_iter", model.max_iter, low=1, integer=True)
    for name in ("learning_rate", "init_std"):
        check_number(name, getattr(model, name), low=0, strict=True)
    for side in SIDES:
        if getattr(model, f"n_{side}") is not None:
            check_number(f"n_{side}", getattr(model, f"n_{side}"), low=1, integer=True)
    check_choice("optimizer", model.optimizer, tuple(OPTIMIZERS))
    setting = Setting(
        mode=model.mode,
        staleness=model.staleness,
        epochs=int(model.max_iter),
        batch_size=model.batch_size,
        push_every=model.push_every,
        lanes=model.lanes,
        backup=model.backup,
        shuffle=bool(model.shuffle),
        patience=model.n_iter_no_change,
        tol=model.tol,
        n_jobs=model.n_jobs,
        verbose=int(model.verbose),
    )
    return checked(setting), OPTIMIZERS[model.optimizer](model.learning_rate)
