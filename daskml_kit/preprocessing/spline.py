"""Spline bases of features."""

from __future__ import annotations

from typing import Any

import numpy as np
import sklearn.preprocessing

from daskml_kit.arguments import check_number
from daskml_kit.base import of_numbers
from daskml_kit.preprocessing.weighted import WeightedTransformer
from daskml_kit.reductions.extremes import Extremes
from daskml_kit.reductions.frames import rows_like
from daskml_kit.reductions.quantiles import quantiles
from daskml_kit.solvers.types import DataSpec, Fit


class SplineTransformer(WeightedTransformer, sklearn.preprocessing.SplineTransformer):  # type: ignore[misc]
    """Make the B-splines of each feature.

    Knots at equal distances take one pass, those at quantiles, which are exact, three at most.
    Parameters, attributes and methods are those of `sklearn.preprocessing.SplineTransformer`.

    Parameters
    ----------
    n_knots : int, default 5
    degree : int, default 3
    knots : {"uniform", "quantile"} or array of shape (n_knots, n_features), default "uniform"
    extrapolation : {"error", "constant", "linear", "continue", "periodic"}, default "constant"
    include_bias : bool, default True
    order : {"C", "F"}, default "C"
        Order of the result of dense blocks in memory.
    handle_missing : {"error", "zeros"}, default "error"
        Whether NaN raises or becomes zeros.
    sparse_output : bool, default False
        Whether `transform` gives CSR; on Dask input an array of CSR blocks.

    Attributes
    ----------
    bsplines_ : list of scipy.interpolate.BSpline
    n_features_out_ : int

    See Also
    --------
    PolynomialFeatures : Products of features.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array(np.array([[0.0], [1.0], [2.0]]), chunks=2)
    >>> SplineTransformer(n_knots=2, degree=1).fit_transform(X).compute()
    array([[1. , 0. ],
           [0.5, 0.5],
           [0. , 1. ]])
    """

    @property
    def many_passes(self) -> bool:
        """Return whether one pass over the data is not enough."""
        return isinstance(self.knots, str) and self.knots == "quantile"

    def _check_weight(self, sample_weight: Any) -> None:
        if sample_weight is not None and self.many_passes:
            raise ValueError("sample_weight: not supported with knots='quantile'; give the knots as an array")

    def _fit_steps(self, spec: DataSpec) -> Fit:
        check_number("n_knots", self.n_knots, low=2, integer=True)
        knots = quantiles(np.linspace(0, 1, self.n_knots)) if self.many_passes else _ends()
        head, rows = yield from of_numbers(spec, knots, nan=getattr(self, "handle_missing", "error") == "zeros")
        genuine = sklearn.preprocessing.SplineTransformer(**self.get_params(deep=False))
        return self._learned(genuine.fit(rows_like(rows, head)), head)


def _ends() -> Fit:
    found = yield Extremes()
    return np.stack([found.low, found.high])
