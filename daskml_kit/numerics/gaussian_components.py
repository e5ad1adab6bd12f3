"""Components of a Gaussian mixture: rows whitened by each, and the maximization of expectation-maximization."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import solve_triangular

from daskml_kit.typing import Array

KINDS = ("full", "tied", "diag", "spherical")


class Gaussians(NamedTuple):
    """Weights, means and inverse factors of the covariances of some normal distributions, of one of `KINDS`.

    ``factors`` are scikit-learn's ``precisions_cholesky_``: (x - mean) times a factor has unit covariance. ``extra`` is
    added to the logarithm of each density.
    """

    weights: Array
    means: Array
    factors: Array
    kind: str
    extra: Array | float = 0.0

    def offsets(self) -> Array:
        """Return the mean of each component times its factor."""
        if self.kind in ("full", "tied"):
            return np.asarray((self.means[:, None, :] @ self.factors)[:, 0])
        return self.means * (self.factors if self.kind == "diag" else self.factors[:, None])

    def log_scales(self) -> Array:
        """Return the logarithm of each component's weight times its density at its mean."""
        d = self.means.shape[1]
        log_det = log_determinants(self.factors, self.kind, d)
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.weights) + log_det - 0.5 * d * np.log(2 * np.pi) + self.extra)


class MixtureSums(NamedTuple):
    """Rows and their log-likelihood, and sums of responsibilities, of whitened rows and of their products.

    The products are matrices for components of kind "full", squares for "diag" and "spherical", and none for "tied".
    ``entropy`` is that of the responsibilities, NaN where nobody asked.
    """

    n_rows: int
    log_likelihood: float
    weights: Array
    sums: Array
    products: Array
    entropy: float = float("nan")


class Estimates(NamedTuple):
    """Rows, means and covariances of components, of the greatest likelihood for given responsibilities."""

    rows: Array
    means: Array
    covariances: Array


class Likeliest(NamedTuple):
    """Components of the greatest likelihood, and their covariances, None at a start."""

    gaussians: Gaussians
    covariances: Array | None


def maximized(old: Likeliest, found: MixtureSums, *, reg_covar: float, scatter: Any) -> tuple[Likeliest, float]:
    """Return the components of the greatest likelihood, and the rows' mean log-likelihood before; see `estimated`."""
    new, kind = estimated(old.gaussians, found, reg_covar, scatter), old.gaussians.kind
    factors = factors_of(new.covariances, kind)
    gaussians = Gaussians(new.rows / new.rows.sum(), new.means, factors, kind)
    return Likeliest(gaussians, new.covariances), found.log_likelihood / found.n_rows


def estimated(old: Gaussians, found: MixtureSums, reg_covar: float, scatter: Any) -> Estimates:
    """Return rows, means and covariances of the components.

    Sums are about the old means and in units of the old covariances, so that no digits are lost.

    Parameters
    ----------
    old : Gaussians
        By which the rows were whitened.
    found : MixtureSums
    reg_covar : float
        Added to variances.
    scatter : array of shape (n_features, n_features), or None unless "tied"
        Products of all rows about their mean, which is zero.
    """
    mass = found.weights + 10 * np.finfo(np.float64).eps  # as scikit-learn has it
    moves = found.sums / mass[:, None]
    if old.kind in ("full", "tied"):
        roots = np.swapaxes(np.linalg.inv(old.factors), -1, -2)
        means = old.means + (roots @ moves[:, :, None])[:, :, 0]
    else:
        means = old.means + moves / (old.factors if old.kind == "diag" else old.factors[:, None])
    if old.kind == "tied":
        inside = scatter - (mass * means.T) @ means
        covariances = inside / mass.sum() + reg_covar * np.eye(len(inside))
    elif old.kind == "full":
        whitened = found.products / mass[:, None, None] - moves[:, :, None] * moves[:, None, :]
        covariances = roots @ whitened @ np.swapaxes(roots, -1, -2) + reg_covar * np.eye(means.shape[1])
    else:
        variances = found.products / mass[:, None] - moves**2
        variances = variances if old.kind == "diag" else variances.mean(axis=1)
        covariances = variances / old.factors**2 + reg_covar
    return Estimates(mass, means, covariances)


def log_determinants(factors: Array, kind: str, n_features: int) -> Array:
    """Return the logarithm of the determinant of each factor."""
    if kind in ("full", "tied"):
        return np.asarray(np.log(np.diagonal(factors, axis1=-2, axis2=-1)).sum(axis=-1))
    return np.asarray(np.log(factors).sum(axis=1) if kind == "diag" else n_features * np.log(factors))


def factors_of(covariances: Array, kind: str) -> Array:
    """Return the inverse factors of covariances.

    Raises
    ------
    ValueError
        Where a covariance is not positive definite.

    Examples
    --------
    >>> factors_of(np.array([[4.0, 0.25]]), "diag")
    array([[0.5, 2. ]])
    """
    try:
        if kind == "full":
            return np.array([_inverse_factor(each) for each in covariances])
        if kind == "tied":
            return _inverse_factor(covariances)
        if not (covariances > 0).all():
            raise np.linalg.LinAlgError("a variance is not positive")
    except np.linalg.LinAlgError:
        raise ValueError(
            "Fitting the mixture model failed because some components have ill-defined empirical covariance (for "
            "instance caused by singleton or collapsed samples). Try to decrease the number of components, increase "
            "reg_covar, or scale the input data."
        ) from None
    return np.asarray(1 / np.sqrt(covariances))


def factors_of_precisions(precisions: Array, kind: str) -> Array:
    """Return the inverse factors, upper triangles U with U U' = P, of the precisions P.

    Examples
    --------
    >>> factors_of_precisions(np.array([[2.0, 1.0], [1.0, 1.0]]), "tied")
    array([[1., 1.],
           [0., 1.]])
    """
    if kind in ("full", "tied"):
        return np.linalg.cholesky(precisions[..., ::-1, ::-1])[..., ::-1, ::-1]
    return np.sqrt(precisions)


def precisions_of(factors: Array, kind: str) -> Array:
    """Return the precisions, inverse covariances, of inverse factors."""
    return factors @ np.swapaxes(factors, -1, -2) if kind in ("full", "tied") else factors**2


def _inverse_factor(covariance: Array) -> Array:
    lower = np.linalg.cholesky(covariance)
    return np.asarray(solve_triangular(lower, np.eye(len(lower)), lower=True).T)
