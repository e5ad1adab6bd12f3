"""Checks of arguments: numbers, choices, seeds, mappings and estimators, by errors that name the argument."""

from __future__ import annotations

import math
import numbers
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from daskml_kit.typing import Array


def check_number(
    name: str,
    value: Any,
    *,
    low: float,
    high: float | None = None,
    below: float | None = None,
    strict: bool = False,
    integer: bool = False,
    infinite: bool = False,
) -> None:
    """Raise unless the parameter is a number at or above ``low`` (above it if ``strict``); infinity if so said.

    It may be bounded by ``high``, or have to be ``below`` a number.

    Examples
    --------
    >>> check_number("momentum", 1.0, low=0, below=1)
    Traceback (most recent call last):
    ...
    ValueError: momentum: expected a finite number from 0 to below 1, got 1.0
    """
    kind = numbers.Integral if integer else numbers.Real
    fine = isinstance(value, kind) and not isinstance(value, (bool, np.bool_))
    fine = fine and (integer or infinite or math.isfinite(value)) and (value > low if strict else value >= low)
    if fine and (high is None or value <= high) and (below is None or value < below):
        return
    wanted = "an integer" if integer else "a number" if infinite else "a finite number"
    if high is None and below is None:
        wanted += f" {'above' if strict else 'of at least'} {low:g}"
    else:
        wanted += (
            f" {'above' if strict else 'from'} {low:g} to {f'below {below:g}' if high is None else f'{high:.15g}'}"
        )
    raise ValueError(f"{name}: expected {wanted}, got {value!r}")


def check_numbers(name: str, value: Any) -> Array:
    """Return the parameter, a finite number of at least 0 or a vector of these, as a vector; raise unless it is one."""
    try:
        found = np.atleast_1d(np.asarray(value, dtype=np.float64))
    except (TypeError, ValueError):
        found = np.full(1, np.nan)
    if found.ndim != 1 or not (np.isfinite(found) & (found >= 0)).all():
        raise ValueError(f"{name}: expected finite numbers of at least 0, got {value!r}")
    return found


def check_priors(priors: Any, n_classes: int) -> Array:
    """Return the parameter ``priors`` as a vector; raise unless it has a number of at least 0 for each class."""
    found = check_numbers("priors", priors)
    if len(found) != n_classes:
        raise ValueError(f"priors: expected {n_classes} numbers, one a class, got {len(found)}")
    return found


def check_share(name: str, value: Any) -> None:
    """Raise unless the parameter is a number from 0 to 1."""
    if not isinstance(value, numbers.Real) or not 0 <= float(value) <= 1:
        raise ValueError(f"{name}: expected a number from 0 to 1, got {value!r}")


def check_choice(name: str, value: Any, choices: tuple[Any, ...]) -> None:
    """Raise unless the parameter is one of ``choices``."""
    if not any(value is choice or (isinstance(value, str) and value == choice) for choice in choices):
        raise ValueError(f"{name}: expected one of {list(choices)}, got {value!r}")


def check_flags(**flags: Any) -> None:
    """Raise unless each of the parameters is True or False."""
    for name, value in flags.items():
        if not isinstance(value, (bool, np.bool_)):
            raise ValueError(f"{name}: expected True or False, got {value!r}")


def check_pair(name: str, value: Any) -> None:
    """Raise unless the parameter is a sequence of two."""
    if isinstance(value, str) or not (isinstance(value, Sequence) or np.ndim(value) == 1) or len(value) != 2:
        raise ValueError(f"{name}: expected a pair, got {value!r}")


def check_mapping(name: str, value: Any) -> None:
    """Raise unless the parameter is a mapping of names."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ValueError(f"{name}: expected a mapping of names to arrays, got {type(value).__name__} {value!r:.60}")


def check_named(name: str, value: Any, n_parts: int) -> None:
    """Raise unless the parameter is a sequence of tuples of so many parts, of which the first is a name."""
    fine = np.iterable(value) and not isinstance(value, (str, Mapping))
    if not fine or not all(isinstance(part, (tuple, list)) and len(part) == n_parts for part in value):
        kind = "(name, estimator)" if n_parts == 2 else "(name, transformer, columns)"
        raise TypeError(f"{name}: expected a list of {kind}, got {value!r}")


def check_inner(name: str, estimator: Any, method: str) -> None:
    """Raise unless the parameter, an estimator, has a method."""
    if isinstance(estimator, type) or not hasattr(estimator, method):
        raise TypeError(f"{name}: expected an estimator with {method!r}, got {estimator!r}")


def random_state_of(random_state: Any) -> np.random.RandomState:
    """Return scikit-learn's random state of an int, a RandomState or None; a Generator draws the seed of one."""
    if isinstance(random_state, np.random.Generator):
        return np.random.RandomState(random_state.integers(2**32))
    with naming("random_state"):
        found: np.random.RandomState = check_random_state(random_state)
    return found


def sklearn_state_of(random_state: Any) -> Any:
    """Return a ``random_state`` that scikit-learn takes: for a Generator, of which nothing is drawn, a RandomState."""
    return random_state_of(deepcopy(random_state)) if isinstance(random_state, np.random.Generator) else random_state


@contextmanager
def naming(argument: str) -> Iterator[None]:
    """Name the argument in errors of what checks it without its name.

    Examples
    --------
    >>> with naming("cv"):
    ...     int("word")
    Traceback (most recent call last):
    ...
    ValueError: cv: invalid literal for int() with base 10: 'word'
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        if re.search(rf"\b{re.escape(argument)}\b", str(error)):
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{argument}: {error}") from error


def check_folder(checkpoint: Any) -> None:
    """Raise unless ``checkpoint`` is None, or the path of a folder that exists or can be made."""
    if checkpoint is None:
        return
    if not isinstance(checkpoint, (str, os.PathLike)):
        raise TypeError(f"checkpoint: expected the path of a folder, got {checkpoint!r}")
    if os.path.exists(checkpoint) and not os.path.isdir(checkpoint):
        raise ValueError(f"checkpoint: expected the path of a folder, got that of a file, {os.fspath(checkpoint)!r}")
