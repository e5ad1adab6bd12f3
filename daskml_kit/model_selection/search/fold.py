"""Training and test rows of one split."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, NamedTuple, Self

import dask
import numpy as np
from sklearn.utils import indexable

from daskml_kit.data.align import align_rows
from daskml_kit.data.collections import is_dask, join, n_rows
from daskml_kit.exceptions import DataError
from daskml_kit.model_selection.search.pipeline_cache import TransformerCache, bytes_of
from daskml_kit.model_selection.splits.folds import Folds


class Fold:
    """Training and test rows of one split.

    Parameters
    ----------
    sides : mapping of str to (train, test)
        Of "X", perhaps "y", and of the parameters with a value for each row: "fit.name", "score.name".
    constants : mapping of str to object
        The other parameters, by such names.
    """

    def __init__(self, sides: Mapping[str, tuple[Any, Any]], constants: Mapping[str, Any]) -> None:
        self.sides, self.constants = sides, constants

    @property
    def X(self) -> tuple[Any, Any]:
        return self.sides["X"]

    @property
    def n_test(self) -> int:
        X = self.X[1]
        return len(X) if hasattr(X, "divisions") else n_rows(X)

    @property
    def fit_params(self) -> dict[str, Any]:
        return self._params("fit.", 0)

    def score_params(self, side: int) -> dict[str, Any]:
        """Return the parameters of scorers for training rows (0) or test rows (1)."""
        return self._params("score.", side)

    def side(self, name: str, side: int) -> Any:
        """Return training rows (0) or test rows (1) of a part; None where there is no such part."""
        return self.sides[name][side] if name in self.sides else None

    def protected(self, cache: TransformerCache) -> Fold:
        """Return the fold read-only, its X known to ``cache``."""
        sides = {
            name: tuple(cache.name(part, (name, i)) for i, part in enumerate(side)) for name, side in self.sides.items()
        }
        return Fold(sides, self.constants)

    @cached_property
    def n_bytes(self) -> float:
        return sum(bytes_of(parts) for parts in self.sides.values())

    def _params(self, prefix: str, side: int) -> dict[str, Any]:
        rows = {name: parts[side] for name, parts in self.sides.items()}
        every = {**self.constants, **rows}
        return {name.removeprefix(prefix): value for name, value in every.items() if name.startswith(prefix)}


class FoldData(NamedTuple):
    """Collections with a value for each row, by the names that `Fold` has, and other parameters.

    Parameters
    ----------
    columns : mapping of str to collection
    constants : mapping of str to object
    folds : Folds
    pairwise : bool
        Whether X, in memory, has a column for each row, as precomputed kernels have.
    """

    columns: Mapping[str, Any]
    constants: Mapping[str, Any]
    folds: Folds
    pairwise: bool = False

    @classmethod
    def of(
        cls,
        X: Any,
        y: Any,
        folds: Folds,
        fit_params: Mapping[str, Any],
        score_params: Mapping[str, Any],
        pairwise: bool = False,
    ) -> Self:
        """Return the data; of the parameters those with as many values as there are rows are split with them."""
        columns = {"X": X} if y is None else {"X": X, "y": y}
        length = folds.ids[0].shape[0]
        constants: dict[str, Any] = {}
        for prefix, params in (("fit", fit_params), ("score", score_params)):
            for name, value in params.items():
                of_rows = is_dask(value) or _length(value) == length
                (columns if of_rows else constants)[f"{prefix}.{name}"] = _indexable(value) if of_rows else value
        if pairwise and any(map(is_dask, columns.values())):
            raise DataError("X: a precomputed kernel or distance matrix has to be in memory, got a Dask collection")
        if pairwise:
            columns["X"] = X = np.asarray(X) if isinstance(X, list) else X
            if X.shape[0] != X.shape[1]:
                raise DataError(f"X: X should be a square kernel matrix, got shape {X.shape}")
        return cls(columns, constants, folds, pairwise)

    @property
    def is_lazy(self) -> bool:
        return any(map(is_dask, (*self.columns.values(), *self.folds.ids)))

    def computed(self) -> Self:
        """Return the data in memory."""
        ids = {f"fold {i}": ids for i, ids in enumerate(self.folds.ids)}
        rows = align_rows({**self.columns, **ids})
        blocks = dask.compute(*([column.blocks] for column in rows.columns))
        values = {column.name: join(parts) for column, (parts,) in zip(rows.columns, blocks, strict=True)}
        folds = self.folds._replace(ids=tuple(values.pop(name) for name in ids), counts=())
        return self._replace(columns=values, folds=folds)

    def take(self, split: int) -> dict[str, tuple[Any, Any]]:
        """Return training and test rows of a split of each column, lazily where any of them is on Dask."""
        parts = iter(self.folds.take(split, *self.columns.values()))
        taken = {name: (next(parts), next(parts)) for name in self.columns}
        if self.pairwise:
            columns = self.folds.row_numbers(split)[0]
            taken["X"] = taken["X"][0][:, columns], taken["X"][1][:, columns]
        return taken


def _indexable(value: Any) -> Any:
    return value if is_dask(value) else indexable(value)[0]


def _length(value: Any) -> int | None:
    """Return the number of rows of a parameter; None of what has none, such as a word or a mapping."""
    if isinstance(value, (str, bytes, Mapping)):
        return None
    if hasattr(value, "shape"):
        return int(value.shape[0]) if value.shape else None
    return len(value) if hasattr(value, "__len__") else None
