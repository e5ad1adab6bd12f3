"""What a search reads: X, y and what goes with each row, and how it is split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import dask
import numpy as np

from daskml_kit.engines.blocks import is_dask
from daskml_kit.engines.pieces import join
from daskml_kit.engines.rows import align_rows
from daskml_kit.model_selection.splits.folds import Folds


class Data(NamedTuple):
    """Collections with a value for each row, by the names that `Fold` has, and other parameters.

    Parameters
    ----------
    columns : mapping of str to collection
    constants : mapping of str to object
    folds : Folds
    """

    columns: Mapping[str, Any]
    constants: Mapping[str, Any]
    folds: Folds

    @classmethod
    def of(cls, X: Any, y: Any, folds: Folds, fit_params: Mapping[str, Any], score_params: Mapping[str, Any]) -> Self:
        """Return the data; of the parameters those with as many values as there are rows are split with them."""
        columns = {"X": X} if y is None else {"X": X, "y": y}
        n_rows = folds.ids[0].shape[0]
        constants: dict[str, Any] = {}
        for prefix, params in (("fit", fit_params), ("score", score_params)):
            for name, value in params.items():
                of_rows = is_dask(value) or _length(value) == n_rows
                (columns if of_rows else constants)[f"{prefix}.{name}"] = value
        return cls(columns, constants, folds)

    @property
    def is_lazy(self) -> bool:
        return any(map(is_dask, (*self.columns.values(), *self.folds.ids)))

    def computed(self) -> Self:
        """Return the data in memory."""
        ids = {f"fold {i}": ids for i, ids in enumerate(self.folds.ids)}
        rows = align_rows({**self.columns, **ids})
        blocks = dask.compute(*([column.blocks] for column in rows.columns))
        values = {column.name: join(parts) for column, (parts,) in zip(rows.columns, blocks, strict=True)}
        folds = Folds(tuple(values.pop(name) for name in ids), self.folds.splits)
        return self._replace(columns=values, folds=folds)

    def take(self, split: int) -> dict[str, tuple[Any, Any]]:
        """Return both sides of a split of each column, lazily where any of them is on Dask."""
        parts = iter(self.folds.take(split, *self.columns.values()))
        return {name: (next(parts), next(parts)) for name in self.columns}


def _length(value: Any) -> int | None:
    """Return the number of rows of a parameter; None of what has none, such as a word or a mapping."""
    if isinstance(value, (str, bytes, Mapping)) or not (hasattr(value, "shape") or hasattr(value, "__len__")):
        return None
    shape = np.shape(value) if not hasattr(value, "shape") else value.shape
    return int(shape[0]) if shape else None
