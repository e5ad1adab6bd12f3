"""Warnings of fits that nobody may ask for, held back until one of them is the model that is kept."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

from daskml_kit.solvers.types import Fit


class WholeFit(NamedTuple):
    """A model of all rows, which fits on folds started from, and the warnings of its fit."""

    model: Any
    warnings: Sequence[warnings.WarningMessage]

    def kept(self) -> Any:
        """Return the model, and give the warnings, as a fit of this one alone does."""
        for held in self.warnings:
            warnings.warn_explicit(held.message, held.category, held.filename, held.lineno)
        return self.model


def holding_warnings(fit: Fit, held: list[warnings.WarningMessage]) -> Fit:
    """Run a fit whose warnings go to ``held``.

    Examples
    --------
    >>> def fit():
    ...     warnings.warn("constant")
    ...     return (yield "reduction")
    >>> held = []
    >>> asking = holding_warnings(fit(), held)
    >>> next(asking), str(held[0].message)
    ('reduction', 'constant')
    """
    reply = None
    while True:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")  # also where they are errors: this is no fit that was asked for
            try:
                asked = fit.send(reply)
            except StopIteration as stop:
                return stop.value
            finally:
                held.extend(caught)
        reply = yield asked
