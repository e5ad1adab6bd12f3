"""How full the whole result is, which decides whether it is sparse."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from daskml_kit.compose.parts import Part
from daskml_kit.queries.density import Density
from daskml_kit.queries.query import Query
from daskml_kit.queries.tables import columns_at, is_sparse
from daskml_kit.study import to_sklearn


def density_of(parts: Sequence[Part], head: Any) -> Generator[tuple[Query, ...], tuple[Any, ...], float | None]:
    """Return the share of stored numbers in the results of fitted parts; None where no result is sparse.

    It takes a pass only where the first rows, ``head``, do not tell: one-hot columns hold a one for each feature.
    """
    models = [(_model(part), part.positions) for part in parts if part.fits or _passes(part, head)]
    results = [model.transform(columns_at(head, positions)) for model, positions in models]
    if not any(is_sparse(result) for result in results):
        return None
    passed = [len(part.all_positions) for part in parts if part.transformer == "passthrough" and not is_sparse(head)]
    sizes = [(_stored(model, result), result.shape[1]) for (model, _), result in zip(models, results, strict=True)]
    if any(stored is None for stored, _ in sizes):
        (counted,) = yield (Density(models),)
        sizes = [tuple(size) for size in counted / (counted[0, 1] / results[0].shape[1])]
    stored = sum(passed) + sum(float(stored or 0) for stored, _ in sizes)
    return stored / (sum(passed) + sum(float(width) for _, width in sizes))


def _passes(part: Part, head: Any) -> bool:
    return isinstance(part.transformer, str) and part.transformer == "passthrough" and is_sparse(head)


def _model(part: Part) -> Any:
    return to_sklearn(part.transformer) if part.fits else FunctionTransformer().fit(np.zeros((1, 1)))


def _stored(model: Any, result: Any) -> int | None:
    """Return the numbers that each row stores, where that is known without looking."""
    if not is_sparse(result):
        return int(result.shape[1])
    known = isinstance(model, OneHotEncoder) and model.drop is None and isinstance(model.categories, str)
    return int(model.n_features_in_) if known else None
