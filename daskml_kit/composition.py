"""Compositions of estimators: fits of pipelines and unions by reductions; and conversion to plain scikit-learn."""

from __future__ import annotations

import io
import pickle
from contextlib import suppress
from copy import copy
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, is_clusterer
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.utils import get_tags

from daskml_kit.base import (
    DaskEstimator,
    DaskTransformer,
    UnsupervisedEstimator,
    has_fit_steps,
    precision_of,
    refuse_in_place,
    with_head,
    without_names,
)
from daskml_kit.exceptions import ConversionError, DataError
from daskml_kit.numerics.missing import NO_GAPS
from daskml_kit.reductions.frames import AsNumbers
from daskml_kit.solvers.run import lockstep
from daskml_kit.solvers.types import DataSpec, Fit
from daskml_kit.solvers.views import View, name_of, seen, through
from daskml_kit.validation import remember_features

PLAIN = {str, int, float, bool, type(None), np.ndarray, np.int64, np.float64}
"""Types of values that hold no estimator, of which a vocabulary has many."""


def fit_steps(estimator: Any, spec: DataSpec) -> Fit:
    """Fit an estimator, or a Pipeline or FeatureUnion of such, on the rows of ``spec``, and return it.

    A step of a pipeline sees the rows through those before it: by an affine view where the transformer has one and the
    rows are numbers, so that nothing is transformed, else block by block. scikit-learn's own transformers are taken
    where they learn nothing from data.

    Raises
    ------
    DataError
        Where an estimator does not fit by reductions.

    Examples
    --------
    >>> from sklearn.preprocessing import Normalizer, QuantileTransformer
    >>> fits_by_reductions(Normalizer()), fits_by_reductions(QuantileTransformer())
    (True, False)
    """
    if isinstance(estimator, Pipeline):
        yield from _pipeline_steps(_parts(estimator), spec)
    elif isinstance(estimator, FeatureUnion):
        yield from lockstep({at: fit_steps(part, spec) for at, part in enumerate(_parts(estimator))})
    elif has_fit_steps(estimator):
        takes_tables = spec.numeric or isinstance(estimator, DaskTransformer)
        fit = estimator._fit_steps(spec) if takes_tables else _steps_on_numbers(estimator, spec)
        estimator._keep((yield from fit))
    elif not fits_by_reductions(estimator):
        raise DataError(f"{type(estimator).__name__} cannot fit on Dask data; use its counterpart of daskml_kit")
    else:
        refuse_in_place(estimator)
        head, _ = yield from with_head(spec)
        estimator.fit(head, None)
    return estimator


def fits_by_reductions(estimator: Any) -> bool:
    """Return whether `fit_steps` knows how to fit ``estimator``."""
    if has_fit_steps(estimator):
        return True
    if isinstance(estimator, Pipeline) and (estimator.memory is not None or estimator.verbose):
        return False
    if isinstance(estimator, (Pipeline, FeatureUnion)):
        return all(fits_by_reductions(part) for part in _parts(estimator))
    if isinstance(estimator, FrozenEstimator):
        return True
    if isinstance(estimator, DaskEstimator) or not hasattr(estimator, "fit"):
        return False
    return not get_tags(estimator).requires_fit


def sees_targets(estimator: Any) -> bool:
    """Return whether a fit of one of ours, or of a part of a Pipeline or FeatureUnion, may look at targets."""
    if isinstance(estimator, (Pipeline, FeatureUnion)):
        return any(sees_targets(part) for part in _parts(estimator))
    if not has_fit_steps(estimator) or isinstance(estimator, (DaskTransformer, UnsupervisedEstimator)):
        return False
    return not is_clusterer(estimator)


def needs_many_passes(transformer: Any) -> bool:
    """Return whether a fit may read its input more than once."""
    if isinstance(transformer, DaskEstimator):  # those that take numbers ask for some rows of a table first
        return not isinstance(transformer, DaskTransformer) or bool(transformer.many_passes)
    parts = _parts(transformer) if isinstance(transformer, (Pipeline, FeatureUnion)) else []
    fit = (DaskEstimator, Pipeline)
    several = isinstance(transformer, Pipeline) and sum(isinstance(part, fit) for part in parts) > 1
    return several or any(needs_many_passes(part) for part in parts)


def view_of(transformer: Any, spec: DataSpec) -> tuple[View, DataSpec]:
    """Return the view of rows that a fitted transformer gives, and what is known of these rows."""
    if spec.numeric and hasattr(transformer, "_view"):
        view = transformer._view(spec)
        return view, replace(spec, n_features=view.width, example=None, gaps=NO_GAPS)
    twin = without_dask(transformer)
    if not spec.numeric:
        return through(twin), replace(spec, example=None)
    rows = np.zeros((1, spec.n_features), spec.dtype) if spec.example is None else spec.example
    model = unnamed(twin)
    width = model.transform(rows.to_numpy() if hasattr(rows, "to_numpy") else rows).shape[1]
    return through(model, name_of(model)), replace(spec, n_features=width, example=None)


