"""Parts of a column transformer: transformers and where their columns are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import dask.array as da
import numpy as np
import pandas as pd
import sklearn.compose
from sklearn.base import clone

from daskml_kit.base import DaskEstimator
from daskml_kit.composition import fits_by_reductions
from daskml_kit.exceptions import DataError
from daskml_kit.preprocessing.target_encoder import CrossFittedTransformer


class ColumnStep(NamedTuple):
    """A transformer, its columns by name or otherwise, and where they are; one column given alone is an int."""

    name: str
    transformer: Any
    columns: Any
    positions: list[int] | int

    @property
    def fits(self) -> bool:
        """Return whether there is something to fit."""
        return not isinstance(self.transformer, str) and self.positions != []

    @property
    def all_positions(self) -> list[int]:
        return [self.positions] if isinstance(self.positions, int) else self.positions

    def moved(self, at: Mapping[int, int]) -> ColumnStep:
        """Return the part as it reads a table of fewer columns, if all of its are there."""
        return self._replace(positions=renumber(self.positions, at)) if self.fits else self


def resolve(transformers: Sequence[tuple[str, Any, Any]], remainder: Any, rows: Any) -> list[ColumnStep]:
    """Return the parts, the remainder last, with clones of the transformers.

    Parameters
    ----------
    transformers : list of (name, transformer, columns)
    remainder : 'drop', 'passthrough' or transformer
    rows : DataFrame or array
        Made-up rows with the names and types of the data.

    Raises
    ------
    DataError
        Where a transformer cannot fit on Dask data.

    Examples
    --------
    >>> rows = pd.DataFrame({"a": [0], "b": [0.5]})
    >>> [(part.name, part.positions) for part in resolve([("text", "drop", ["b"])], "passthrough", rows)]
    [('text', [1]), ('remainder', [0])]
    """
    parts = []
    for name, transformer, columns in transformers:
        chosen = columns(rows) if callable(columns) else columns
        parts.append(ColumnStep(name, _cloned(name, transformer), chosen, positions_of(chosen, rows)))
    taken = {position for part in parts for position in part.all_positions}
    rest = [position for position in range(rows.shape[1]) if position not in taken]
    return [*parts, ColumnStep("remainder", _cloned("remainder", remainder), rest, rest)]


def positions_of(columns: Any, rows: Any) -> list[int] | int:
    """Return where ``columns`` are, in any of scikit-learn's ways to say it.

    Examples
    --------
    >>> frame = pd.DataFrame({"a": [0], "b": [0], "c": [0]})
    >>> positions_of(slice("b", "c"), frame), positions_of([True, False, True], frame), positions_of("c", frame)
    ([1, 2], [0, 2], 2)
    """
    alone = isinstance(columns, (str, int, np.integer)) and not isinstance(columns, bool)
    numbers: Any = np.arange(rows.shape[1])[None, :]
    if isinstance(rows, pd.DataFrame):
        numbers = pd.DataFrame(numbers, columns=rows.columns)
    picker = sklearn.compose.ColumnTransformer([("pick", "passthrough", [columns] if alone else columns)])
    found = [int(number) for number in np.ravel(picker.fit_transform(numbers))]
    return found[0] if alone else found


def renumber(positions: list[int] | int, at: Mapping[int, int]) -> list[int] | int:
    return at[positions] if isinstance(positions, int) else [at[position] for position in positions]


def pick(table: Any, positions: list[int] | int) -> Any:
    """Return columns of a Dask collection by position."""
    if positions == list(range(table.shape[1])):
        return table
    if isinstance(table, da.Array):
        return table[:, positions]
    return table[table.columns[positions] if isinstance(positions, int) else list(table.columns[positions])]


def _cloned(name: str, transformer: Any) -> Any:
    if isinstance(transformer, str):
        return transformer
    if not (hasattr(transformer, "fit") and hasattr(transformer, "transform")):
        raise TypeError(
            f"transformers: expected an estimator with fit and transform, 'drop' or 'passthrough' for {name!r}, "
            f"got {transformer!r} (type {type(transformer).__name__})"
        )
    if not fits_by_reductions(transformer) and not _is_ours(transformer):
        raise DataError(
            f"transformers: {name!r} ({type(transformer).__name__}) cannot fit on Dask data; use its counterpart of "
            "daskml_kit, or wrap it, fitted, in sklearn.frozen.FrozenEstimator"
        )
    return clone(transformer)


def _is_ours(transformer: Any) -> bool:
    """Return whether every step fits on Dask data, though not by reductions."""
    steps = getattr(transformer, "steps", None) or getattr(transformer, "transformer_list", None)
    if steps is None:
        return isinstance(transformer, DaskEstimator) or fits_by_reductions(transformer)
    return all(isinstance(step, str) or step is None or _is_ours(step) for _, step in steps)


def cross_fits(transformer: Any) -> bool:
    """Return whether ``fit_transform`` of a transformer is not its ``transform`` after ``fit``."""
    held = ("steps", "transformer_list", "transformers")
    parts = [part for name in held for part in getattr(transformer, name, ())]
    return isinstance(transformer, CrossFittedTransformer) or any(cross_fits(part[1]) for part in parts)
