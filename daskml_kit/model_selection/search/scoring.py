"""What users give as ``scoring``, by names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sklearn.metrics import check_scoring, get_scorer

SINGLE = "score"


def named_scoring(scoring: Any) -> dict[str, Any]:
    """Return scorers, or their names, by the names that results have; one alone is called "score".

    Raises
    ------
    ValueError
        Where scoring is empty, has a name twice, or is of another kind.
    """
    if scoring is None or isinstance(scoring, str) or callable(scoring):
        return {SINGLE: scoring}
    if isinstance(scoring, Mapping):
        named = dict(scoring)
    elif isinstance(scoring, (list, tuple, set)):
        named = {name: name for name in scoring}
        if len(named) < len(scoring):
            raise ValueError(f"scoring: expected each scorer once, got {scoring!r}")
    else:
        raise ValueError(f"scoring: expected a name, a callable, a list of names or a dict, got {scoring!r}")
    strange = [name for name in named if not isinstance(name, str)]
    if not named or strange:
        raise ValueError(f"scoring: expected names of scorers, got {scoring!r}")
    return named


def scorers_of(estimator: Any, scoring: Mapping[str, Any]) -> dict[str, Callable[..., float]]:
    """Return scikit-learn's scorers of the names.

    Raises
    ------
    ValueError
        Where a scorer is not known.
    """
    return {name: _scorer(estimator, value) for name, value in scoring.items()}


def _scorer(estimator: Any, value: Any) -> Callable[..., float]:
    if value is None:
        return check_scoring(estimator)  # type: ignore[no-any-return]
    return get_scorer(value)  # type: ignore[no-any-return]
