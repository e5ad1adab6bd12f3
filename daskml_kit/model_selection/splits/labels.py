"""The labels of a block as codes, whatever kind of column they come in."""

from __future__ import annotations

from typing import Any

import numpy as np

from daskml_kit.engines.rows import check_lengths
from daskml_kit.errors import DataError
from daskml_kit.queries.class_losses import sorted_labels
from daskml_kit.queries.scores import one_column
from daskml_kit.typing import Array


def coded(part: Any, name: str, index: int, length: int) -> tuple[Array, Array]:
    """Return the code of each row of block ``index``, and the distinct labels, sorted.

    Raises
    ------
    DataError
        Where the block has not ``length`` rows of one column, a label is missing, or labels cannot be compared.
    """
    check_lengths([name], [part], index, length)
    return sorted_labels(one_column(np.asarray(part), name, index), index, name)


def united(labels: list[Array], name: str) -> tuple[Array, list[Array]]:
    """Return the distinct labels of all blocks, sorted, and where in them those of each block are.

    Raises
    ------
    DataError
        Where labels cannot be compared.
    """
    filled = [block for block in labels if len(block)]  # an empty block's dtype says nothing
    try:
        every, codes = np.unique(np.concatenate(filled or [np.empty(0)]), return_inverse=True)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name}: labels of one type expected, got a mixture: {error}") from None
    return every, np.split(codes, np.cumsum([len(block) for block in labels])[:-1])


def found(labels: Array, every: Array, name: str, index: int) -> Array:
    """Return where the sorted ``labels`` of block ``index`` are in ``every``.

    Raises
    ------
    DataError
        Where one is not: the column is not what it was in the pass before.
    """
    codes = np.searchsorted(every, labels)
    if len(labels) and not (codes[-1] < len(every) and bool((every[codes] == labels).all())):
        raise DataError(f"{name}: block {index} has other labels than when it was read before")
    return codes
