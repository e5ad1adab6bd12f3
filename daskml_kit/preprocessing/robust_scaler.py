"""Scaling of features by their quantiles."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.stats
import sklearn.preprocessing

from daskml_kit.base import DaskTransformer, of_numbers, without_names
from daskml_kit.reductions.frames import rows_like
from daskml_kit.reductions.quantiles import quantiles
from daskml_kit.solvers.types import DataSpec, Fit
from daskml_kit.solvers.views import StandardizedView
from daskml_kit.typing import Array


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
