"""Selection of the features that vary."""

from __future__ import annotations

from typing import Any

import numpy as np
import sklearn.feature_selection

from daskml_kit.arguments import check_number
from daskml_kit.feature_selection.base import SharedSelector
from daskml_kit.linear_model.base import require_rows
from daskml_kit.reductions.extremes import Extremes
from daskml_kit.reductions.frames import AsNumbers
from daskml_kit.reductions.moments import Moments
from daskml_kit.solvers.types import DataSpec, Fit


class VarianceThreshold(SharedSelector, sklearn.feature_selection.VarianceThreshold):  # type: ignore[misc]
    """Select the features whose variance is above a threshold; one pass. NaN is left out.

    Parameters
    ----------
    threshold : float, default 0.0
        By default all but constant features are selected.

    Attributes
    ----------
    variances_ : array of shape (n_features,)
        With a threshold of zero no more than the range of the values, so that a constant has no variance by rounding.
    profile_ : daskml_kit.engines.engine.Profile

    See Also
    --------
    SelectKBest : Looks at the target, too.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array(np.array([[0, 2, 0, 3], [0, 1, 4, 3], [0, 1, 1, 3]]), chunks=(2, 4))
    >>> VarianceThreshold().fit_transform(X).compute()
    array([[2, 0],
           [1, 4],
           [1, 1]])
    """

    def _fit_steps(self, spec: DataSpec) -> Fit:
        spread, found = yield AsNumbers(Moments()), Extremes()  # which refuses infinity
        require_rows(spread.n_rows, spread.n_rows, spec.n_features)
        variances = spread.variance
        if self.threshold == 0:
            with np.errstate(invalid="ignore"):
                variances = np.fmin(variances, found.high.astype(np.float64) - found.low.astype(np.float64))
        if np.all(~np.isfinite(variances) | (variances <= self.threshold)):
            one = " (X contains only one sample)" if spread.n_rows == 1 else ""
            raise ValueError(f"No feature in X meets the variance threshold {self.threshold:.5f}{one}")
        return {"variances_": variances}

    def _check_parameters(self) -> None:
        check_number("threshold", self.threshold, low=0)

    def fit(self, X: Any, y: Any = None) -> Any:  # type: ignore[override]
        """Find the variance of each feature.

        Parameters
        ----------
        X : Dask array or DataFrame, NumPy array, pandas DataFrame or sparse matrix, of shape (n_samples, n_features)
        y : ignored

        Returns
        -------
        selector
            Itself.

        Raises
        ------
        DataError
            Where the data cannot be used; it names the argument and the block.
        """
        return super().fit(X)
