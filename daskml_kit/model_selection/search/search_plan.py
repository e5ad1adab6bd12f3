"""Plan of an evaluation: its specification, its data, and the fits that share passes."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from html import escape
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from sklearn import get_config
from sklearn.base import clone

from daskml_kit.model_selection.search.scoring import scorers_of
from daskml_kit.model_selection.splits.folds import Folds


class EvaluationSpec(NamedTuple):
    """Specification of an evaluation: estimator, candidates and scoring.

    Parameters
    ----------
    estimator : estimator
        Not changed.
    candidates : sequence of mappings
        Parameters to set.
    scoring : mapping of names to what scikit-learn takes as ``scoring``
        Empty where only the fitted models are wanted.
    error_score : "raise" or float
    with_train : bool
        Whether training rows are scored too.
    n_jobs : int, optional
    with_models : bool
        Whether outcomes hold the fitted estimators.
    config : mapping
        Settings of scikit-learn for other threads and processes: they belong to a thread.
    """

    estimator: Any
    candidates: Sequence[Mapping[str, Any]]
    scoring: Mapping[str, Any]
    error_score: Any = float("nan")
    with_train: bool = False
    n_jobs: int | None = None
    with_models: bool = False
    config: Mapping[str, Any] = get_config()

    @property
    def raises(self) -> bool:
        return isinstance(self.error_score, str)

    def for_fits(self) -> EvaluationSpec:
        """Return what a fit needs of it, in any thread or process: scorers themselves, and no candidates."""
        scorers = scorers_of(self.estimator, self.scoring)
        return self._replace(candidates=(), scoring=scorers, config=get_config())


class RoutedParams(NamedTuple):
    """Metadata by consumer: the splitter, the estimator's ``fit``, and the scorers."""

    split: Mapping[str, Any] = MappingProxyType({})
    fit: Mapping[str, Any] = MappingProxyType({})
    score: Mapping[str, Any] = MappingProxyType({})


class EvaluationData(NamedTuple):
    """Data, folds, and metadata."""

    X: Any
    y: Any
    folds: Folds
    params: RoutedParams = RoutedParams()


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
    if isinstance(value, (list, tuple)) and any(isinstance(part, (list, tuple)) for part in value):  # such as steps
        return tuple(map(_identity, itertools.chain.from_iterable(value)))
    return type(value).__module__, type(value).__qualname__
