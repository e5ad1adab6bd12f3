"""Bins and splines of features, learned from rows that may have weights."""

from __future__ import annotations

from numbers import Integral
from typing import Any, Self

import numpy as np
import sklearn.preprocessing

from daskml_kit.arguments import check_choice, check_number, naming
from daskml_kit.base import DaskTransformer, of_numbers
from daskml_kit.data.collections import is_dask
from daskml_kit.preprocessing.power import drawn
from daskml_kit.reductions.frames import rows_like
from daskml_kit.reductions.quantiles import quantiles
from daskml_kit.reductions.sums import Extremes
from daskml_kit.solvers.types import DataSpec, Fit
from daskml_kit.typing import Array
from daskml_kit.validation import seed_of


class WeightedTransformer(DaskTransformer):
    """Mixin of transformers whose rows may have weights."""

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:  # type: ignore[override]
        """Fit to X.

        Parameters
        ----------
        X : Dask DataFrame or array, or anything that scikit-learn takes, of shape (n_samples, n_features)
        y : ignored
        sample_weight : array or Dask array of shape (n_samples,), optional

        Returns
        -------
        transformer
            Itself.

        Raises
        ------
        DataError
            Where a block cannot be used; the message names it.
        """
        self._check_weight(sample_weight)
        if sample_weight is not None and not is_dask(sample_weight):
            with naming("sample_weight"):
                np.asarray(sample_weight, np.float64)
        return self._fit_any(X, y, {"sample_weight": sample_weight})

    def _check_weight(self, sample_weight: Any) -> None:
        """Raise where weights are given that the parameters leave no use for."""


class KBinsDiscretizer(WeightedTransformer, sklearn.preprocessing.KBinsDiscretizer):  # type: ignore[misc]
    """Cut each feature into bins, and encode them.

    One pass draws a sample of rows without replacement, of which the bins are made; with ``subsample=None`` they are
    made of all rows, exactly: in one pass where they are of equal width, in three at most where they are quantiles.
    Parameters, attributes and methods are those of `sklearn.preprocessing.KBinsDiscretizer`; data of no more than
    ``subsample`` rows give its numbers.

    Parameters
    ----------
    n_bins : int or array of shape (n_features,), default 5
        With ``subsample=None`` and quantiles an int.
    encode : {"onehot", "onehot-dense", "ordinal"}, default "onehot"
    strategy : {"uniform", "quantile", "kmeans"}, default "quantile"
        The last needs ``subsample``.
    quantile_method : str, default "averaged_inverted_cdf"
        See `numpy.quantile`; with ``subsample=None`` this or "linear".
    dtype : float32 or float64, default None
        Type of the result; by default that of the rows.
    subsample : int or None, default 200000
        The rows of the sample; None takes all rows.
    random_state : int, RandomState or None, default None
        Seed of the sample; None is 0.

    Attributes
    ----------
    bin_edges_ : array of shape (n_features,) of arrays
    n_bins_ : array of shape (n_features,)

    See Also
    --------
    Binarizer : Two bins.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array(np.array([[1.0], [2.0], [50.0], [60.0]]), chunks=2)
    >>> KBinsDiscretizer(n_bins=2, encode="ordinal").fit_transform(X).compute().ravel()
    array([0., 0., 1., 1.])
    """

    @property
    def many_passes(self) -> bool:
        """Return whether one pass over the data is not enough."""
        return bool(self.subsample is None and self.strategy == "quantile")

    @property
    def transforms_rows(self) -> bool:
        """Return whether no sample is drawn, which of data in memory is another."""
        return self.subsample is None

    def _check_weight(self, sample_weight: Any) -> None:
        if sample_weight is not None and self.many_passes:
            raise ValueError("sample_weight: not supported for quantiles of all rows; give subsample a number of rows")

    def _fit_steps(self, spec: DataSpec) -> Fit:
        parameters, weight = self._sklearn_parameters(sklearn.preprocessing.KBinsDiscretizer), None
        if self.subsample is not None:
            check_number("subsample", self.subsample, low=1, integer=True)
            seed = seed_of(self.random_state)
            head, sample = yield from of_numbers(spec, drawn(self.subsample, seed), nan=False)
            rows, weight = sample.X, sample.weight
        else:
            head, rows = yield from of_numbers(spec, self._edges(), nan=False)
            parameters["quantile_method"] = "linear"  # between rows that are the edges
        genuine = sklearn.preprocessing.KBinsDiscretizer(**parameters)
        genuine.fit(rows_like(rows, head), sample_weight=weight)
        if self.many_passes:
            genuine.set_params(quantile_method=self.quantile_method)
            _restore(genuine.bin_edges_, rows)
        return self._learned(genuine, head)

    def _edges(self) -> Fit:
        """Return rows that have the same bins as all rows."""
        check_choice("strategy", self.strategy, ("uniform", "quantile"))
        if self.strategy == "uniform":
            found = yield Extremes()
            return np.stack([found.low, found.high])
        check_choice("quantile_method", self.quantile_method, ("linear", "averaged_inverted_cdf"))
        if not isinstance(self.n_bins, Integral):
            raise ValueError(f"n_bins: expected an integer where subsample=None takes all rows, got {self.n_bins!r}")
        check_number("n_bins", self.n_bins, low=2, integer=True)
        levels = np.linspace(0, 100, int(self.n_bins) + 1) / 100
        return (yield from quantiles(levels, method=self.quantile_method))


def _restore(bin_edges: Array, known: Array) -> None:
    """Give edges that were interpolated between those known, at these, their very values."""
    for position, edges in enumerate(bin_edges):
        if np.isfinite(edges).all():
            column = known[:, position]
            bin_edges[position] = column[np.abs(column[:, None] - edges).argmin(axis=0)]


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
