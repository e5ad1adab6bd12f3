"""The table of a search's results, as scikit-learn lays it out."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import rankdata

from daskml_kit.model_selection.search.failures import tell_failures
from daskml_kit.model_selection.search.outcome import Outcomes
from daskml_kit.typing import Array


def tabulate(
    candidates: Sequence[Mapping[str, Any]], outcomes: Outcomes, names: Sequence[str], with_train: bool
) -> dict[str, Any]:
    """Return ``cv_results_``: times, parameters, and of each score the splits, mean, deviation and rank."""
    table: dict[str, Any] = {}
    for name in ("fit_time", "score_time"):
        _add(table, name, outcomes.times(name))
    table.update(_parameters(candidates))
    table["params"] = [dict(candidate) for candidate in candidates]
    for name in names:
        for side in ("test", "train")[: 1 + with_train]:
            scores = outcomes.scores(side, name)
            table.update({f"split{s}_{side}_{name}": column.copy() for s, column in enumerate(scores.T)})
            means = _add(table, f"{side}_{name}", scores)
            if not np.isfinite(means).all():
                warnings.warn(f"One or more of the {side} scores are non-finite: {means}", UserWarning, stacklevel=4)
            if side == "test":
                table[f"rank_test_{name}"] = _ranks(means)
    return table


def fill_failures(outcomes: Outcomes, names: Sequence[str], error_score: Any, with_train: bool) -> None:
    """Give fits that failed the ``error_score``, and warn of them.

    Raises
    ------
    ValueError
        Where every fit failed.
    """
    tell_failures(list(outcomes.errors.values()), len(outcomes), error_score, stacklevel=4)
    constant = dict.fromkeys(names, error_score)
    train = constant if with_train else None
    for place in list(outcomes.errors):
        outcomes[place] = outcomes[place]._replace(test=constant, train=train)


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
