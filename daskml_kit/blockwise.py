"""Transformers that fit on Dask data by questions, and transform it block by block."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import dask.array as da
import numpy as np
import pandas as pd
import sklearn
from sklearn.utils.validation import check_is_fitted

from daskml_kit.engines.blocks import is_dask, n_features_of
from daskml_kit.engines.tables import Tables
from daskml_kit.errors import DataError
from daskml_kit.example import like, plain_strings
from daskml_kit.queries.tables import first_rows, is_sparse
from daskml_kit.study import Study, drive, refuse_in_place
from daskml_kit.twin import SklearnTwin, map_rows

EXAMPLE_ROWS = 3


class Blockwise(SklearnTwin):
    """Mixin, before a scikit-learn transformer, that gives its methods Dask input.

    Input in memory is scikit-learn's own affair. On Dask data ``fit`` drives `study`, which sets the state that
    scikit-learn's ``fit`` would have set, and ``transform`` is scikit-learn's on each block, lazily.
    """

    genuine: ClassVar[type[Any]]
    """The scikit-learn class whose methods and fitted state the estimator has."""

    many_passes: ClassVar[Any] = False

    _example: Any
    """A few rows of the input of fit: what transform gives for them tells the type of its result."""

    def study(self) -> Study:
        """Yield the questions of a fit, and set the fitted attributes from their answers."""
        raise NotImplementedError

    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:
        """Fit to X, the rest as in scikit-learn.

        Parameters
        ----------
        X : Dask DataFrame or array, or anything that scikit-learn takes
        y : ignored

        Raises
        ------
        DataError
            Where a block cannot be used; the message names it.
        """
        if not is_dask(X):
            super().fit(X, y, **params)  # type: ignore[misc]
            return self._remember(X)
        table = prepare(self, X)
        drive(self.study(), Tables(table, keep=self.many_passes))
        return self

    def transform(self, X: Any, **params: Any) -> Any:
        """Transform X: at once in memory, lazily on Dask.

        Returns
        -------
        What scikit-learn returns; for Dask input a Dask array, of CSR blocks where the result is sparse, or after
        ``set_output(transform="pandas")`` a Dask DataFrame.
        """
        if not is_dask(X):
            return super().transform(X, **params)  # type: ignore[misc]
        check_is_fitted(self)
        return self._map("transform", X, params)

    def fit_transform(self, X: Any, y: Any = None, **params: Any) -> Any:
        """Fit to X, then transform it."""
        if is_dask(X):
            return self.fit(X, y, **params).transform(X)
        result = super().fit_transform(X, y, **params)  # type: ignore[misc]
        self._remember(X)
        return result

    def to_sklearn(self) -> Any:
        """Return the scikit-learn transformer with the same parameters and fitted state, free of Dask."""
        twin = self.genuine()
        vars(twin).update({name: value for name, value in vars(self).items() if name != "_example"})
        return twin

    def _adopt(self, fitted: Any, example: Any) -> None:
        """Take over the fitted state of a scikit-learn transformer."""
        forget(self)
        parameters = self.get_params(deep=False)  # type: ignore[attr-defined]
        vars(self).update({name: value for name, value in vars(fitted).items() if name not in parameters})
        self._example = example

    def _remember(self, X: Any) -> Self:
        shaped: Any = X if hasattr(X, "shape") and (hasattr(X, "iloc") or not hasattr(X, "columns")) else np.asarray(X)
        self._example = first_rows(shaped.tocsr() if hasattr(shaped, "tocsr") else shaped, EXAMPLE_ROWS)
        return self

    def _map(self, method: str, X: Any, params: dict[str, Any]) -> Any:
        given = [name for name, value in params.items() if value is not None]
        if given:
            raise DataError(f"{type(self).__name__}.{method}: {', '.join(given)} not possible on Dask input")
        refuse_in_place(self)
        table, twin = plain_strings(X), self.to_sklearn()
        example = like(self._example, table) if method == "transform" else self._outcome(method, twin, X)
        meta = getattr(twin, method)(example)[:0]
        if isinstance(meta, pd.DataFrame) and sklearn.get_config()["transform_output"] == "pandas":
            twin.set_output(transform="pandas")  # the workers do not have this process's configuration
        elif not isinstance(meta, (np.ndarray, pd.DataFrame)) and not is_sparse(meta):
            raise DataError(f"set_output: expected 'default' or 'pandas' for Dask input, got {type(meta).__module__}")
        return _with_meta(map_rows(twin, method, table, meta), meta)

    def _outcome(self, method: str, twin: Any, X: Any) -> Any:
        """Return what transform gives, as an example of the input of ``inverse_transform``."""
        outcome = twin.transform(self._example)
        if n_features_of(X) != outcome.shape[1]:
            raise DataError(f"{method}: X has {n_features_of(X)} columns, expected the {outcome.shape[1]} of transform")
        return like(outcome, X)


class Invertible(Blockwise):
    """Mixin of the transformers that have an inverse."""

    def inverse_transform(self, X: Any, **params: Any) -> Any:
        """Undo `transform`: at once in memory, lazily on Dask."""
        if not is_dask(X):
            return super().inverse_transform(X, **params)  # type: ignore[misc]
        check_is_fitted(self)
        return self._map("inverse_transform", X, params)


def prepare(transformer: Any, X: Any) -> Any:
    """Check Dask input of a fit, and return it ready to be asked about."""
    if n_features_of(X) == 0:
        raise DataError(f"Found array with 0 feature(s) (shape={X.shape}) while a minimum of 1 is required.")
    refuse_in_place(transformer)
    return plain_strings(X)


def forget(transformer: Any) -> None:
    """Remove the fitted attributes of an earlier fit."""
    for name in [name for name in vars(transformer) if name.endswith("_") and not name.startswith("_")]:
        delattr(transformer, name)


def _with_meta(result: Any, meta: Any) -> Any:
    """Say that the blocks are sparse, which Dask forgets on the way from a data frame."""
    if not is_sparse(meta) or not isinstance(result, da.Array):
        return result
    return da.Array(result.dask, result.name, result.chunks, meta=meta)
