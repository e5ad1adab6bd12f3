"""Elimination of features, those of least importance first, and what importance is."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from daskml_kit.typing import Array


class Step(NamedTuple):
    """A model on so many features in an elimination: its score, and which there are and how those gone are ranked."""

    n_features: int
    score: float
    support: Array
    ranking: Array


class Eliminated(NamedTuple):
    """End of an elimination: the features left, the ranks of all, the model on those left, and the steps."""

    support: Array
    ranking: Array
    model: Any
    steps: list[Step]


def eliminate(
    n_features: int,
    wanted: int,
    step: int,
    fit: Callable[[Array], Any],
    importance: Callable[[Any], Array],
    score: Callable[[Any, Array], float] | None = None,
) -> Eliminated:
    """Fit, drop the ``step`` features of least importance, and so on until no more than ``wanted`` are left.

    Parameters
    ----------
    n_features, wanted, step : int
    fit : callable
        Returns a model fitted on the features at given positions.
    importance : callable
        Returns the importance of each feature of a model.
    score : callable, optional
        Returns the score of a model on the features at given positions.

    Examples
    --------
    >>> eliminate(4, 2, 1, lambda features: features, lambda model: -model).ranking.tolist()
    [1, 1, 2, 3]
    """
    support, ranking = np.ones(n_features, dtype=bool), np.ones(n_features, dtype=int)
    steps: list[Step] = []
    while True:
        features = np.flatnonzero(support)
        model = fit(features)
        if score is not None:
            steps.append(Step(len(features), score(model, features), support.copy(), ranking.copy()))
        if len(features) <= wanted:
            return Eliminated(support, ranking, model, steps)
        order = np.argsort(importance(model), kind="stable")
        support[features[order[: min(step, len(features) - wanted)]]] = False
        ranking[~support] += 1


def importance_of(getter: Any) -> Callable[[Any], Array]:
    """Return the function that gives the importance of each feature of a model: squares, of all outputs together.

    Parameters
    ----------
    getter : "auto", str or callable
        "auto" is ``coef_``, or ``feature_importances_`` where there is none; else the path of an attribute, or a
        function of the model.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> importance_of("auto")(SimpleNamespace(coef_=np.array([[1.0, -2.0], [3.0, 0.0]])))
    array([10.,  4.])
    """

    if not callable(getter) and not isinstance(getter, str):
        raise ValueError(f"importance_getter: expected 'auto', the name of an attribute or a function, got {getter!r}")

    def importance(model: Any) -> Array:
        if callable(getter):
            found = getter(model)
        elif getter != "auto":
            try:
                found = attrgetter(getter)(model)
            except AttributeError as error:
                raise ValueError(f"importance_getter: {error}") from error
        elif hasattr(model, "coef_"):
            found = model.coef_
        elif hasattr(model, "feature_importances_"):
            found = model.feature_importances_
        else:
            raise ValueError(
                f"importance_getter: {type(model).__name__} has neither coef_ nor feature_importances_; name an "
                "attribute, or give a function"
            )
        squares = np.square(np.asarray(found, dtype=np.float64))
        return np.asarray(squares if squares.ndim == 1 else squares.sum(axis=0))

    return importance


def step_of(step: Any, n_features: int) -> int:
    """Return how many features are dropped at a time; a share is one of all features.

    Examples
    --------
    >>> step_of(2, 10), step_of(0.25, 10)
    (2, 2)
    """
    return int(max(1, step * n_features)) if 0.0 < step < 1.0 else int(step)
