"""Transforms of features to normal or uniform distributions: by powers, and by quantiles."""

from __future__ import annotations

from typing import Any

import numpy as np
import sklearn.preprocessing
from numpy.polynomial.chebyshev import Chebyshev, chebpts2

from daskml_kit.arguments import check_choice, check_number
from daskml_kit.base import DaskTransformer, of_numbers
from daskml_kit.exceptions import DataError
from daskml_kit.numerics.linalg import scale_of
from daskml_kit.reductions.frames import rows_like
from daskml_kit.reductions.moments import Moments, PowerSums
from daskml_kit.reductions.quantiles import TOTAL_LIMIT, quantiles
from daskml_kit.reductions.row_sample import RowSample, SampledRows
from daskml_kit.reductions.sums import Extremes
from daskml_kit.solvers.run import lockstep
from daskml_kit.solvers.types import DataSpec, Fit
from daskml_kit.typing import Array
from daskml_kit.validation import seed_of

SAMPLE = 20_000
"""Rows whose likelihood tells about where that of all rows has its maximum."""
POINTS, FIRST, LAST, MOST = 9, 0.2, 0.005, 25
"""Exponents tried in a pass, half the width of the first and the last interval of these, and the most passes."""


class PowerTransformer(DaskTransformer, sklearn.preprocessing.PowerTransformer):  # type: ignore[misc]
    """Transform each feature by the power under which it is most likely to be normal.

    The first pass draws 20,000 rows; more rows than these take three passes more, as a rule: two evaluate the
    likelihood at nine exponents of each feature, about the best of the sample and then of what a polynomial through the
    first nine says, and the last the moments. Parameters, attributes and methods are those of
    `sklearn.preprocessing.PowerTransformer`.

    Parameters
    ----------
    method : {"yeo-johnson", "box-cox"}, default "yeo-johnson"
        The second takes positive numbers only.
    standardize : bool, default True
        Whether mean 0 and variance 1 are given to the transformed features.
    copy : bool, default True
        On Dask input a copy is always made: False is refused there.

    Attributes
    ----------
    lambdas_ : array of shape (n_features,)

    See Also
    --------
    QuantileTransformer : Mapping to a normal distribution by quantiles.

    References
    ----------
    Box and Cox, "An analysis of transformations", 1964.
    Yeo and Johnson, "A new family of power transformations to improve normality or symmetry", 2000.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array(np.exp(np.arange(6.0))[:, None], chunks=2)
    >>> PowerTransformer("box-cox").fit(X).lambdas_.round(6) + 0
    array([0.])
    """

    many_passes = True

    def _fit_steps(self, spec: DataSpec) -> Fit:
        check_choice("method", self.method, ("yeo-johnson", "box-cox"))
        head, (rows, *found) = yield from of_numbers(spec, self._learning())
        genuine = sklearn.preprocessing.PowerTransformer(**self.get_params(deep=False)).fit(rows_like(rows, head))
        if found:
            genuine.lambdas_, inner = found[0].astype(genuine.lambdas_.dtype), found[1]
            own = [v for v in vars(genuine).values() if isinstance(v, sklearn.preprocessing.StandardScaler)]
            for scaler in own:  # one, or none
                vars(scaler).update(inner)
        return self._learned(genuine, head)

    def _learning(self) -> Fit:
        """Return sampled rows, and where these are not all the exponents and the state of a scaler behind them."""
        signed = self.method == "yeo-johnson"
        sample, spread, ends = yield RowSample(SAMPLE, n_values=TOTAL_LIMIT), Moments(), Extremes()
        if not signed and (ends.low <= 0).any():
            column = int(np.flatnonzero(ends.low <= 0)[0])
            raise DataError(
                "The Box-Cox transformation can only be applied to strictly positive data, and column "
                f"{column} of X has {ends.low[column]}"
            )
        if sample.complete:
            return (sample.X,)
        pilot = sklearn.preprocessing.PowerTransformer(method=self.method, standardize=False).fit(sample.X)
        fixed = spread.count == 0
        if signed:
            constant = scale_of(spread.variance, spread.mean, spread.n_rows) == 1
            fixed |= constant & (spread.variance != 1)
        lambdas = yield from likeliest(np.where(fixed, 1.0, pilot.lambdas_.astype(np.float64)), fixed, signed=signed)
        if not self.standardize:
            return sample.X, lambdas, {}
        last = yield PowerSums(lambdas[None], signed)
        mean, variance = last.mean[0], last.squares[0] / last.count
        n_seen = last.count[0] if (last.count == last.count[0]).all() else last.count
        scale = scale_of(variance, mean, n_seen)
        return sample.X, lambdas, {"mean_": mean, "var_": variance, "scale_": scale, "n_samples_seen_": n_seen}


