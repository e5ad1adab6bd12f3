"""Fits that share passes: an estimator that fits by reductions, also behind transformers that do."""

from __future__ import annotations

from collections.abc import Generator, Hashable, Mapping, Sequence
from copy import copy, deepcopy
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import dask.array as da
import numpy as np
import sklearn.impute
import sklearn.preprocessing
from dask.base import tokenize
from sklearn.base import is_classifier
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags

from daskml_kit.base import DaskEstimator, check_common, has_fit_steps
from daskml_kit.composition import view_of
from daskml_kit.exceptions import DataError, NotShared
from daskml_kit.impute import SimpleImputer
from daskml_kit.linear_model.base import LinearModel
from daskml_kit.numerics.missing import Gaps, is_nan
from daskml_kit.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from daskml_kit.solvers.types import DataSpec, Fit
from daskml_kit.solvers.views import View, mapped_coefficients, seen
from daskml_kit.typing import Array
from daskml_kit.validation import check_fit

SKIPPED = ("passthrough", None)
COUNTERPARTS = {
    sklearn.impute.SimpleImputer: SimpleImputer,
    sklearn.preprocessing.MaxAbsScaler: MaxAbsScaler,
    sklearn.preprocessing.MinMaxScaler: MinMaxScaler,
    sklearn.preprocessing.RobustScaler: RobustScaler,
    sklearn.preprocessing.StandardScaler: StandardScaler,
}
"""Transformers of ours that fit for scikit-learn's, by the class."""


class Parts(NamedTuple):
    """An estimator that fits by reductions, and the pipeline's steps before it, with their names."""

    model: Any
    before: Sequence[tuple[str, Any]] = ()

    @property
    def keeps_rows(self) -> bool:
        """Return whether passes of the model read rows that the steps before it have transformed."""
        affine = all(hasattr(ours(step), "_view") for _, step in self.before)
        return bool(self.before) and not (affine and isinstance(self.model, LinearModel))

    @property
    def imputes(self) -> bool:
        """Return whether an imputer comes first."""
        return any(isinstance(step, sklearn.impute.SimpleImputer) for _, step in self.before)


def parts_of(estimator: Any) -> Parts | str:
    """Return the parts of an estimator whose fits can share passes, or why they cannot."""
    if has_fit_steps(estimator):
        return Parts(estimator)
    if not isinstance(estimator, Pipeline):
        return f"{type(estimator).__name__} does not learn by reductions that several fits can share"
    *before, (_, model) = estimator.steps
    if not has_fit_steps(model):
        return f"its last step, {type(model).__name__}, does not learn by reductions that several fits can share"
    working = [(name, step) for name, step in before if step not in SKIPPED]
    imputers = [at for at, (_, step) in enumerate(working) if isinstance(step, sklearn.impute.SimpleImputer)]
    if imputers not in ([], [0]) or not all(map(_shows_rows, (step for _, step in working))):
        kinds = ", ".join(type(step).__name__ for _, step in working)
        return (
            "of steps before the model a SimpleImputer and then transformers of numbers that learn by reductions are "
            f"made part of it, not {kinds}"
        )
    return (_why_not_absorbed(working[0][1]) if imputers else None) or Parts(model, working)


def ours(step: Any) -> Any:
    """Return the transformer of ours for one of scikit-learn's, with its state; any other as it is."""
    kind = COUNTERPARTS.get(type(step))
    if kind is None:
        return step
    own = kind(**step.get_params(deep=False))
    vars(own).update(vars(step))
    return own


def _shows_rows(step: Any) -> bool:
    """Return whether fits on the rows that a transformer gives can share passes: it is fitted on numbers, by passes."""
    own = ours(step)
    if hasattr(own, "_view"):
        return has_fit_steps(own)
    if not (has_fit_steps(own) and hasattr(own, "transform") and own.transforms_rows):
        return False
    takes = get_tags(own).input_tags
    names = getattr(own, "_sklearn_output_config", {}).get("transform", "default")
    return takes.two_d_array and not (takes.string or takes.categorical or takes.dict) and names == "default"


def last_step(estimator: Any) -> Any:
    """Return the last step of a pipeline, or the estimator."""
    return estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator


def weight_name(estimator: Any) -> str:
    """Return the name of the parameter of ``fit`` that weighs rows for all that is fitted; "" where there is none.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> weight_name(Ridge()), weight_name(Pipeline([("model", Ridge())]))
    ('sample_weight', 'model__sample_weight')
    """
    if not isinstance(estimator, Pipeline):
        return "sample_weight"
    return f"{estimator.steps[0][0]}__sample_weight" if len(estimator.steps) == 1 else ""


def fit_shared(estimator: Any, spec: DataSpec, X: Any, y: Any) -> Fit:
    """Fit an estimator, in a pipeline each step on the rows as those before it give them, and return it.

    ``X`` and ``y``, on Dask, say width, names and types only.

    Raises
    ------
    DataError
        Where values are missing that nothing fills in.
    """
    parts = parts_of(estimator)
    if isinstance(parts, str):
        raise TypeError(parts)
    shown = yield from fit_before(parts, spec)
    model = parts.model
    check_common(model)
    model._check_parameters()
    several = bool(get_tags(model).target_tags.multi_output)
    seen_X = _rows_behind(shown.spec.n_features, shown.spec.dtype) if shown.views else X
    check_fit(model, seen_X, y, labeled=is_classifier(model), multi_output=several)
    model._keep((yield from _seen_through(shown.views, model._fit_steps(replace(shown.spec, start=spec.start)))))
    if shown.fitted:
        estimator.steps = [(name, shown.fitted.get(name, step)) for name, step in estimator.steps]
    return estimator


