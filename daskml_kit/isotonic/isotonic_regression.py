"""Isotonic regression."""

from __future__ import annotations

import numbers
from collections.abc import Generator
from typing import Any, Self

import dask.array as da
import dask.dataframe as dd
import numpy as np
import sklearn.isotonic
from sklearn.isotonic import check_increasing
from sklearn.utils.validation import check_is_fitted

from daskml_kit.arguments import check_choice
from daskml_kit.base import DaskEstimator, fitting, forget, genuine_class, precision_of
from daskml_kit.blockwise import map_rows
from daskml_kit.data.collections import dask_matrix, dask_vector, is_dask
from daskml_kit.engines.open import open_engine
from daskml_kit.exceptions import DataError
from daskml_kit.reductions.sorted_sums import (
    NO_POOLS,
    GatheredRows,
    Points,
    Pools,
    SortedSums,
    SortedTotals,
    grouped,
    merged,
    pooled,
)
from daskml_kit.solvers.run import run
from daskml_kit.solvers.types import DataSpec, Fit
from daskml_kit.typing import Array
from daskml_kit.validation import check_fit

MOST_POINTS = 2**23
"""Distinct values of x that are brought together in one pass, of 24 bytes each."""


class IsotonicRegression(DaskEstimator, sklearn.isotonic.IsotonicRegression):  # type: ignore[misc]
    r"""Isotonic regression, :math:`\min_f \sum_i s_i (y_i - f(x_i))^2` over monotonic f, in one pass.

    The pass brings the distinct values of x together, sorted, with the weight and the mean target of each. Of more than
    8 million (200 MB) one range after another is brought together, a pass for each, and pooled before the next.

    Parameters
    ----------
    y_min, y_max : float, optional
        Bounds of what is predicted.
    increasing : bool or "auto", default True
        Whether f increases or decreases; "auto" goes by the sign of Spearman's correlation, for whose ranks x and y of
        all rows are brought together, 24 bytes a row.
    out_of_bounds : {"nan", "clip", "raise"}, default "nan"
        What is predicted outside of the x of the fit: NaN, the value at the nearest x, or an error.

    Attributes
    ----------
    X_min_, X_max_ : float
    X_thresholds_, y_thresholds_ : array of shape (n_thresholds,)
        Points between which f is linear.
    f_ : callable
    increasing_ : bool

    See Also
    --------
    daskml_kit.linear_model.LinearRegression : A straight line.

    References
    ----------
    Best and Chakravarti, "Active set algorithms for isotonic regression; a unifying framework", 1990.

    Examples
    --------
    >>> import dask.array as da
    >>> x, y = da.arange(4, chunks=2), da.from_array(np.array([1.0, 3.0, 2.0, 4.0]), chunks=2)
    >>> IsotonicRegression().fit(x, y).predict(x).compute()
    array([1. , 2.5, 2.5, 4. ])
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # type: ignore[override]
        """Fit the function.

        Parameters
        ----------
        X : array, Series, Dask array or Series of shape (n_samples,), or with one column
        y : array, Series, Dask array or Series of shape (n_samples,)
        sample_weight : array or Dask array of shape (n_samples,), optional

        Returns
        -------
        IsotonicRegression
            Itself.

        Raises
        ------
        DataError
            Where the data cannot be used; it names the argument and the block.
        """
        self._check_parameters()
        with fitting(self):
            if not any(map(is_dask, (X, y, sample_weight))):
                super(DaskEstimator, self).fit(X, y, sample_weight)
                return self
            column = one_column(X)
            forget(self)
            inputs = check_fit(self, column, y, sample_weight)
            with open_engine(*inputs, many_passes=False) as engine:
                spec = DataSpec(1, None, precision_of(column), engine.n_blocks)
                fitted = run(engine, {None: self._fit_steps(spec)})[None]
            del self.n_features_in_  # which scikit-learn's class does not have
            self._keep({**fitted, "profile_": engine.profile})
        return self

    def _fit_steps(self, spec: DataSpec) -> Fit:
        apart = float(np.finfo(spec.dtype).resolution)
        if isinstance(self.increasing, str):
            x, y, weight = yield GatheredRows()
            require_points(int((weight > 0).sum()))
            increasing = bool(check_increasing(x, y))
            kept = weight > 0
            points = merged(x[kept], weight[kept], (weight * y)[kept])
            pools = pooled(NO_POOLS, grouped(points, apart), increasing=increasing)
        else:
            increasing = bool(self.increasing)
            pools = yield from pools_of_ranges(apart, increasing=increasing)
        genuine = genuine_class(type(self))
        twin = genuine(**{**self._sklearn_parameters(genuine), "increasing": increasing})
        ends = np.stack([pools.first, pools.last], axis=1).ravel(), np.repeat(pools.value, 2)
        twin.fit(*(values.astype(spec.dtype) for values in ends))
        return {name: value for name, value in vars(twin).items() if name.endswith("_")}

    def predict(self, T: Any) -> Any:
        """Return the values of the function: at once in memory, lazily on Dask input.

        Parameters
        ----------
        T : array, Series, Dask array or Series of shape (n_samples,), or with one column

        Returns
        -------
        array or Dask array of shape (n_samples,)
            Values of the function.
        """
        check_is_fitted(self)
        twin = self.to_sklearn()
        if not is_dask(T):
            return twin.predict(T)
        return map_rows(twin, "predict", one_column(T), np.empty(0, self.X_thresholds_.dtype))

    def transform(self, T: Any) -> Any:
        """Return the values of the function, as `predict`.

        Parameters
        ----------
        T : array, Series, Dask array or Series of shape (n_samples,), or with one column

        Returns
        -------
        array or Dask array of shape (n_samples,)
            Values of the function.
        """
        return self.predict(T) if is_dask(T) else super(DaskEstimator, self).transform(T)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "f_"}  # of a copy, unlike scikit-learn's

    def _check_parameters(self) -> None:
        for name in ("y_min", "y_max"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, numbers.Real) or np.isnan(float(value))):
                raise ValueError(f"{name}: expected a number or None, got {value!r}")
        if not isinstance(self.increasing, (bool, np.bool_)):
            check_choice("increasing", self.increasing, (True, False, "auto"))
        check_choice("out_of_bounds", self.out_of_bounds, ("nan", "clip", "raise"))


def one_column(X: Any) -> da.Array:
    """Return X, of one dimension or of one column, as a Dask array of one column."""
    shape = np.shape(X) if not hasattr(X, "shape") else X.shape
    if len(shape) > 2 or (len(shape) == 2 and shape[1] != 1):
        raise DataError(f"Isotonic regression input X should be a 1d array or 2d array with 1 feature, got {shape}")
    if not is_dask(X):
        raise DataError(f"X: expected a Dask array or Series beside Dask targets, got {type(X).__name__}")
    if isinstance(X, dd.DataFrame) or len(shape) == 2:
        return dask_matrix(X)
    return dask_vector(X, "X")[:, None]


def require_points(n_rows: int) -> None:
    """Raise where no row has a positive weight."""
    if n_rows == 0:
        raise ValueError("Found array with 0 sample(s) of positive weight while a minimum of 1 is required.")


def pools_of_ranges(apart: float, *, increasing: bool) -> Generator[Any, Any, Pools]:
    """Return the isotonic fit of all points, of one range of x after another where there are many.

    The last group of a range waits for the next range, whose first points may belong to it.
    """
    ranges, pools, n_rows = [(-np.inf, np.inf)], NO_POOLS, 0
    waiting = Points(np.empty(0), np.empty(0), np.empty(0))
    while ranges:
        found: SortedTotals = yield SortedSums(MOST_POINTS, *ranges[-1])
        low, high = ranges.pop()
        if found.points is None:
            ranges += cut_range(low, high, found)[::-1]
            continue
        n_rows += found.n_rows
        groups = grouped(Points(*map(np.append, waiting, found.points)), apart)
        waiting = Points(*(values[-1:] for values in groups))
        pools = pooled(pools, Points(*(values[:-1] for values in groups)), increasing=increasing)
    require_points(n_rows)
    return pooled(pools, waiting, increasing=increasing)


def cut_range(low: float, high: float, found: SortedTotals) -> list[tuple[float, float]]:
    """Return ranges of about half as many points as may be brought together."""
    n_ranges = -(-2 * found.n_points // MOST_POINTS)
    places = np.linspace(0, len(found.x), n_ranges + 1).astype(int)[1:-1]
    edges: Array = np.unique([low, *found.x[places], high])
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))
