"""Covariance estimation, by maximum likelihood and by shrinkage."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, ClassVar

import numpy as np
import scipy.linalg
import sklearn.covariance
from sklearn.covariance import shrunk_covariance

from daskml_kit.arguments import check_number, check_share
from daskml_kit.base import UnsupervisedEstimator, lazily
from daskml_kit.documentation import with_inherited_docs
from daskml_kit.exceptions import DataError
from daskml_kit.linear_model.base import require_rows
from daskml_kit.reductions.gram import Gram, Scatter
from daskml_kit.reductions.moments import FourthMoments
from daskml_kit.solvers.types import DataSpec, Fit
from daskml_kit.typing import Array, Labels


def ledoit_wolf(covariance: Array, fourth: float, n_rows: int) -> float:
    """Return the shrinkage of Ledoit and Wolf (2004).

    Parameters
    ----------
    covariance : array of shape (n_features, n_features)
    fourth : float
        The sum of the rows' norms, about their mean, to the fourth power.
    n_rows : int

    Examples
    --------
    >>> rows = np.array([[1.0, 2.0], [-1.0, 0.0], [0.0, -2.0]])
    >>> round(ledoit_wolf(rows.T @ rows / 3, 42.0, 3), 3)
    0.641
    """
    d = len(covariance)
    if d == 1:
        return 0.0
    squares, mean = float((covariance**2).sum()), float(np.trace(covariance)) / d
    distance = (squares - d * mean**2) / d
    error = min((fourth / n_rows - squares) / (d * n_rows), distance)
    return 0.0 if error == 0 else error / distance


def oracle_approximating(covariance: Array, n_rows: int) -> float:
    """Return the shrinkage of Chen, Wiesel, Eldar and Hero (2010).

    Examples
    --------
    >>> round(oracle_approximating(np.diag([2.0, 1.0]), 100), 3)
    0.277
    """
    d = len(covariance)
    if d == 1:
        return 0.0
    alpha, square = float((covariance**2).mean()), float(np.trace(covariance) / d) ** 2
    below = (n_rows + 1) * (alpha - square / d)
    return 1.0 if below == 0 else min((alpha + square) / below, 1.0)


class CovarianceEstimator(UnsupervisedEstimator):
    """Base of estimators of a covariance matrix: the products of all rows in one pass.

    Parameters
    ----------
    store_precision : bool, default True
        Whether to keep ``precision_``.
    assume_centered : bool, default False
        Whether the mean is taken to be zero.

    Attributes
    ----------
    location_ : array of shape (n_features,)
        Mean.
    covariance_ : array of shape (n_features, n_features)
    precision_ : array of shape (n_features, n_features) or None
        Pseudo-inverse of the covariance matrix.
    profile_ : daskml_kit.engines.engine.Profile
    """

    _score_is = "mean"
    many_passes: ClassVar[Any] = False
    """Whether a second pass finds the fourth powers of the rows' norms."""
    _learns_shrinkage: ClassVar[bool] = False

    mahalanobis = lazily("mahalanobis", "squared Mahalanobis distances of the rows")

    def _fit_steps(self, spec: DataSpec) -> Fit:
        own: Any = self
        d = spec.n_features
        scatter: Scatter = yield Gram()
        require_rows(scatter.n_rows, 1.0, d)
        if scatter.sparse:
            raise DataError("X: expected a dense array, got a sparse one")
        scatter.require_finite()
        location = np.zeros(d) if own.assume_centered else scatter.mean[:d]
        all_rows = np.array([scatter.n_rows]), scatter.mean[None, :d], scatter.product[None, :d, :d]
        (covariance,), (shrinkage,) = yield from group_covariances(self, *all_rows, None)
        precision = scipy.linalg.pinvh(covariance).astype(spec.dtype, copy=False) if own.store_precision else None
        fitted = {
            "location_": location.astype(spec.dtype, copy=False),
            "covariance_": covariance.astype(spec.dtype, copy=False),
            "precision_": precision,
        }
        return {**fitted, "shrinkage_": np.float64(shrinkage)} if self._learns_shrinkage else fitted

    def _shrinkage(self, covariance: Array, n_rows: int, fourth: float | None) -> float | None:
        """Return the share of the identity, None where there is to be none."""
        return None


@with_inherited_docs
class EmpiricalCovariance(CovarianceEstimator, sklearn.covariance.EmpiricalCovariance):  # type: ignore[misc]
    """Covariance matrix of greatest likelihood, in one pass.

    See Also
    --------
    LedoitWolf : For features that are many beside the rows.

    References
    ----------
    Chan, Golub and LeVeque, "Algorithms for computing the sample variance", 1983.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array(np.array([[0.0, 0.0], [2.0, 1.0], [0.0, 1.0], [2.0, 2.0]]), chunks=(2, 2))
    >>> EmpiricalCovariance().fit(X).covariance_
    array([[1. , 0.5],
           [0.5, 0.5]])
    """


