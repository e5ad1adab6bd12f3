"""Check the parameters of adaptive searches."""

from __future__ import annotations

from typing import Any

from sklearn.metrics import check_scoring

from daskml_kit.linear_model.model import check_number


def check_estimator(estimator: Any) -> None:
    """Raise unless the estimator can be trained block by block."""
    if not hasattr(estimator, "partial_fit"):
        raise TypeError(
            f"estimator: expected one with partial_fit, got {type(estimator).__name__}; GridSearchCV and "
            "RandomizedSearchCV search over estimators without"
        )


def scorer_for(estimator: Any, scoring: Any) -> Any:
    """Return scikit-learn's scorer.

    Raises
    ------
    ValueError
        Where there are several, or it is not known.
    """
    if scoring is not None and not isinstance(scoring, str) and not callable(scoring):
        raise ValueError(f"scoring: expected one scorer or its name, to compare models by, got {scoring!r}")
    try:
        return check_scoring(estimator, scoring=scoring)
    except ValueError as error:
        raise ValueError(f"scoring: {error}") from error


def check_integer(name: str, value: Any, low: int, high: int | None = None) -> int:
    """Return the parameter as an int, if it is one from ``low`` to ``high``."""
    check_number(name, value, low=low, integer=True)
    if high is not None and value > high:
        raise ValueError(f"{name}: expected an integer of at most {high}, got {value!r}")
    return int(value)


def check_aggressiveness(value: Any) -> None:
    """Raise unless the parameter is a number of at least 2."""
    check_number("aggressiveness", value, low=2)


def check_patience(value: Any) -> int:
    """Return how many calls without improvement are borne; 0 where there is no limit."""
    if value is False:
        return 0
    if value is True or value == 1:
        raise ValueError(f"patience: patience={value!r} <= 1 will always detect a plateau, set patience >= 2")
    return check_integer("patience", value, 0)


def check_error_score(value: Any) -> None:
    """Raise unless the parameter is a number or "raise"."""
    if value != "raise" and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise ValueError(f"error_score: expected 'raise' or a number, got {value!r}")


def check_verbose(value: Any) -> float:
    """Return the share of the scores that are logged; False prints none of them, but logs all."""
    if isinstance(value, bool):
        return 1.0
    if not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ValueError(f"verbose={value!r} does not satisfy 0 <= verbose <= 1")
    return float(value)
