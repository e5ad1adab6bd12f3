"""What settings may be, and what is missing where they may not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from daskml_kit.errors import DataError
from daskml_kit.linear_model.model import check_choice, check_number
from daskml_kit.linear_model.stochastic.rules import OPTIMIZERS

RATES = ("auto", "optimal", "constant", "invscaling")
MISSING_RATES = {
    "adaptive": "a rate that falls when training stalls is",
    "pa1": "passive-aggressive steps are",
    "pa2": "passive-aggressive steps are",
}


def check_numbers(model: Any) -> None:
    """Raise where a parameter that is a number is none, or out of its range."""
    for name in ("alpha", "epsilon", "power_t"):
        check_number(name, getattr(model, name), low=0)
    for name in ("max_iter", "n_iter_no_change", "lanes"):
        check_number(name, getattr(model, name), low=1, integer=True)
    if model.tol is not None:
        check_number("tol", model.tol, low=0)
    if model.batch_size is not None:
        check_number("batch_size", model.batch_size, low=1, integer=True)
    if model.eta0 is not None:
        check_number("eta0", model.eta0, low=0, strict=True)
    if not isinstance(model.average, (bool, np.bool_)):
        check_number("average", model.average, low=0, integer=True)
    if model.early_stopping:
        check_number("validation_fraction", model.validation_fraction, low=0, strict=True)


def check_rate(optimizer: str, learning_rate: str) -> None:
    """Raise unless the optimizer takes the learning rate."""
    check_choice("optimizer", optimizer, OPTIMIZERS)
    if learning_rate in MISSING_RATES:
        raise ValueError(
            f"learning_rate={learning_rate!r} is not supported: {MISSING_RATES[learning_rate]} missing here"
        )
    check_choice("learning_rate", learning_rate, RATES)
    if learning_rate != "auto" and optimizer not in ("auto", "sgd"):
        raise ValueError(
            f"learning_rate: expected 'auto' with optimizer={optimizer!r}, whose rate is its own or eta0, "
            f"got {learning_rate!r}; optimizer='sgd' takes it"
        )


def check_held_out(fraction: float, sizes: Sequence[int]) -> None:
    """Raise where no block has a row to hold out."""
    if fraction and not any(int(size * fraction) for size in sizes):
        raise DataError(
            f"validation_fraction={fraction} of {sum(sizes)} samples in {len(sizes)} blocks led to an empty set: "
            "increase it, or disable early_stopping"
        )