def without_dask(value: Any) -> Any:
    """Return the scikit-learn object behind one of ours, or one of scikit-learn's with all that it holds so replaced.

    What holds nothing of ours is returned as it is; nothing is changed in place.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from daskml_kit.preprocessing import StandardScaler
    >>> fitted = make_pipeline(StandardScaler(), "passthrough").fit(np.eye(3))
    >>> type(without_dask(fitted)[0]).__module__.startswith("sklearn.")
    True
    """
    if isinstance(value, type):
        return value
    if hasattr(type(value), "to_sklearn"):
        return value.to_sklearn()
    if hasattr(type(value), "to_local"):  # of LightGBM's estimators on Dask
        return value.to_local()
    if (kind := next((c for c in type(value).__mro__ if c.__module__.startswith("xgboost.dask")), None)) is not None:
        return _of_one_process(value, kind.__name__.removeprefix("Dask"))
    if type(value) in (list, tuple):
        parts = [without_dask(part) for part in value]
        return value if all(new is old for new, old in zip(parts, value, strict=True)) else type(value)(parts)
    held = value if isinstance(value, dict) else vars(value) if isinstance(value, BaseEstimator) else {}
    holders = ((key, old) for key, old in held.items() if type(old) not in PLAIN)
    changed = {key: part for key, old in holders if (part := without_dask(old)) is not old}
    if not changed:
        return value
    twin = copy(value)
    (twin if isinstance(value, dict) else vars(twin)).update(changed)
    return twin


def _of_one_process(model: Any, name: str) -> Any:
    """Return XGBoost's estimator of this name with the parameters and the trees of its counterpart on Dask."""
    plain = getattr(import_module("xgboost"), name)(**model.get_params(deep=False))
    if model.__sklearn_is_fitted__():
        plain.load_model(bytearray(model.get_booster().save_raw()))
    return plain


def unnamed(model: Any) -> Any:
    """Return a scikit-learn model, free of Dask, that takes rows without names and does not write to them."""
    if isinstance(model, Pipeline):
        return Pipeline(
            [(name, step if step in ("passthrough", None) else unnamed(step)) for name, step in model.steps]
        )
    twin = without_dask(model)
    return without_names(copy(model) if twin is model else twin)


def _steps_on_numbers(estimator: DaskEstimator, spec: DataSpec) -> Fit:
    """Fit an estimator that takes numbers on the rows of a table."""
    head, _ = yield from with_head(spec)
    remember_features(estimator, head)
    known = replace(spec, n_features=head.shape[1], dtype=precision_of(head), numeric=True, example=None)
    return (yield from seen(View(AsNumbers), estimator._fit_steps(known)))


def _pipeline_steps(steps: list[Any], spec: DataSpec) -> Fit:
    if not steps:
        return
    first, *others = steps
    yield from fit_steps(first, spec)
    if others:
        view, inner = view_of(first, spec)
        yield from seen(view, _pipeline_steps(others, inner))


def _parts(composite: Pipeline | FeatureUnion) -> list[Any]:
    pairs = composite.steps if isinstance(composite, Pipeline) else composite.transformer_list
    return [part for _, part in pairs if part is not None and not isinstance(part, str)]


FOREIGN = ("daskml_kit", "dask", "distributed")


def to_sklearn(model: Any) -> Any:
    """Return a model as scikit-learn's own objects, with the same parameters and fitted state.

    Estimators inside a pipeline, a search, a vote or any other of scikit-learn's meta-estimators are converted with it.

    Parameters
    ----------
    model : estimator
        Fitted or not, of ours or scikit-learn's. It is not changed.

    Returns
    -------
    estimator
        One whose pickle needs neither Dask nor this package. Of an adaptive search or a `ParallelPostFit` it is the
        fitted model that these hold.

    Raises
    ------
    ConversionError
        Where scikit-learn has no such model; the message names the part.

    See Also
    --------
    joblib.dump : Writes the result to a file.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from daskml_kit.linear_model import Ridge
    >>> from daskml_kit.preprocessing import StandardScaler
    >>> model = make_pipeline(StandardScaler(), Ridge()).fit(np.eye(3), [1.0, 2.0, 3.0])
    >>> [type(step).__module__.split(".")[0] for step in to_sklearn(model)]
    ['sklearn', 'sklearn']
    """
    plain = without_dask(model)
    with suppress(pickle.PicklingError, AttributeError, TypeError):  # a function of the user that no pickle takes
        Inspector(type(model).__name__).dump(plain)
    return plain


class Inspector(pickle.Pickler):
    """Pickler that refuses what would need Dask or this package to be loaded; all that it writes is thrown away."""

    def __init__(self, name: str) -> None:
        super().__init__(io.BytesIO(), protocol=pickle.HIGHEST_PROTOCOL)
        self.name = name

    def persistent_id(self, value: Any) -> None:
        """Look at each object before it is written."""
        kind = value if isinstance(value, type) or (callable(value) and hasattr(value, "__qualname__")) else type(value)
        if str(kind.__module__).split(".")[0] in FOREIGN:
            part = kind.__qualname__
            held = "it" if part == self.name else f"{self.name} holds a {part}, which"
            raise ConversionError(f"cannot convert {self.name} to scikit-learn: {held} has no counterpart there")
