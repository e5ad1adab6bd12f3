"""Reductions over the rows of each class apart, in one pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from daskml_kit.data.block import Block, check_finite
from daskml_kit.reductions.frames import rows_of
from daskml_kit.reductions.reduction import Delegate, Reduction, SingleReduction
from daskml_kit.typing import Labels


class ClassResults(NamedTuple):
    """Labels, sorted, and the result for the rows of each."""

    labels: Labels
    results: list[Any]


@dataclass(frozen=True, eq=False)
class PerClass(SingleReduction):
    """The results of ``reduction`` over the rows of each label of the target, which these rows are without.

    Parameters
    ----------
    reduction : Reduction
        With one result.

    Raises
    ------
    DataError
        Where X holds a NaN or an infinity.

    Examples
    --------
    >>> from daskml_kit.reductions.moments import Moments
    >>> asked = PerClass(Moments())
    >>> found = asked.finalize(asked.chunk(Block(np.array([[1.0], [3.0], [8.0]]), np.array(["a", "b", "a"]))))[0]
    >>> found.labels.tolist(), [moments.mean.tolist() for moments in found.results]
    (['a', 'b'], [[4.5], [3.0]])
    """

    reduction: Reduction

    def chunk(self, block: Block) -> dict[Any, Any]:
        if block.y is None:
            raise TypeError("classes need targets")
        check_finite(block)
        bare = block._replace(y=None)
        labels, codes = np.unique(block.y, return_inverse=True)
        return {
            label: self.reduction.chunk(rows_of(bare, np.flatnonzero(codes == code)))
            for code, label in enumerate(labels.tolist())
        }

    def combine(self, a: dict[Any, Any], b: dict[Any, Any]) -> dict[Any, Any]:
        both = {label: self.reduction.combine(a[label], b[label]) for label in a.keys() & b.keys()}
        return {**a, **b, **both}

    def finalize(self, total: dict[Any, Any]) -> list[ClassResults]:
        labels = sorted(total)
        return [ClassResults(np.array(labels), [self.reduction.finalize(total[label])[0] for label in labels])]


@dataclass(frozen=True, eq=False)
class OfLabel(Delegate):
    """The result of ``reduction`` over the rows of one label of the target.

    Parameters
    ----------
    reduction : Reduction
    label : str or number
    """

    label: Any

    def view(self, block: Block) -> Block:
        if block.y is None:
            raise TypeError("classes need targets")
        return rows_of(block._replace(y=None), np.flatnonzero(block.y == self.label))


@dataclass(frozen=True, eq=False)
class Unweighted(Delegate):
    """The result of ``reduction`` where all rows count alike."""

    def view(self, block: Block) -> Block:
        return block._replace(weight=None)
