"""Standardization of features."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import scipy.sparse as sp
import sklearn.preprocessing

from daskml_kit.arguments import naming
from daskml_kit.base import DaskTransformer, forget, numbers, prepare, restored, spec_of_table, with_head, without_names
from daskml_kit.data.collections import is_dask
from daskml_kit.engines.open import open_engine, open_table
from daskml_kit.exceptions import DataError
from daskml_kit.numerics.linalg import scale_of
from daskml_kit.reductions.frames import rows_like
from daskml_kit.reductions.moments import Moments, Spread
from daskml_kit.solvers.types import DataSpec, Fit
from daskml_kit.solvers.views import StandardizedView


class StandardScaler(DaskTransformer, sklearn.preprocessing.StandardScaler):  # type: ignore[misc]
    r"""Subtract each feature's mean and divide by its standard deviation: :math:`z = (x - u) / s`.

    One pass learns both, in double precision, missing values left out; blocks are joined by Chan, Golub & LeVeque
    (1983). Parameters, attributes and methods are those of `sklearn.preprocessing.StandardScaler`.

    Parameters
    ----------
    copy : bool, default True
        On Dask input a copy is always made: False is refused there.
    with_mean, with_std : bool, default True
        Whether to subtract the mean, and to divide by the standard deviation. CSR blocks need ``with_mean=False``.

    Attributes
    ----------
    mean_, var_, scale_ : array of shape (n_features,) or None
    n_samples_seen_ : int or array of shape (n_features,)
        Rows that are not missing, by feature where the features differ; with weights their sum.

    See Also
    --------
    daskml_kit.impute.SimpleImputer : Values for those that are missing.

    References
    ----------
    Chan, Golub and LeVeque, "Algorithms for computing the sample variance", 1983.

    Examples
    --------
    >>> import dask.array as da
    >>> scaler = StandardScaler().fit(da.from_array(np.array([[1.0], [3.0]]), chunks=1))
    >>> scaler.mean_, scaler.scale_
    (array([2.]), array([1.]))
    """

    scales_columns = True

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:  # type: ignore[override]
        """Learn means and scales from all of X.

        Parameters
        ----------
        X : Dask DataFrame or array, or anything that scikit-learn takes, of shape (n_samples, n_features)
        y : ignored
        sample_weight : array or Dask array of shape (n_samples,), optional

        Returns
        -------
        StandardScaler
            Itself.

        Raises
        ------
        DataError
            Where a column is not numeric or a value is infinite; it names the block.
        """
        if not is_dask(X):
            return super().fit(X, y, sample_weight=sample_weight)
        prepare(self, X)
        with restored(self):
            forget(self)
            return self.partial_fit(X, y, sample_weight)

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Go on learning means and scales from more rows.

        Parameters
        ----------
        X : Dask DataFrame or array, or anything that scikit-learn takes, of shape (n_samples, n_features)
        y : ignored
        sample_weight : array or Dask array of shape (n_samples,), optional

        Returns
        -------
        StandardScaler
            Itself.

        Raises
        ------
        DataError
            Where a column is not numeric or a value is infinite; it names the block.
        """
        if not is_dask(X):
            with naming("sample_weight"):
                np.asarray(1.0 if sample_weight is None else sample_weight, np.float64)
            with restored(self):
                super().partial_fit(X, y, sample_weight)
                return self._remember(X)
        table = prepare(self, X)
        by_row = np.ndim(sample_weight) > 0
        spec = spec_of_table(table, weighted=by_row)
        if not by_row:
            factor = 1.0 if sample_weight is None else float(sample_weight)
            with open_table(table) as engine:
                steps = self._fit_steps(spec, factor, weighted=sample_weight is not None)
                return self._fit_tables(engine, steps)
        with open_engine(X, None, sample_weight, many_passes=False) as engine:
            return self._fit_tables(engine, self._fit_steps(spec, weighted=True))

    def _fit_steps(self, spec: DataSpec, factor: float = 1.0, *, weighted: bool = False) -> Fit:
        head, (spread,) = yield from with_head(spec, numbers(spec, Moments()))
        if weighted and not np.isfinite(spread.weight).all():
            raise DataError("sample_weight: expected finite numbers, got NaN or infinity")
        if self.with_std:
            spread.require_finite()
        spread = spread._replace(weight=spread.weight * factor, squares=spread.squares * factor)
        self._check_width(head.shape[1])
        known = self._known(spread.n_rows)
        return self._fitted(head, spread if known is None else Moments().combine(known, spread), weighted)

    def _view(self, spec: DataSpec) -> StandardizedView:
        mean = self.mean_ if self.with_mean and self.mean_ is not None else np.zeros(spec.n_features)
        scale = self.scale_ if self.scale_ is not None else np.ones(spec.n_features)
        return StandardizedView(mean, scale, without_names(self.to_sklearn()), spec.shared)

    def _known(self, n_rows: int) -> Spread | None:
        """Return what an earlier `partial_fit` learned."""
        if not hasattr(self, "n_samples_seen_"):
            return None
        seen = np.broadcast_to(np.asarray(self.n_samples_seen_, dtype=np.float64), (self.n_features_in_,))
        mean = np.zeros(len(seen)) if self.mean_ is None else np.nan_to_num(self.mean_)
        squares = np.zeros(len(seen)) if self.var_ is None else np.nan_to_num(self.var_) * seen
        return Spread(n_rows, seen, seen, mean, squares)

    def _check_width(self, width: int) -> None:
        expected = getattr(self, "n_features_in_", width)
        if width != expected:
            raise DataError(f"X has {width} features, but StandardScaler is expecting {expected} features as input")

    def _fitted(self, head: Any, spread: Spread, weighted: bool) -> dict[str, Any]:
        fitted = self._learned(_fit_names(self, head), head)
        learns = self.with_std or (not sp.issparse(head) and self.with_mean)
        seen = spread.weight if weighted and (learns or sp.issparse(head)) else spread.count
        seen = seen.astype(np.float64 if weighted or learns else np.int64)
        n_seen = seen[0] if (seen == seen[0]).all() else seen
        observed = spread.weight > 0
        variance = np.where(observed, spread.variance, np.nan)
        return {
            **fitted,
            "n_samples_seen_": n_seen,
            "mean_": np.where(observed, spread.mean, np.nan) if learns else None,
            "var_": variance if self.with_std else None,
            "scale_": scale_of(variance, spread.mean, n_seen) if self.with_std else None,
        }


def _fit_names(scaler: StandardScaler, head: Any) -> Any:
    """Let scikit-learn check the parameters and remember the features, on rows of ones."""
    ones = rows_like(np.ones((1, head.shape[1])), head)
    return sklearn.preprocessing.StandardScaler(**scaler.get_params(deep=False)).fit(ones)
