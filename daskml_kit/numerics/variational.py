"""Posterior distributions of a Gaussian mixture's parameters, by variational inference."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.special import betaln, digamma, gammaln

from daskml_kit.numerics.gaussian_components import (
    Estimates,
    Gaussians,
    MixtureSums,
    estimated,
    factors_of,
    log_determinants,
)
from daskml_kit.typing import Array


class Priors(NamedTuple):
    """Prior distributions of weights, means and covariances.

    ``process`` says whether weights are of a Dirichlet process, else of a Dirichlet distribution; ``mean`` is less the
    shift of the rows.
    """

    concentration: float
    process: bool
    mean_precision: float
    mean: Array
    degrees: float
    covariance: Array


class Posterior(NamedTuple):
    """Posterior distributions of weights, means and covariances, named as scikit-learn's attributes are.

    ``concentration`` is a pair of arrays of beta distributions for a Dirichlet process, else one array.
    """

    concentration: Any
    mean_precision: Array
    means: Array
    degrees: Array
    covariances: Array
    factors: Array
    kind: str

    @property
    def gaussians(self) -> Gaussians:
        """The densities in expectation: their logarithms are averages over the posterior."""
        k, d = self.means.shape
        degrees = np.atleast_1d(self.degrees)
        log_lambda = d * np.log(2.0) + digamma(0.5 * (degrees - np.arange(d)[:, None])).sum(axis=0)
        extra = 0.5 * (log_lambda - d * np.log(degrees) - d / self.mean_precision) + self._log_weights()
        return Gaussians(np.ones(k), self.means, self.factors, self.kind, extra)

    def weights(self) -> Array:
        """Return the expected weights of the components."""
        if not isinstance(self.concentration, tuple):
            return np.asarray(self.concentration / self.concentration.sum())
        first, second = self.concentration
        rest = second / (first + second)
        weights = first / (first + second) * np.append(1.0, np.cumprod(rest[:-1]))
        return np.asarray(weights / weights.sum())

    def lower_bound(self, entropy: float) -> float:
        """Return the lower bound of the log evidence, less constants, for responsibilities of this entropy."""
        k, d = self.means.shape
        degrees = np.atleast_1d(self.degrees)
        log_det = log_determinants(self.factors, self.kind, d) - 0.5 * d * np.log(degrees)
        gammas = gammaln(0.5 * (degrees - np.arange(d)[:, None])).sum(axis=0)
        wishart = -(degrees * (log_det + 0.5 * d * np.log(2.0)) + gammas)
        if isinstance(self.concentration, tuple):
            of_weights = -betaln(*self.concentration).sum()
        else:
            of_weights = gammaln(self.concentration.sum()) - gammaln(self.concentration).sum()
        total = k * wishart[0] if self.kind == "tied" else wishart.sum()
        return float(entropy - total - of_weights - 0.5 * d * np.log(self.mean_precision).sum())

    def _log_weights(self) -> Array:
        """Return the expected logarithms of the weights."""
        if not isinstance(self.concentration, tuple):
            return np.asarray(digamma(self.concentration) - digamma(self.concentration.sum()))
        first, second = self.concentration
        both = digamma(first + second)
        return np.asarray(digamma(first) - both + np.append(0.0, np.cumsum(digamma(second) - both)[:-1]))


def inferred(
    old: Posterior, found: MixtureSums, *, priors: Priors, reg_covar: float, scatter: Any
) -> tuple[Posterior, float]:
    """Return the posterior for given responsibilities, and its lower bound; see `estimated`.

    Parameters
    ----------
    old : Posterior
        By which the rows were whitened.
    found : MixtureSums
        With an entropy.
    priors : Priors
    reg_covar : float
        Added to variances of the rows.
    scatter : array of shape (n_features, n_features), or None unless "tied"
        Products of all rows about their mean, which is zero.
    """
    new = posterior(estimated(old.gaussians, found, reg_covar, scatter), priors, old.kind)
    return new, new.lower_bound(found.entropy)


def posterior(found: Estimates, priors: Priors, kind: str) -> Posterior:
    """Return the posterior for estimates of rows, means and covariances (Bishop 2006, section 10.2)."""
    rows, k = found.rows, len(found.rows)
    later = np.append(np.cumsum(rows[::-1])[-2::-1], 0.0)
    concentration = (1.0 + rows, priors.concentration + later) if priors.process else priors.concentration + rows
    precision = priors.mean_precision + rows
    means = (priors.mean_precision * priors.mean + rows[:, None] * found.means) / precision[:, None]
    apart, pull = found.means - priors.mean, priors.mean_precision * rows / precision
    degrees = priors.degrees + (rows.sum() / k if kind == "tied" else rows)
    if kind == "full":
        inside = rows[:, None, None] * found.covariances + pull[:, None, None] * apart[:, :, None] * apart[:, None, :]
        covariances = (priors.covariance + inside) / degrees[:, None, None]
    elif kind == "tied":
        inside = found.covariances * rows.sum() + (pull * apart.T) @ apart
        covariances = (priors.covariance + inside / k) / degrees
    elif kind == "diag":
        covariances = rows[:, None] * found.covariances + pull[:, None] * apart**2 + priors.covariance
        covariances /= degrees[:, None]
    else:
        covariances = (priors.covariance + rows * found.covariances + pull * (apart**2).mean(axis=1)) / degrees
    factors = factors_of(covariances, kind)
    return Posterior(concentration, precision, means, degrees, covariances, factors, kind)
