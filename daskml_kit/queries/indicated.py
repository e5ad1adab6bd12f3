"""Questions about rows with missing values, whatever each asker fills in for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from daskml_kit.block import Block
from daskml_kit.numerics.indicated import Gaps, indicate
from daskml_kit.queries.moments import Spread
from daskml_kit.queries.tables import Delegate


@dataclass(frozen=True, eq=False)
class WithIndicators(Delegate):
    """Ask about the features :math:`[x_0, m]` of `daskml_kit.numerics.indicated.Indicated`.

    Examples
    --------
    >>> from daskml_kit.queries.gram import Gram
    >>> asked = WithIndicators(Gram(), Gaps(np.array([0]), np.array([2.0])))
    >>> asked.chunk(Block(np.array([[4.0], [np.nan]]))).mean
    array([3. , 0.5])
    """

    gaps: Gaps

    def view(self, block: Block) -> Block:
        return block._replace(X=indicate(block.X, self.gaps))


def gaps_of(spread: Spread) -> Gaps:
    """Return the columns with missing values, with about their means as stand-ins.

    These are numbers of single precision, so that they are the same in blocks of either.

    Examples
    --------
    >>> from daskml_kit.queries.moments import Moments
    >>> gaps_of(Moments().chunk(Block(np.array([[4.0, 1.0], [np.nan, 2.0]]))))
    Gaps(columns=array([0]), base=array([4.]))
    """
    columns = np.flatnonzero(spread.count < spread.n_rows)
    with np.errstate(over="ignore"):
        base = spread.mean[columns].astype(np.float32).astype(np.float64)
    return Gaps(columns, np.where(np.isfinite(base), base, 0.0))
