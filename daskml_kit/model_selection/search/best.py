"""The methods of the best estimator of a search, on data in memory and lazily on Dask."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from daskml_kit.engines.blocks import is_dask
from daskml_kit.errors import DataError
from daskml_kit.example import like, plain_strings
from daskml_kit.model_selection.search.distributed import is_distributed
from daskml_kit.twin import map_rows
from daskml_kit.validation import check_features


def of_best(method: str, what: str) -> Any:
    """Return a method of a search that is that of its best estimator, and is there where this has it."""

    def apply(search: Any, X: Any) -> Any:
        check_is_fitted(search)
        return apply_lazily(search.best_estimator_, method, X)

    def has(search: Any) -> bool:
        check_refitted(search, method)
        return hasattr(getattr(search, "best_estimator_", search.estimator), method)

    apply.__name__, apply.__doc__ = method, f"Return the best estimator's {what}; lazily on Dask input."
    return available_if(has)(apply)


def check_refitted(search: Any, method: str) -> None:
    """Raise where the search keeps no best estimator."""
    if not search.refit:
        raise AttributeError(
            f"This {type(search).__name__} instance was initialized with `refit=False`. {method} is available only "
            "after refitting on the best parameters: set refit, or fit an estimator with the best_params_"
        )


def apply_lazily(model: Any, method: str, X: Any) -> Any:
    """Return ``model.method(X)``: on Dask input a lazy collection, each block a call.

    Raises
    ------
    DataError
        Where X has other features than the model, or what comes out cannot be told without computing.

    Examples
    --------
    >>> import dask.array as da
    >>> from sklearn.preprocessing import MinMaxScaler
    >>> scaler = MinMaxScaler().fit([[0.0], [4.0]])
    >>> apply_lazily(scaler, "transform", da.from_array([[1.0], [2.0]], chunks=1)).compute().tolist()
    [[0.25], [0.5]]
    """
    if not is_dask(X) or is_distributed(model):
        return getattr(model, method)(X)
    X = plain_strings(X)
    if hasattr(model, "n_features_in_") and method != "inverse_transform":
        check_features(model, X)
    return map_rows(model, method, X, _empty(model, method, X))


def _empty(model: Any, method: str, X: Any) -> Any:
    """Return the result for no rows: of made-up ones, or where the model refuses these by the classes it knows."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return getattr(model, method)(like(None, X))[:0]
    except (TypeError, ValueError) as error:
        classes = getattr(model, "classes_", None)
        if method == "predict":
            return np.empty(0, np.float64 if classes is None else classes.dtype)
        if classes is None:
            raise DataError(f"{method}: what comes of these columns is not known before rows are: {error}") from error
        decides = method == "decision_function" and len(classes) == 2
        return np.empty(0 if decides else (0, len(classes)))