class Shown(NamedTuple):
    """Views of the fitted steps before a model, what is known of the rows that they show, and these steps by name."""

    views: Sequence[View]
    spec: DataSpec
    fitted: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Name that those which show the same rows have in common."""
        return " ".join(view.shows for view in self.views)

    def is_read_often(self, model: Any) -> bool:
        """Return whether a fit of a model may read these rows more than once."""
        own = copy(model)
        own.n_features_in_ = self.spec.n_features
        return bool(own.many_passes)


def fit_before(parts: Parts, spec: DataSpec) -> Generator[Any, Any, Shown]:
    """Fit the steps before the model, each on the rows as those before it give them.

    Raises
    ------
    DataError
        Where values are missing that nothing fills in.
    NotShared
        Where a step refuses the rows or its parameters, as one that fits by itself on data in memory may not.
    """
    if len(spec.gaps.columns) and not parts.imputes:
        raise DataError(
            f"Input X contains NaN, and no SimpleImputer comes before the model: column {spec.gaps.columns[0]}."
        )
    spec = replace(spec, start=None)
    views: list[View] = []
    fitted: dict[str, Any] = {}
    key: Hashable = fit_shared
    for name, step in parts.before:
        key = key, name, tokenize(type(step), step.get_params(deep=False))
        if key not in spec.shared:
            own = deepcopy(ours(step))  # so that a `RandomState` is as it was for those that fit the same step
            yield from _fit_step(own, views, spec)
        if key not in spec.shared:  # else a fit beside this one has learned the same meanwhile
            if isinstance(own, SimpleImputer) and spec.example is not None:
                own.to_sklearn().transform(spec.example)  # warns of columns that it drops, refuses what it cannot fill
            spec.shared[key] = own if isinstance(step, DaskEstimator) else own.to_sklearn(), *view_of(own, spec)
        learned, view, spec = spec.shared[key]
        views.append(view)
        fitted[name] = deepcopy(learned)
    return Shown(views, spec, fitted)


def _fit_step(step: Any, views: Sequence[View], spec: DataSpec) -> Generator[Any, Any, None]:
    try:
        check_common(step)
        step._check_parameters()
        step._keep({"n_features_in_": spec.n_features, **(yield from _seen_through(views, step._fit_steps(spec)))})
    except ValueError as error:
        raise NotShared(f"{type(step).__name__} fits by itself: {error}") from error


def shown_model(estimator: Any, *, linear: bool) -> tuple[list[Any], Any]:
    """Return the fitted transformers that show the rows which a pipeline is scored on, and what sees these rows.

    Those that map coefficients are none of them where scores are ``linear``: functions of a linear predictor.
    """
    parts = parts_of(estimator)
    if isinstance(parts, str):
        return [], estimator
    apart = [not (linear and hasattr(ours(step), "_view")) for _, step in parts.before]
    n_shown = len(apart) - apart[::-1].index(True) if True in apart else 0
    steps = [step for _, step in parts.before]
    rest = [*parts.before[n_shown:], ("model", parts.model)]
    return steps[:n_shown], Pipeline(rest) if len(rest) > 1 else parts.model


def coefficients(estimator: Any, gaps: Gaps) -> Array:
    """Return the (k, d + 1) coefficients, the intercept last, of the features as they are, with indicators of gaps."""
    model = last_step(estimator)
    coef = np.atleast_2d(model.coef_)
    whole = np.hstack([coef, np.broadcast_to(np.reshape(model.intercept_, (-1, 1)), (len(coef), 1))])
    parts = parts_of(estimator)
    if isinstance(parts, str) or not parts.before:
        return whole
    spec, views = DataSpec(parts.before[0][1].n_features_in_, gaps=gaps), []
    for _, step in parts.before:
        view, spec = view_of(ours(step), spec)
        views.append(view)
    for view in reversed(views):
        whole = mapped_coefficients(view.matrix, whole)  # type: ignore[attr-defined]  # of steps with a view of their own
    return whole


@cache
def _rows_behind(n_features: int, dtype: Any) -> Any:
    """Return lazy rows of the width and type that the steps before the model make, which are never computed."""
    return da.zeros((1, n_features), dtype=dtype)


def _seen_through(views: Sequence[View], fit: Fit) -> Fit:
    for view in reversed(views):
        fit = seen(view, fit)
    return fit


def _why_not_absorbed(imputer: Any) -> str | None:
    """Return why an imputer cannot be made part of a model; None where it can."""
    if callable(imputer.strategy):
        return f"{type(imputer).__name__} with a callable strategy needs whole columns"
    marker = imputer.missing_values
    if not is_nan(marker):
        return f"{type(imputer).__name__} is made part of a model where NaN is what is missing, not {marker!r}"
    return None