def likeliest(start: Array, fixed: Array, *, signed: bool) -> Fit:
    """Ask for likelihoods until the most likely exponent of each feature is known, and return it.

    Parameters
    ----------
    start : array of shape (n_features,)
        Where to look first.
    fixed : bool array of shape (n_features,)
        Features that keep that exponent.
    signed : bool
        See `PowerSums`.
    """
    center, width, done = start.copy(), FIRST * np.maximum(abs(start), 1), fixed.copy()
    nodes = chebpts2(POINTS)
    for _ in range(MOST):
        if done.all():
            break
        points = center + width * nodes[:, None]
        value = (yield PowerSums(points, signed)).log_likelihood(points)
        for j in np.flatnonzero(~done):
            best = int(value[:, j].argmax())
            if best in (0, POINTS - 1) or not np.isfinite(value[:, j]).all():
                center[j], width[j] = points[best, j], 4 * width[j]  # the maximum is elsewhere, or far
                continue
            center[j] += width[j] * _highest(nodes, value[:, j])
            last = LAST * max(abs(center[j]), 1)
            done[j], width[j] = width[j] <= 2 * last, last
    return center


def _highest(nodes: Array, value: Array) -> float:
    """Return where the polynomial through values at the nodes is highest."""
    through: Any = Chebyshev.fit(nodes, value - value.max(), len(nodes) - 1, domain=[-1, 1])
    roots = through.deriv().roots()
    flat = np.clip(np.append(roots[abs(roots.imag) < 1e-9].real, nodes[value.argmax()]), -1, 1)
    return float(flat[through(flat).argmax()])


class QuantileTransformer(DaskTransformer, sklearn.preprocessing.QuantileTransformer):  # type: ignore[misc]
    """Map each feature to a uniform or a normal distribution by its quantiles.

    One pass draws a sample of rows without replacement, whose quantiles are taken; with ``subsample=None`` those of all
    rows are, exactly, in two or three passes. Parameters, attributes and methods are those of
    `sklearn.preprocessing.QuantileTransformer`; data of no more than ``subsample`` rows give its numbers.

    Parameters
    ----------
    n_quantiles : int, default 1000
    output_distribution : {"uniform", "normal"}, default "uniform"
    ignore_implicit_zeros : bool, default False
        Whether only stored numbers of CSR blocks count; needs ``subsample``.
    subsample : int or None, default 10000
        The rows of the sample; None takes all rows.
    random_state : int, RandomState or None, default None
        Seed of the sample; None is 0.
    copy : bool, default True
        On Dask input a copy is always made: False is refused there.

    Attributes
    ----------
    n_quantiles_ : int
    quantiles_ : array of shape (n_quantiles_, n_features)
    references_ : array of shape (n_quantiles_,)

    See Also
    --------
    RobustScaler : Scaling by quantiles, which keeps the shape of the distribution.
    PowerTransformer : The same by a function with one parameter.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array(np.array([[1.0], [2.0], [50.0]]), chunks=2)
    >>> QuantileTransformer(n_quantiles=3).fit_transform(X).compute()
    array([[0. ],
           [0.5],
           [1. ]])
    """

    @property
    def many_passes(self) -> bool:
        """Return whether one pass over the data is not enough."""
        return self.subsample is None

    @property
    def transforms_rows(self) -> bool:
        """Return whether no sample is drawn, which of data in memory is another."""
        return self.subsample is None

    def _fit_steps(self, spec: DataSpec) -> Fit:
        check_number("n_quantiles", self.n_quantiles, low=1, integer=True)
        if self.subsample is not None:
            check_number("subsample", self.subsample, low=1, integer=True)
        elif self.ignore_implicit_zeros:
            raise ValueError("ignore_implicit_zeros: expected False where subsample=None takes all rows, got True")
        n_rows = self.n_quantiles if self.subsample is None else self.subsample
        asked: dict[str, Any] = {"sample": drawn(n_rows, seed_of(self.random_state))}
        if self.subsample is None:
            asked["quantiles"] = quantiles(np.linspace(0, 1, self.n_quantiles))
        head, found = yield from of_numbers(spec, lockstep(asked))
        sample = found["sample"]
        sampled = self.subsample is not None or sample.complete
        rows = sample.X if sampled else found["quantiles"]
        kind = sklearn.preprocessing.QuantileTransformer
        genuine = kind(**self._sklearn_parameters(kind)).fit(rows_like(rows, head))
        if not sampled:
            genuine.quantiles_ = rows  # which scikit-learn has interpolated: no two that were equal may differ
        return self._learned(genuine, head)


def drawn(n_rows: int, seed: int) -> Fit:
    """Ask for a sample of rows, and return it."""
    sample: SampledRows = yield RowSample(n_rows, seed)
    return sample
