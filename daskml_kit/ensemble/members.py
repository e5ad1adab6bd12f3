"""Members of an ensemble: fitted together on all rows and on those of each split, and their predictions as columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, RegressorMixin, clone, is_regressor
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.validation import has_fit_parameter

from daskml_kit.base import parameters_of
from daskml_kit.composition import without_dask
from daskml_kit.data.align import align_rows, collect
from daskml_kit.model_selection.search.best_estimator import empty_result, refit_on_all
from daskml_kit.model_selection.search.cross_val_predict import BY_CLASS, with_all_classes
from daskml_kit.model_selection.search.cross_validation import run_validation
from daskml_kit.model_selection.search.evaluate import plan_of
from daskml_kit.model_selection.search.fused import run_fused
from daskml_kit.model_selection.search.search_plan import EvaluationData, EvaluationSpec, RoutedParams
from daskml_kit.model_selection.splits.folds import Folds, block_tasks
from daskml_kit.model_selection.splits.stratify import count_classes
from daskml_kit.reductions.summary import one_column, position_of
from daskml_kit.typing import Array, Labels
from daskml_kit.validation import check_labels, like

AUTO = ("predict_proba", "decision_function", "predict")
"""Methods of members, the preferred first."""
STEP = "member"
"""The name of the step that a member is, where it is no pipeline."""


def check_members(owner: Any) -> None:
    """Raise where ``estimators`` of an ensemble is no list of named estimators, of which one is not dropped."""
    given = owner.estimators
    if not isinstance(given, list) or not all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in given):
        raise ValueError(f"estimators: expected a list of (name, estimator), got {given!r}")
    names = [name for name, _ in given]
    if strange := [name for name in names if not isinstance(name, str) or "__" in name]:
        raise ValueError(f"estimators: expected names without __, got {strange!r}")
    if len(set(names)) < len(names) or set(names) & set(parameters_of(type(owner))):
        raise ValueError(f"estimators: expected each name once, and none of a parameter, got {names!r}")
    members = [member for _, member in given if not _is_dropped(member)]
    if not members:
        raise ValueError(f"estimators: expected at least one that is not dropped, got {given!r}")
    for member in members:
        if not hasattr(member, "fit"):
            raise ValueError(f"estimators: expected estimators or 'drop', got {member!r}")
        if is_regressor(owner) and not is_regressor(member):
            raise ValueError(f"estimators: The estimator {type(member).__name__} should be a regressor.")


def members_of(owner: Any) -> dict[str, Any]:
    """Return the estimators of an ensemble that are not dropped, by name."""
    return {name: member for name, member in owner.estimators if not _is_dropped(member)}


def check_weights(members: Mapping[str, Any]) -> None:
    """Raise where a member takes no sample weights."""
    for name, member in members.items():
        if not has_fit_parameter(member, "sample_weight"):
            raise TypeError(f"sample_weight: Underlying estimator {name} does not support sample weights.")


def method_of(name: str, member: Any, method: str) -> str:
    """Return the method of a member that is asked for its predictions."""
    for wanted in AUTO if method == "auto" else (method,):
        if hasattr(member, wanted):
            return wanted
    raise ValueError(f"stack_method: Underlying estimator {name} does not implement the method {method}.")


def target_of(X: Any, y: Any, *, labeled: bool) -> tuple[Any, Labels | None]:
    """Return y as a lazy vector in the blocks of X, labels as their positions among all, and these, sorted.

    Raises
    ------
    DataError
        Where y has another length than X, more than one column, or is missing somewhere.
    """
    rows = align_rows({"X": X, "y": y})
    column, labels = rows.columns[1], None
    if labeled:
        labels = count_classes(column, rows.lengths).classes
        check_labels(labels)
    functions = [partial(_target, index, labels) for index in range(len(rows.lengths))]
    tasks = block_tasks("daskml-target", functions, column.blocks)
    empty = np.empty(0, np.asarray(column.meta).dtype if labels is None else np.int64)
    return collect(empty, tasks[0].dask, [task.key for task in tasks], rows.lengths, "daskml-targets"), labels


class FittedMembers(NamedTuple):
    """Members fitted on all rows, and for each split those fitted on its training rows."""

    whole: list[Any]
    of_splits: list[list[Any]]


def fit_members(
    owner: Any, members: Sequence[Any], X: Any, y: Any, folds: Folds | None, params: Mapping[str, Any]
) -> FittedMembers:
    """Fit clones of all members on all rows and on the training rows of each split; those that can share passes.

    Parameters
    ----------
    owner : estimator
        Its ``n_jobs`` and ``verbose`` are those of the fits.
    members : sequence of estimators
    X, y : Dask collections
    folds : Folds, optional
        None where the members are fitted on all rows only.
    params : mapping
        Empty, or with ``sample_weight``.
    """
    steps = [member.steps if _is_plain(member) else [(STEP, member)] for member in members]
    first = next((at for at, member in enumerate(members) if get_tags(member).target_tags.required), 0)
    candidates = [{"steps": one} for one in steps]
    spec = EvaluationSpec(Pipeline(steps[first]), candidates, {}, "raise", n_jobs=owner.n_jobs, with_models=True)
    of_step = {f"{STEP}__{name}": value for name, value in params.items()}
    of_splits: list[list[Any]] = []
    if folds is None:
        routed = RoutedParams(fit=of_step)
        plan = plan_of(spec, 0, routed)
        if owner.verbose:
            print(f"[{type(owner).__name__}] {plan}")
        fused = run_fused(spec, EvaluationData(X, y, Folds((), []), routed), plan.fused).whole if plan.fused else {}
    else:
        found = run_validation(type(owner).__name__, spec, X, y, None, folds, of_step, "all", owner.verbose)
        fused = found.whole
        for split in range(len(folds.splits)):
            fitted = [found.outcomes[at, split].estimator for at in range(len(members))]
            of_splits.append(list(map(_unwrapped, members, fitted)))
    whole = [
        _unwrapped(member, fused[at].kept()) if at in fused else refit_on_all(clone(member), X, y, params)
        for at, member in enumerate(members)
    ]
    return FittedMembers(whole, of_splits)


class MemberPredictions(BaseEstimator):  # type: ignore[misc]
    """Transformer to the predictions of fitted members, as scikit-learn's stacks put them side by side.

    Parameters
    ----------
    members : list of estimators
    methods : list of str
        The method of each that is asked.
    n_classes : int, optional
        Of a classifier; a member that has not seen all of them gives the others no chance.
    passthrough : bool
        Whether X is the last of the columns.
    """

    def __init__(
        self, members: Sequence[Any], methods: Sequence[str], n_classes: int | None = None, passthrough: bool = False
    ) -> None:
        self.members, self.methods = members, methods
        self.n_classes, self.passthrough = n_classes, passthrough

    @classmethod
    def of(cls, members: Sequence[Any], *options: Any) -> MemberPredictions:
        """Return the predictions of scikit-learn's counterparts of the members."""
        return cls([without_dask(member) for member in members], *options)

    def transform(self, X: Any) -> Any:
        """Return the columns for X."""
        pairs = zip(self.members, self.methods, strict=True)
        return self._beside([self._columns(m, method, getattr(m, method)(X)) for m, method in pairs], X)

    def empty(self, X: Any) -> Any:
        """Return the columns for no rows of an X on Dask like this."""
        pairs = zip(self.members, self.methods, strict=True)
        columns = [self._columns(m, method, empty_result(m, method, X)) for m, method in pairs]
        return self._beside(columns, like(None, X)[:0])

    def widths(self, X: Any) -> list[int]:
        """Return the number of columns of each member."""
        pairs = zip(self.members, self.methods, strict=True)
        return [self._columns(m, method, empty_result(m, method, X)).shape[1] for m, method in pairs]

    def _columns(self, member: Any, method: str, predicted: Any) -> Any:
        predicted = np.asarray(predicted)
        if self.n_classes is not None and method in BY_CLASS and hasattr(member, "classes_"):
            predicted = with_all_classes(predicted, member.classes_, np.arange(self.n_classes), method)
        if predicted.ndim == 1:
            return predicted[:, None]
        return predicted[:, 1:] if method == "predict_proba" and self.n_classes == 2 else predicted

    def _beside(self, columns: list[Array], X: Any) -> Any:
        if not self.passthrough:
            return np.hstack(columns)
        return sp.hstack([*columns, X], format="csr") if sp.issparse(X) else np.hstack([*columns, X])


class FittedColumns(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Stand-in for a fitted member, of so many columns, that scikit-learn's stack is told of what there is."""

    def __init__(self, width: int = 1) -> None:
        self.width = width

    def fit(self, X: Any, y: Any = None) -> FittedColumns:
        """Return itself."""
        return self

    def predict(self, X: Any) -> Array:
        """Return zeros."""
        return np.zeros((X.shape[0], self.width))

    def __sklearn_is_fitted__(self) -> bool:
        return True


def _target(index: int, labels: Labels | None, part: Any) -> Array:
    values = one_column(np.asarray(part), "y", index)
    return values if labels is None else position_of(labels, values).astype(np.int64)


def _is_dropped(member: Any) -> bool:
    return isinstance(member, str) and member == "drop"


def _unwrapped(member: Any, fitted: Any) -> Any:
    """Return what a member has become, of the pipeline that it was fitted as."""
    return fitted if _is_plain(member) else fitted.steps[-1][1]


def _is_plain(member: Any) -> bool:
    """Return whether a member is a pipeline that is nothing but its steps."""
    if type(member) is not Pipeline:
        return False
    return all(not value for name, value in member.get_params(deep=False).items() if name != "steps")
