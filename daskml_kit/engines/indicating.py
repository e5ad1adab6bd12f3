"""An engine over rows with missing values, for fits that each fill in their own."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from daskml_kit.engines.engine import Engine
from daskml_kit.engines.profile import Profile
from daskml_kit.numerics.missing import NO_GAPS, Gaps
from daskml_kit.reductions.gram import Gram
from daskml_kit.reductions.linear_scores import LinearScores
from daskml_kit.reductions.loss import LossAt
from daskml_kit.reductions.missing_counts import WithIndicators
from daskml_kit.reductions.per_fold import PerFold
from daskml_kit.reductions.reduction import Reduction

OF_NUMBERS = (LossAt, Gram, LinearScores)
"""Reductions that a missing value is no answer to."""


class IndicatingEngine(AbstractContextManager["IndicatingEngine"]):
    """Answers reductions of linear models about the rows with stand-ins and indicators, and others about the rows.

    Parameters
    ----------
    engine : Engine
    gaps : Gaps
    """

    def __init__(self, engine: Engine, gaps: Gaps) -> None:
        self.engine = engine
        self.gaps = gaps
        self.n_blocks = engine.n_blocks

    @property
    def profile(self) -> Profile:
        return self.engine.profile

    def answer(self, reduction: Reduction) -> list[Any]:
        asked = reduction.reduction if isinstance(reduction, PerFold) else reduction
        return self.engine.answer(WithIndicators(reduction, self.gaps) if isinstance(asked, OF_NUMBERS) else reduction)

    def relabel(self, change: Callable[[Any], Any]) -> None:
        self.engine.relabel(change)

    def __exit__(self, *details: object) -> None:
        return None


def gaps_behind(engine: Engine) -> Gaps:
    """Return the columns that the engine's answers have indicators of."""
    return engine.gaps if isinstance(engine, IndicatingEngine) else NO_GAPS