@with_inherited_docs
class ShrunkCovariance(CovarianceEstimator, sklearn.covariance.ShrunkCovariance):  # type: ignore[misc]
    """Covariance matrix with a given share of a multiple of the identity, in one pass.

    Parameters
    ----------
    shrinkage : float from 0 to 1, default 0.1

    See Also
    --------
    LedoitWolf, OAS : They find the shrinkage.

    References
    ----------
    Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", 2004.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array(np.array([[0.0, 0.0], [2.0, 1.0], [0.0, 1.0], [2.0, 2.0]]), chunks=(2, 2))
    >>> ShrunkCovariance(shrinkage=1.0).fit(X).covariance_
    array([[0.75, 0.  ],
           [0.  , 0.75]])
    """

    def _shrinkage(self, covariance: Array, n_rows: int, fourth: float | None) -> float | None:
        return float(self.shrinkage)

    def _check_parameters(self) -> None:
        check_share("shrinkage", self.shrinkage)


@with_inherited_docs
class LedoitWolf(CovarianceEstimator, sklearn.covariance.LedoitWolf):  # type: ignore[misc]
    """Covariance matrix shrunk as Ledoit and Wolf do, in two passes.

    Parameters
    ----------
    block_size : int, default 1000
        Not used: no product of squares is made.

    Attributes
    ----------
    shrinkage_ : float
        Share of a multiple of the identity.

    See Also
    --------
    OAS : For normal rows, in one pass.

    References
    ----------
    Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", 2004.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array(np.array([[0.0, 0.0], [4.0, 1.0], [0.0, 1.0], [4.0, 2.0]]), chunks=(2, 2))
    >>> round(float(LedoitWolf().fit(X).shrinkage_), 3)
    0.069
    """

    many_passes = True
    _learns_shrinkage = True

    def _shrinkage(self, covariance: Array, n_rows: int, fourth: float | None) -> float | None:
        return None if fourth is None else ledoit_wolf(covariance, fourth, n_rows)

    def _check_parameters(self) -> None:
        check_number("block_size", self.block_size, low=1, integer=True)


@with_inherited_docs
class OAS(CovarianceEstimator, sklearn.covariance.OAS):  # type: ignore[misc]
    """Covariance matrix shrunk by the oracle approximating shrinkage, in one pass.

    Attributes
    ----------
    shrinkage_ : float
        Share of a multiple of the identity.

    See Also
    --------
    LedoitWolf : Rows need not be normal.

    References
    ----------
    Chen, Wiesel, Eldar and Hero, "Shrinkage algorithms for MMSE covariance estimation", 2010.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array(np.array([[0.0, 0.0], [4.0, 1.0], [0.0, 1.0], [4.0, 2.0]]), chunks=(2, 2))
    >>> round(float(OAS().fit(X).shrinkage_), 3)
    0.948
    """

    _learns_shrinkage = True

    def _shrinkage(self, covariance: Array, n_rows: int, fourth: float | None) -> float | None:
        return oracle_approximating(covariance, n_rows)


OURS: dict[type[Any], type[CovarianceEstimator]] = {
    theirs: ours
    for ours in (EmpiricalCovariance, ShrunkCovariance, LedoitWolf, OAS)
    for theirs in (ours, getattr(sklearn.covariance, ours.__name__))
}


def of_moments(estimator: Any) -> CovarianceEstimator:
    """Return the estimator of ours that does the same, its parameters checked.

    Raises
    ------
    ValueError
        Where there is none, since the moments of rows do not tell its covariance matrix.
    """
    ours = OURS.get(type(estimator))
    if ours is None:
        names = ", ".join(dict.fromkeys(kind.__name__ for kind in OURS))
        raise ValueError(
            f"covariance_estimator: expected one that needs no more than sums over rows ({names}), or None, got "
            f"{estimator!r:.60}"
        )
    found = ours(**estimator.get_params(deep=False))
    found._check_parameters()
    return found


def group_covariances(
    estimator: CovarianceEstimator, rows: Array, means: Array, products: Array, labels: Labels | None
) -> Generator[Any, Any, tuple[Array, list[float | None]]]:
    """Return the covariance matrix of each of some groups of rows, and its shrinkage, in one pass more at most.

    Parameters
    ----------
    estimator : CovarianceEstimator
    rows : array of shape (n_groups,)
        Their numbers.
    means : array of shape (n_groups, n_features)
    products : array of shape (n_groups, n_features, n_features)
        Sums of outer products about the means.
    labels : array of shape (n_groups,), optional
        The sorted labels of the groups; by default there is one, of all rows.
    """
    own: Any = estimator
    found, places = products / rows[:, None, None], means
    if own.assume_centered:
        found, places = found + means[:, :, None] * means[:, None, :], np.zeros_like(means)
    fourths = (yield FourthMoments(places, np.ones_like(means), labels)) if own.many_passes else [None] * len(rows)
    shrinkages = [
        own._shrinkage(each, int(n_rows), None if fourth is None else float(fourth))
        for each, n_rows, fourth in zip(found, rows, fourths, strict=True)
    ]
    for each, shrinkage in zip(found, shrinkages, strict=True):
        if shrinkage is not None:
            each[:] = shrunk_covariance(each, shrinkage)
    return found, shrinkages
