"""Results of a search: outcomes of its fits, and the table ``cv_results_`` as scikit-learn lays it out."""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple, TypeVar

import numpy as np
from scipy.stats import rankdata
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning

from daskml_kit.typing import Array


class SearchPlan(NamedTuple):
    """Plan of the fits of a search, as its ``plan`` method and its attribute ``plan_`` give it.

    Parameters
    ----------
    n_splits : int
        Number of splits of the data.
    reasons : sequence of str or None
        For each candidate why its fits cannot share passes; None where they do.

    See Also
    --------
    GridSearchCV.plan : Returns the plan of a search before it is fitted.

    Examples
    --------
    >>> print(SearchPlan(5, [None, None]))
    10 fits: 2 candidates on 5 splits
      2 candidates share passes over the data
    """

    n_splits: int
    reasons: Sequence[str | None]

    @property
    def fused(self) -> list[int]:
        """Numbers of the candidates whose fits share passes."""
        return [number for number, reason in enumerate(self.reasons) if reason is None]

    @property
    def alone(self) -> dict[str, list[int]]:
        """Numbers of the other candidates, by the reason."""
        found: dict[str, list[int]] = defaultdict(list)
        for number, reason in enumerate(self.reasons):
            if reason is not None:
                found[reason].append(number)
        return dict(found)

    def without(self, reasons: Mapping[int, str]) -> SearchPlan:
        """Return the plan where some more candidates do not share passes.

        Parameters
        ----------
        reasons : mapping of int to str
            By the numbers of these candidates.

        Returns
        -------
        SearchPlan
            New plan.

        Examples
        --------
        >>> SearchPlan(5, [None, None]).without({1: "it is shy"}).alone
        {'it is shy': [1]}
        """
        return self._replace(reasons=[reasons.get(number, why) for number, why in enumerate(self.reasons)])

    def lines(self) -> list[str]:
        """Return the plan as text.

        Returns
        -------
        list of str
            Lines.
        """
        n = len(self.reasons)
        lines = [f"{n * self.n_splits} fits: {n} candidates on {self.n_splits} splits"]
        if self.fused:
            lines.append(f"  {len(self.fused)} candidates share passes over the data")
        return lines + [
            f"  {len(numbers)} candidates are fitted each by itself: {why}" for why, numbers in self.alone.items()
        ]

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> Any:
        first, *others = map(escape, self.lines())
        return f"<div><b>{first}</b><ul>{''.join(f'<li>{line.strip()}</li>' for line in others)}</ul></div>"


def with_params(estimator: Any, params: Mapping[str, Any]) -> Any:
    """Return a clone of ``estimator`` with clones of the parameters of a candidate, which may be estimators.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> with_params(Ridge(), {"alpha": 2.0})
    Ridge(alpha=2.0)
    """
    return clone(estimator).set_params(**{name: clone(value, safe=False) for name, value in params.items()})


Decision = TypeVar("Decision")


def decide_by_kind(
    candidates: Iterable[Mapping[str, Any]], decide: Callable[[Mapping[str, Any]], Decision]
) -> list[Decision]:
    """Return for each candidate what ``decide`` says of the first of its kind.

    Of one kind are those that set the same parameters, and among them the same words and the same estimators.

    Examples
    --------
    >>> grid = [{"C": 1.0}, {"C": 2.0}, {"C": 2.0, "penalty": "l1"}]
    >>> decide_by_kind(grid, lambda params: params["C"])
    [1.0, 1.0, 2.0]
    """
    known: dict[Hashable, tuple[Mapping[str, Any], Decision]] = {}
    found = []
    for params in candidates:
        kind = tuple((name, _identity(params[name])) for name in sorted(params))
        if kind not in known:
            known[kind] = params, decide(params)  # of parameters that are kept no other takes the id
        found.append(known[kind][1])
    return found


def _identity(value: Any) -> Hashable:
    if value is None or isinstance(value, (str, bool)):
        return value
    if hasattr(value, "get_params"):
        return id(value)
    return type(value).__module__, type(value).__qualname__


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
        self._there, self._trained = np.zeros(self.shape, bool), np.zeros(self.shape, bool)
        self._n = 0
        self._numbers = {name: np.zeros(self.shape) for name in ("fit_time", "score_time")}
        self._n_test = np.zeros(self.shape, np.int64)
        self._scores: dict[tuple[str, str], Array] = {}
        self._estimators: dict[FitKey, Any] = {}

    def __setitem__(self, key: FitKey, outcome: Outcome) -> None:
        self._n += not self._there[key]
        self._there[key], self._trained[key] = True, outcome.train is not None
        for name, column in self._numbers.items():
            column[key] = getattr(outcome, name)
        self._n_test[key] = outcome.n_test
        for column in self._scores.values():
            column[key] = np.nan
        for side in ("test", "train"):
            for name, score in (getattr(outcome, side) or {}).items():
                if (side, name) not in self._scores:
                    self._scores[side, name] = np.full(self.shape, np.nan)
                self._scores[side, name][key] = score
        for kept, value in ((self.errors, outcome.error), (self._estimators, outcome.estimator)):
            if value is None:
                kept.pop(key, None)
            else:
                kept[key] = value

    def __getitem__(self, key: FitKey) -> Outcome:
        if key not in self:
            raise KeyError(key)
        sides: dict[str, dict[str, float]] = {"test": {}, "train": {}}
        for (side, name), column in self._scores.items():
            sides[side][name] = float(column[key])
        times = {name: float(column[key]) for name, column in self._numbers.items()}
        train = sides["train"] if self._trained[key] else None
        n_test, error = int(self._n_test[key]), self.errors.get(key)
        return Outcome(sides["test"], train, **times, n_test=n_test, error=error, estimator=self._estimators.get(key))

    def __contains__(self, key: object) -> bool:
        return bool(self._there[key])  # type: ignore[call-overload]

    def __iter__(self) -> Iterator[FitKey]:
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

    @property
    def names(self) -> list[str]:
        """Names of the scores, in the order in which they came."""
        return [name for side, name in self._scores if side == "test"]

    def is_finished(self, candidate: int) -> bool:
        """Return whether the candidate has outcomes on all splits."""
        return bool(self._there[candidate].all())

    def finished(self) -> Array:
        """Return the numbers of the candidates that have outcomes on all splits."""
        return np.flatnonzero(self._there.all(axis=1))

    def of(self, candidates: Sequence[int] | Array) -> Outcomes:
        """Return the outcomes of some candidates, by their places in this list."""
        chosen = Outcomes(len(candidates), self.shape[1])
        for position, candidate in enumerate(np.asarray(candidates).tolist()):
            for split in range(self.shape[1]):
                if (candidate, split) in self:
                    chosen[position, split] = self[candidate, split]
        return chosen


def tabulate(
    candidates: Sequence[Mapping[str, Any]], outcomes: Outcomes, names: Sequence[str], with_train: bool
) -> dict[str, Any]:
    """Return ``cv_results_``: times, parameters, and of each score the splits, mean, deviation and rank."""
    table: dict[str, Any] = {}
    for name in ("fit_time", "score_time"):
        _add(table, name, outcomes.times(name))
    table.update(parameter_columns(candidates))
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
