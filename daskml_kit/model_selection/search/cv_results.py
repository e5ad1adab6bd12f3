"""Results of a search: outcomes of its fits, and the table ``cv_results_`` as scikit-learn lays it out."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import rankdata
from sklearn.exceptions import FitFailedWarning

from daskml_kit.typing import Array


def warn_failures(errors: Sequence[str], total: int, error_score: Any, stacklevel: int) -> None:
    """Warn once of the fits that failed, with their tracebacks, if there are any.

    Raises
    ------
    ValueError
        Where every fit failed.
    """
    if not errors:
        return
    each = (f"{count} fits failed with the following error:\n{error}" for error, count in Counter(errors).items())
    shown = "\n".join(["Below are more details about the failures:", *each])
    if len(errors) == total:
        raise ValueError(
            f"\nAll the {total} fits failed.\nIt is very likely that your model is misconfigured.\n"
            f"You can try to debug the error by setting error_score='raise'.\n\n{shown}"
        )
    warnings.warn(
        f"\n{len(errors)} fits failed out of a total of {total}.\nThe score on these train-test partitions for these "
        f"parameters will be set to {error_score}.\n{shown}",
        FitFailedWarning,
        stacklevel=stacklevel + 1,
    )


FitKey = tuple[int, int]
"""Numbers of a candidate and of a split."""


class Outcome(NamedTuple):
    """Outcome of a fit: scores by scorer's name, seconds, and the number of test rows.

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


NUMBERS = ("fit_time", "score_time", "n_test")


class Outcomes(Mapping[FitKey, Outcome]):
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
        self.errors: dict[FitKey, str] = {}
        self._estimators: dict[FitKey, Any] = {}
        self._there, self._trained = np.zeros(self.shape, bool), np.zeros(self.shape, bool)
        self._n = 0
        self._columns: dict[tuple[str, str], Array] = {}
        """By "test" or "train" and the score's name, or "other" and the name of a number."""

    def __setitem__(self, key: FitKey, outcome: Outcome) -> None:
        self._n += not self._there[key]
        self._there[key], self._trained[key] = True, outcome.train is not None
        for column in self._columns.values():
            column[key] = np.nan
        numbers = {name: getattr(outcome, name) for name in NUMBERS}
        for side, values in (("test", outcome.test), ("train", outcome.train or {}), ("other", numbers)):
            for name, value in values.items():
                if (side, name) not in self._columns:
                    self._columns[side, name] = np.full(self.shape, np.nan)
                self._columns[side, name][key] = value
        for kept, given in ((self.errors, outcome.error), (self._estimators, outcome.estimator)):
            kept.pop(key, None)
            if given is not None:
                kept[key] = given

    def __getitem__(self, key: FitKey) -> Outcome:
        if key not in self:
            raise KeyError(key)
        found: dict[str, dict[str, Any]] = {"test": {}, "train": {}, "other": {}}
        for (side, name), column in self._columns.items():
            found[side][name] = float(column[key])
        found["other"]["n_test"] = int(found["other"]["n_test"])
        train = found["train"] if self._trained[key] else None
        error, estimator = self.errors.get(key), self._estimators.get(key)
        return Outcome(found["test"], train, **found["other"], error=error, estimator=estimator)

    def __contains__(self, key: object) -> bool:
        return bool(self._there[key])  # type: ignore[call-overload]

    def __iter__(self) -> Iterator[FitKey]:
        return ((candidate, split) for candidate, split in np.argwhere(self._there).tolist())

    def __len__(self) -> int:
        return self._n

    def scores(self, side: str, name: str) -> Array:
        """Return scores, or seconds of the side "other", of shape (n_candidates, n_splits), nan where none are."""
        known = self._columns.get((side, name))
        return np.full(self.shape, np.nan) if known is None else known

    @property
    def names(self) -> list[str]:
        """Names of the scores, in the order in which they came."""
        return [name for side, name in self._columns if side == "test"]

    def is_finished(self, candidate: int) -> bool:
        """Return whether the candidate has outcomes on all splits."""
        return bool(self._there[candidate].all())

    def finished(self) -> Array:
        """Return the numbers of the candidates that have outcomes on all splits."""
        return np.flatnonzero(self._there.all(axis=1))

    def of(self, candidates: Sequence[int] | Array) -> Outcomes:
        """Return the outcomes of some candidates, by their places in this list."""
        chosen = Outcomes(len(candidates), self.shape[1])
        for position, split in np.argwhere(self._there[candidates]).tolist():
            chosen[position, split] = self[int(candidates[position]), split]
        return chosen

    def followed_by(self, others: Outcomes) -> Outcomes:
        """Return these outcomes, and those of other candidates, which are numbered after the ones here."""
        n_candidates, n_splits = self.shape
        both = Outcomes(n_candidates + others.shape[0], n_splits)
        for first, part in ((0, self), (n_candidates, others)):
            for (candidate, split), outcome in part.items():
                both[first + candidate, split] = outcome
        return both


def tabulate(
    candidates: Sequence[Mapping[str, Any]], outcomes: Outcomes, names: Sequence[str], with_train: bool
) -> dict[str, Any]:
    """Return ``cv_results_``: times, parameters, and of each score the splits, mean, deviation and rank."""
    table: dict[str, Any] = {}
    for name in ("fit_time", "score_time"):
        _add(table, name, outcomes.scores("other", name))
    table.update(parameter_columns(candidates))
    table["params"] = [dict(candidate) for candidate in candidates]
    for name in names:
        for side in ("test", "train")[: 1 + with_train]:
            scores = outcomes.scores(side, name)
            table.update({f"split{s}_{side}_{name}": column.copy() for s, column in enumerate(scores.T)})
            means = _add(table, f"{side}_{name}", scores)
            if not np.isfinite(means).all():
                warnings.warn(f"One or more of the {side} scores are non-finite: {means}", UserWarning, stacklevel=7)
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
    warn_failures(list(outcomes.errors.values()), len(outcomes), error_score, stacklevel=4)
    constant = dict.fromkeys(names, error_score)
    train = constant if with_train else None
    for key in list(outcomes.errors):
        outcomes[key] = outcomes[key]._replace(test=constant, train=train)


def _add(table: dict[str, Any], name: str, values: Array) -> Array:
    means = values.mean(axis=1)
    table[f"mean_{name}"], table[f"std_{name}"] = means, values.std(axis=1)
    return np.asarray(means)


def _ranks(means: Array) -> Array:
    if np.isnan(means).all():
        return np.ones(len(means), np.int32)
    worst = np.nanmin(means) - 1
    return np.asarray(rankdata(-np.where(np.isnan(means), worst, means), method="min"), np.int32)


def parameter_columns(candidates: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
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
