"""The table of a search's results, as scikit-learn lays it out."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import rankdata

from daskml_kit.model_selection.search.failures import tell_failures
from daskml_kit.model_selection.search.outcome import Outcome
from daskml_kit.typing import Array

Outcomes = Mapping[tuple[int, int], Outcome]


def tabulate(
    candidates: Sequence[Mapping[str, Any]], n_splits: int, outcomes: Outcomes, names: Sequence[str], with_train: bool
) -> dict[str, Any]:
    """Return ``cv_results_``: times, parameters, and of each score the splits, mean, deviation and rank."""
    places = [[outcomes[c, s] for s in range(n_splits)] for c in range(len(candidates))]
    table: dict[str, Any] = {}
    for name in ("fit_time", "score_time"):
        _add(table, name, np.array([[getattr(o, name) for o in row] for row in places]))
    table.update(_parameters(candidates))
    table["params"] = [dict(candidate) for candidate in candidates]
    for name in names:
        for side in ("test", "train")[: 1 + with_train]:
            scores = np.array([[(getattr(o, side) or {}).get(name, np.nan) for o in row] for row in places], float)
            table.update({f"split{s}_{side}_{name}": scores[:, s] for s in range(n_splits)})
            means = _add(table, f"{side}_{name}", scores)
            if not np.isfinite(means).all():
                warnings.warn(f"One or more of the {side} scores are non-finite: {means}", UserWarning, stacklevel=4)
            if side == "test":
                table[f"rank_test_{name}"] = _ranks(means)
    return table


def fill_failures(outcomes: Outcomes, names: Sequence[str], error_score: Any, with_train: bool) -> dict[Any, Outcome]:
    """Give fits that failed the ``error_score``, and warn of them.

    Raises
    ------
    ValueError
        Where every fit failed.
    """
    errors = [outcome.error for outcome in outcomes.values() if outcome.error is not None]
    tell_failures(errors, len(outcomes), error_score, stacklevel=4)
    constant = dict.fromkeys(names, error_score)
    train = constant if with_train else None
    return {
        place: outcome if outcome.error is None else outcome._replace(test=constant, train=train)
        for place, outcome in outcomes.items()
    }


def _add(table: dict[str, Any], name: str, values: Array) -> Array:
    means = values.mean(axis=1)
    table[f"mean_{name}"], table[f"std_{name}"] = means, values.std(axis=1)
    return np.asarray(means)


def _ranks(means: Array) -> Array:
    if np.isnan(means).all():
        return np.ones(len(means), np.int32)
    worst = np.nanmin(means) - 1
    return np.asarray(rankdata(-np.where(np.isnan(means), worst, means), method="min"), np.int32)


def _parameters(candidates: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a masked array for each parameter, masked where a candidate does not set it."""
    found: dict[str, dict[int, Any]] = {}
    for number, candidate in enumerate(candidates):
        for name, value in candidate.items():
            found.setdefault(f"param_{name}", {})[number] = value
    table = {}
    for name, values in found.items():
        array = np.ma.MaskedArray(np.empty(len(candidates), _dtype(list(values.values()))), mask=True)
        for number, value in values.items():
            array[number] = value
        table[name] = array
    return table


def _dtype(values: list[Any]) -> Any:
    try:
        array = np.array(values)
    except ValueError:
        return object
    return array.dtype if array.ndim == 1 and array.dtype.kind not in "US" else object
