"""Nystroem approximation of a kernel."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import sklearn.kernel_approximation
from sklearn.metrics.pairwise import PAIRWISE_KERNEL_FUNCTIONS
from sklearn.utils.random import sample_without_replacement

from daskml_kit.arguments import check_choice, check_mapping, check_number, random_state_of
from daskml_kit.base import UnsupervisedEstimator, genuine_class, numbers
from daskml_kit.reductions.picked_rows import BlockLengths, rows_at
from daskml_kit.solvers.types import DataSpec, Fit
from daskml_kit.typing import Array

MOST_PERMUTED = 2**24
"""Rows of which a permutation is drawn, as scikit-learn does; of more, only the rows that are wanted are drawn."""


class Nystroem(UnsupervisedEstimator, sklearn.kernel_approximation.Nystroem):  # type: ignore[misc]
    r"""Features :math:`K_{qq}^{-1/2} k(x)` from the kernel between a row and q rows of the data, whose inner products
    approximate the kernel.

    Two passes draw the q rows: one counts the rows of the blocks, one picks. Of up to 16 million rows these are the
    rows that scikit-learn draws with the same seed.

    Parameters
    ----------
    kernel : str or callable, default "rbf"
        Any of `sklearn.metrics.pairwise.pairwise_kernels`, but for "precomputed".
    gamma, coef0 : float, optional
    degree : float, optional
        Of the kernels that have these, else not used, as in scikit-learn.
    kernel_params : dict, optional
        More parameters of the kernel, those that it has.
    n_components : int, default 100
        Rows, q above.
    random_state : int, RandomState or None, optional
    n_jobs : int, optional
        Threads that compute; by default one a processor.

    Attributes
    ----------
    components_ : array or CSR matrix of shape (n_components, n_features)
        Rows of the data.
    component_indices_ : int array of shape (n_components,)
        Their positions.
    normalization_ : array of shape (n_components, n_components)
    profile_ : daskml_kit.engines.engine.Profile

    See Also
    --------
    RBFSampler : Random features of the Gaussian kernel, without a look at the data.

    References
    ----------
    Williams and Seeger, "Using the Nystroem method to speed up kernel machines", NIPS 2000.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.random.default_rng(0).normal(size=(100, 3), chunks=(50, 3))
    >>> Nystroem(n_components=10, random_state=0).fit_transform(X)
    dask.array<daskml-transform, shape=(100, 10), dtype=float64, chunksize=(50, 10), chunktype=numpy.ndarray>
    """

    def _fit_steps(self, spec: DataSpec) -> Fit:
        lengths: dict[int, int] = yield numbers(spec, BlockLengths())
        n, wanted = sum(lengths.values()), int(self.n_components)
        if not n:
            shape = (0, spec.n_features)
            raise ValueError(f"Found array with 0 sample(s) (shape={shape}) while a minimum of 1 is required.")
        if wanted > n:
            warnings.warn(
                "n_components > n_samples. This is not possible.\nn_components was set to n_samples, which results in "
                "inefficient evaluation of the full kernel.",
                stacklevel=2,
            )
        draw, k = random_state_of(self.random_state), min(wanted, n)
        drawn = draw.permutation(n)[:k] if n <= MOST_PERMUTED else sample_without_replacement(n, k, random_state=draw)
        order = np.argsort(drawn)
        found = yield numbers(spec, rows_at(drawn[order], lengths))
        return {**self._normalized(found.X[np.argsort(order)]), "component_indices_": drawn}

    def _normalized(self, rows: Any) -> dict[str, Any]:
        """Return the attributes that scikit-learn's class has with these components, in this order."""
        k = rows.shape[0]
        genuine = genuine_class(type(self))
        twin = genuine(**{**self._sklearn_parameters(genuine), "n_components": k, "random_state": 0, "n_jobs": None})
        taken: Array = np.random.RandomState(0).permutation(k)
        twin.fit(rows[np.argsort(taken)])
        return {"components_": twin.components_, "normalization_": twin.normalization_, "_n_features_out": k}

    def _check_parameters(self) -> None:
        if not callable(self.kernel):
            check_choice("kernel", self.kernel, tuple(PAIRWISE_KERNEL_FUNCTIONS))
        check_number("n_components", self.n_components, low=1, integer=True)
        for name in ("gamma", "coef0", "degree"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), low=-np.inf if name == "coef0" else 0)
        if self.kernel_params is not None:
            check_mapping("kernel_params", self.kernel_params)
