"""Scalers of features: by mean and variance, by range, and by quantiles."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import scipy.sparse as sp
import scipy.stats
import sklearn.preprocessing
from sklearn.utils.metaestimators import available_if

from daskml_kit.arguments import naming
from daskml_kit.base import (
    DaskTransformer,
    forget,
    genuine_class,
    numbers,
    of_numbers,
    prepare,
    restored,
    spec_of_table,
    with_head,
    without_names,
)
from daskml_kit.data.collections import is_dask
from daskml_kit.engines.open import open_engine, open_table
from daskml_kit.exceptions import DataError
from daskml_kit.numerics.linalg import scale_of
from daskml_kit.reductions.frames import rows_like
from daskml_kit.reductions.moments import Moments, Spread
from daskml_kit.reductions.quantiles import quantiles
from daskml_kit.reductions.sums import Extremes
from daskml_kit.solvers.types import DataSpec, Fit
from daskml_kit.solvers.views import StandardizedView
from daskml_kit.typing import Array


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


class ExtremesScaler(DaskTransformer):
    """Mixin of scalers that learn of each feature's smallest and largest value."""

    scales_columns = True

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Go on learning from more rows.

        Parameters
        ----------
        X : Dask DataFrame or array, or anything that scikit-learn takes, of shape (n_samples, n_features)
        y : ignored

        Returns
        -------
        scaler
            Itself.

        Raises
        ------
        DataError
            Where a column is not numeric or a value is infinite; it names the block.
        """
        if not is_dask(X):
            with restored(self):
                super(DaskTransformer, self).partial_fit(X, y)  # type: ignore[misc]
                return self._remember(X)
        table = prepare(self, X)
        with open_table(table) as engine:
            return self._fit_tables(engine, self._fit_steps(spec_of_table(table), self.to_sklearn()))

    def _fit_steps(self, spec: DataSpec, earlier: Any = None) -> Fit:
        head, (found,) = yield from with_head(spec, numbers(spec, Extremes()))
        own: Any = self
        scaler = genuine_class(type(self))(**own.get_params(deep=False)) if earlier is None else earlier
        rows = np.stack([found.low, found.high])
        scaler.partial_fit(rows_like(rows, head))  # as on all rows, which have no others that matter
        scaler.n_samples_seen_ += found.n_rows - len(rows)
        return self._learned(scaler, head)


class MinMaxScaler(ExtremesScaler, sklearn.preprocessing.MinMaxScaler):  # type: ignore[misc]
    """Map each feature's range to a given one, in one pass.

    Parameters, attributes and methods are those of `sklearn.preprocessing.MinMaxScaler`.

    Parameters
    ----------
    feature_range : tuple of (float, float), default (0, 1)
        The range of the result.
    copy : bool, default True
        On Dask input a copy is always made: False is refused there.
    clip : bool, default False
        Whether values out of the range are set to its ends. The scaler is then not made part of the models of a search.

    Attributes
    ----------
    min_, scale_ : array of shape (n_features,)
        A feature becomes ``X * scale_ + min_``.
    data_min_, data_max_, data_range_ : array of shape (n_features,)
    n_samples_seen_ : int

    See Also
    --------
    MaxAbsScaler : The same around 0, also for CSR blocks.
    StandardScaler : Scaling by mean and variance.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array(np.array([[1.0], [3.0], [2.0]]), chunks=2)
    >>> MinMaxScaler().fit_transform(X).compute()
    array([[0. ],
           [1. ],
           [0.5]])
    """

    def _affine(self, spec: DataSpec) -> StandardizedView:
        shift: Array = -self.min_ / self.scale_
        return StandardizedView(shift, 1 / self.scale_, without_names(self.to_sklearn()), spec.shared)

    _view = available_if(lambda self: not self.clip)(_affine)


class MaxAbsScaler(ExtremesScaler, sklearn.preprocessing.MaxAbsScaler):  # type: ignore[misc]
    """Divide each feature by its largest absolute value, in one pass; zeros of CSR blocks stay.

    Parameters, attributes and methods are those of `sklearn.preprocessing.MaxAbsScaler`.

    Parameters
    ----------
    copy : bool, default True
        On Dask input a copy is always made: False is refused there.
    clip : bool, default False
        Whether values out of the range from -1 to 1 are set to its ends. The scaler is then not made part of the models
        of a search.

    Attributes
    ----------
    scale_, max_abs_ : array of shape (n_features,)
    n_samples_seen_ : int

    See Also
    --------
    MinMaxScaler : The same for any range.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array(np.array([[1.0], [-4.0], [2.0]]), chunks=2)
    >>> MaxAbsScaler().fit_transform(X).compute()
    array([[ 0.25],
           [-1.  ],
           [ 0.5 ]])
    """

    def _affine(self, spec: DataSpec) -> StandardizedView:
        return StandardizedView(np.zeros(len(self.scale_)), self.scale_, without_names(self.to_sklearn()), spec.shared)

    _view = available_if(lambda self: not getattr(self, "clip", False))(_affine)  # scikit-learn 1.8 has no clip


class RobustScaler(DaskTransformer, sklearn.preprocessing.RobustScaler):  # type: ignore[misc]
    """Subtract each feature's median and divide by the distance of two quantiles.

    The quantiles are exact, and take one pass up to some thirty thousand rows, else two or three: see
    `daskml_kit.reductions.quantiles`. Parameters, attributes and methods are those of
    `sklearn.preprocessing.RobustScaler`.

    Parameters
    ----------
    with_centering : bool, default True
        Whether to subtract the median. CSR blocks need False.
    with_scaling : bool, default True
        Whether to divide by the distance of the quantiles.
    quantile_range : tuple of (float, float), default (25.0, 75.0)
        The quantiles, in percent.
    copy : bool, default True
        On Dask input a copy is always made: False is refused there.
    unit_variance : bool, default False
        Whether normal features get a variance of 1.

    Attributes
    ----------
    center_, scale_ : array of shape (n_features,) or None

    See Also
    --------
    StandardScaler : Scaling by mean and variance, in one pass.

    References
    ----------
    Manku, Rajagopalan and Lindsay, "Approximate medians and other quantiles in one pass and with limited memory", 1998.

    Examples
    --------
    >>> import dask.array as da
    >>> scaler = RobustScaler().fit(da.from_array(np.array([[1.0], [2.0], [3.0], [90.0]]), chunks=2))
    >>> scaler.center_, scaler.scale_
    (array([2.5]), array([23.]))
    """

    many_passes = True
    scales_columns = True

    def _fit_steps(self, spec: DataSpec) -> Fit:
        low, high = self._check_range()
        levels = np.array([low, 50.0, high]) / 100
        order = np.argsort(levels, kind="stable")
        head, found = yield from of_numbers(spec, quantiles(levels[order]))
        lower, middle, upper = found[np.argsort(order)]
        example = rows_like(np.ones((1, head.shape[1])), head)
        scaler = sklearn.preprocessing.RobustScaler(**self.get_params(deep=False)).fit(example)
        if self.with_centering:
            scaler.center_ = middle
        if self.with_scaling:
            scaler.scale_ = _distance(lower, upper)
            if self.unit_variance:
                scaler.scale_ /= scipy.stats.norm.ppf(high / 100) - scipy.stats.norm.ppf(low / 100)
        return self._learned(scaler, head)

    def _view(self, spec: DataSpec) -> StandardizedView:
        center = np.zeros(spec.n_features) if self.center_ is None else self.center_
        scale = np.ones(spec.n_features) if self.scale_ is None else self.scale_
        return StandardizedView(center, scale, without_names(self.to_sklearn()), spec.shared)

    def _check_range(self) -> tuple[float, float]:
        given: Any = self.quantile_range
        try:
            low, high = map(float, given)
        except (TypeError, ValueError):
            low = high = np.nan
        if not 0 <= low <= high <= 100:
            raise ValueError(f"Invalid quantile range, quantile_range: expected two from 0 to 100, got {given!r}")
        return low, high


def _distance(lower: Array, upper: Array) -> Array:
    apart = upper - lower
    return np.where(apart < 10 * np.finfo(np.float64).eps, 1.0, apart)  # as scikit-learn has it
