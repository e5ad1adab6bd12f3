"""Random Fourier features of the Gaussian kernel."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import sklearn.kernel_approximation

from daskml_kit.arguments import check_number, random_state_of
from daskml_kit.base import DaskEstimator, check_common, fitting, numbers, precision_of
from daskml_kit.data.collections import dask_matrix, is_dask
from daskml_kit.reductions.moments import Moments, Spread
from daskml_kit.reductions.picked_rows import BlockLengths
from daskml_kit.solvers.types import DataSpec, Fit
from daskml_kit.validation import check_fit


class RBFSampler(DaskEstimator, sklearn.kernel_approximation.RBFSampler):  # type: ignore[misc]
    r"""Random Fourier features :math:`\sqrt{2 / q} \cos(w_j^\top x + b_j)`, whose inner products approximate the kernel
    :math:`\exp(-\gamma \|x - x'\|^2)`.

    Of Dask data nothing is read, but for ``gamma="scale"``, which takes one pass. Same seed, same features as
    scikit-learn's.

    Parameters
    ----------
    gamma : "scale" or float, default 1.0
        Of the kernel; "scale" is 1 / (n_features * variance of X).
    n_components : int, default 100
        Features, q above.
    random_state : int, RandomState or None, optional

    Attributes
    ----------
    random_offset_ : array of shape (n_components,)
    random_weights_ : array of shape (n_features, n_components)

    See Also
    --------
    Nystroem : Features of any kernel, from rows of the data.

    References
    ----------
    Rahimi and Recht, "Random features for large-scale kernel machines", NIPS 2007.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.random.default_rng(0).normal(size=(100, 3), chunks=(50, 3))
    >>> features = RBFSampler(n_components=500, random_state=0).fit_transform(X)
    >>> features
    dask.array<daskml-transform, shape=(100, 500), dtype=float64, chunksize=(50, 500), chunktype=numpy.ndarray>
    """

    many_passes = False

    def fit(self, X: Any, y: Any = None) -> Self:  # type: ignore[override]
        """Draw the features.

        Parameters
        ----------
        X : Dask array or DataFrame, NumPy array, pandas DataFrame or sparse matrix, of shape (n_samples, n_features)
        y : ignored

        Returns
        -------
        RBFSampler
            Itself.

        Raises
        ------
        DataError
            Where the data cannot be used; it names the argument and the block.
        """
        if not is_dask(X) or self.gamma == "scale":
            return self._fit_blocks(X)
        check_common(self)
        self._check_parameters()
        with fitting(self):
            check_fit(self, X)
            dask_matrix(X)  # refuses columns that are no numbers
            self._keep(self._drawn(self.gamma, DataSpec(self.n_features_in_, dtype=precision_of(X))))
        return self

    def _fit_steps(self, spec: DataSpec) -> Fit:
        if self.gamma != "scale":
            yield numbers(spec, BlockLengths())  # which looks for NaN, too
            return self._drawn(self.gamma, spec)
        lengths: dict[int, int]
        spread: Spread
        lengths, spread = yield numbers(spec, BlockLengths()), numbers(spec, Moments())
        if not sum(lengths.values()):
            shape = (0, spec.n_features)
            raise ValueError(f"Found array with 0 sample(s) (shape={shape}) while a minimum of 1 is required.")
        variance = float(np.mean(spread.variance)) + float(np.var(spread.mean))
        return self._drawn(1.0 / (spec.n_features * variance) if variance else 1.0, spec)

    def _drawn(self, gamma: float, spec: DataSpec) -> dict[str, Any]:
        draw = random_state_of(self.random_state)
        weights = (2.0 * gamma) ** 0.5 * draw.normal(size=(spec.n_features, self.n_components))
        offset = np.asarray(draw.uniform(0, 2 * np.pi, size=self.n_components))
        return {
            "_gamma": gamma,
            "random_weights_": weights.astype(spec.dtype, copy=False),
            "random_offset_": offset.astype(spec.dtype, copy=False),
            "_n_features_out": self.n_components,
        }

    def _check_parameters(self) -> None:
        check_number("n_components", self.n_components, low=1, integer=True)
        if self.gamma != "scale":
            check_number("gamma", self.gamma, low=0)
