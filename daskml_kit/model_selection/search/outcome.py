"""What came of candidates on splits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from daskml_kit.typing import Array

Place = tuple[int, int]
"""The number of a candidate, and of a split."""


class Outcome(NamedTuple):
    """Scores by scorer's name, seconds, and the number of test rows.

    Parameters
    ----------
    test : mapping of str to float
    train : mapping of str to float, optional
        Where scores on the training rows were asked for.
    fit_time, score_time : float
        Seconds; of fits that share passes, their share of them.
    n_test : int
    error : str, optional
        The traceback of a fit that failed.
    estimator : object, optional
        The fitted estimator, where it was asked for.
    """

    test: Mapping[str, float]
    train: Mapping[str, float] | None = None
    fit_time: float = 0.0
    score_time: float = 0.0
    n_test: int = 0
    error: str | None = None
    estimator: Any = None


class Outcomes(Mapping[Place, Outcome]):
    """Outcomes by (candidate, split), in columns: some 40 bytes a fit, as there may be millions.

    Parameters
    ----------
    n_candidates, n_splits : int

    Examples
    --------
    >>> outcomes = Outcomes(3, 2)
    >>> outcomes[1, 0], outcomes[1, 1] = Outcome({"r2": 0.5}), Outcome({"r2": 0.25})
    >>> outcomes.scores("test", "r2")[1].tolist(), outcomes.finished().tolist()
    ([0.5, 0.25], [1])
    """

    def __init__(self, n_candidates: int, n_splits: int) -> None:
        self.shape = n_candidates, n_splits
        self.errors: dict[Place, str] = {}
        self._there, self._trained = np.zeros(self.shape, bool), np.zeros(self.shape, bool)
        self._n = 0
        self._numbers = {name: np.zeros(self.shape) for name in ("fit_time", "score_time")}
        self._n_test = np.zeros(self.shape, np.int64)
        self._scores: dict[tuple[str, str], Array] = {}
        self._estimators: dict[Place, Any] = {}

    def __setitem__(self, place: Place, outcome: Outcome) -> None:
        self._n += not self._there[place]
        self._there[place], self._trained[place] = True, outcome.train is not None
        for name, column in self._numbers.items():
            column[place] = getattr(outcome, name)
        self._n_test[place] = outcome.n_test
        for column in self._scores.values():
            column[place] = np.nan
        for side in ("test", "train"):
            for name, score in (getattr(outcome, side) or {}).items():
                if (side, name) not in self._scores:
                    self._scores[side, name] = np.full(self.shape, np.nan)
                self._scores[side, name][place] = score
        for kept, value in ((self.errors, outcome.error), (self._estimators, outcome.estimator)):
            if value is None:
                kept.pop(place, None)
            else:
                kept[place] = value

    def __getitem__(self, place: Place) -> Outcome:
        if place not in self:
            raise KeyError(place)
        sides: dict[str, dict[str, float]] = {"test": {}, "train": {}}
        for (side, name), column in self._scores.items():
            sides[side][name] = float(column[place])
        times = {name: float(column[place]) for name, column in self._numbers.items()}
        train = sides["train"] if self._trained[place] else None
        n_test, error = int(self._n_test[place]), self.errors.get(place)
        return Outcome(sides["test"], train, **times, n_test=n_test, error=error, estimator=self._estimators.get(place))

    def __contains__(self, place: object) -> bool:
        return bool(self._there[place])  # type: ignore[call-overload]

    def __iter__(self) -> Iterator[Place]:
        return ((candidate, split) for candidate, split in np.argwhere(self._there).tolist())

    def __len__(self) -> int:
        return self._n

    def times(self, name: str) -> Array:
        """Return the seconds of "fit_time" or "score_time", of shape (n_candidates, n_splits)."""
        return self._numbers[name]

    def scores(self, side: str, name: str) -> Array:
        """Return scores of shape (n_candidates, n_splits), nan where there are none."""
        known = self._scores.get((side, name))
        return np.full(self.shape, np.nan) if known is None else known

    def is_finished(self, candidate: int) -> bool:
        """Whether the candidate has outcomes on all splits."""
        return bool(self._there[candidate].all())

    def finished(self) -> Array:
        """Return the numbers of the candidates that have outcomes on all splits."""
        return np.flatnonzero(self._there.all(axis=1))

    def of(self, candidates: Sequence[int] | Array) -> Outcomes:
        """Return the outcomes of some candidates, by their places in this list."""
        chosen = Outcomes(len(candidates), self.shape[1])
        for place, candidate in enumerate(np.asarray(candidates).tolist()):
            for split in range(self.shape[1]):
                if (candidate, split) in self:
                    chosen[place, split] = self[candidate, split]
        return chosen
