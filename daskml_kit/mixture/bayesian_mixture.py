"""Bayesian Gaussian mixture model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import sklearn.mixture

from daskml_kit.arguments import check_choice, check_number
from daskml_kit.documentation import with_inherited_docs
from daskml_kit.mixture.base import MixtureModel, RowSpread, check_positive
from daskml_kit.numerics.gaussian_components import MixtureSums
from daskml_kit.numerics.variational import Posterior, Priors, inferred
from daskml_kit.typing import Array

PROCESS = "dirichlet_process"


@with_inherited_docs
class BayesianGaussianMixture(MixtureModel, sklearn.mixture.BayesianGaussianMixture):  # type: ignore[misc]
    r"""Bayesian mixture of normal distributions, fitted by variational inference, a pass an iteration.

    Components that the rows do not need get hardly any weight. All starts advance in the same passes.

    Parameters
    ----------
    n_components : int, default 1
        Components at most.
    tol : float, default 1e-3
        It has converged when the lower bound gains less.
    n_init : int, default 1
        Starts, of which the one of the greatest lower bound is kept.
    weight_concentration_prior_type : {"dirichlet_process", "dirichlet_distribution"}, default "dirichlet_process"
    weight_concentration_prior : float, optional
        The smaller, the fewer components have weight; by default 1 / ``n_components``.
    mean_precision_prior : float, optional
        The larger, the nearer are means to ``mean_prior``; by default 1.
    mean_prior : array of shape (n_features,), optional
        By default the mean of the rows.
    degrees_of_freedom_prior : float, optional
        Of the covariances' distribution; by default ``n_features``.
    covariance_prior : float or array, optional
        By default the covariance matrix of the rows; of shape (n_features, n_features) if "full" or "tied",
        (n_features,) if "diag", a number if "spherical".

    Attributes
    ----------
    weight_concentration_ : array of shape (n_components,), or a pair of them
    mean_precision_ : array of shape (n_components,)
    degrees_of_freedom_ : array of shape (n_components,), or float if "tied"
    weight_concentration_prior_, mean_precision_prior_, degrees_of_freedom_prior_ : float
    mean_prior_ : array of shape (n_features,)
    covariance_prior_ : array or float
    lower_bound_ : float
        Lower bound of the log evidence, less constants.

    See Also
    --------
    GaussianMixture : Maximum likelihood, with a given number of components.

    References
    ----------
    Bishop, "Pattern recognition and machine learning", 2006, section 10.2. Blei and Jordan, "Variational inference for
    Dirichlet process mixtures", 2006.

    Examples
    --------
    >>> import dask.array as da
    >>> draw = np.random.default_rng(0)
    >>> rows = np.concatenate([draw.normal(0, 1, 200), draw.normal(9, 1, 200)])[:, None]
    >>> model = BayesianGaussianMixture(n_components=3, weight_concentration_prior=0.01, random_state=0)
    >>> np.sort(model.fit(da.from_array(rows, chunks=(200, 1))).weights_).round(2)
    array([0. , 0.5, 0.5])
    """

    _of_products = ("full", "tied")
    _entropies = True

    def _given(self, d: int) -> dict[str, Array]:
        kind = self.covariance_type
        shape: tuple[int, ...] = {"full": (d, d), "tied": (d, d), "diag": (d,), "spherical": ()}[kind]
        found = self._arrays({"mean_prior": (d,), "covariance_prior": shape})
        if "covariance_prior" in found:
            check_positive("covariance_prior", found["covariance_prior"], kind)
        if self.degrees_of_freedom_prior is not None:
            check_number("degrees_of_freedom_prior", self.degrees_of_freedom_prior, low=d - 1, strict=True)
        return found

    def _priors(self, given: Mapping[str, Array], spread: RowSpread) -> Priors:
        covariance: Any = given.get("covariance_prior")
        if covariance is None:
            covariance = (spread.squares if spread.products is None else spread.products) / (spread.n_rows - 1)
            covariance = covariance.mean() if self.covariance_type == "spherical" else covariance
        concentration, precision = self.weight_concentration_prior, self.mean_precision_prior
        degrees = self.degrees_of_freedom_prior
        return Priors(
            1.0 / self.n_components if concentration is None else concentration,
            self.weight_concentration_prior_type == PROCESS,
            1.0 if precision is None else precision,
            given.get("mean_prior", spread.mean) - spread.mean,
            len(spread.mean) if degrees is None else degrees,
            covariance,
        )

    def _improvement(
        self, given: Mapping[str, Array], spread: RowSpread
    ) -> Callable[[Posterior, MixtureSums], tuple[Posterior, float]]:
        priors = self._priors(given, spread)
        scatter = spread.products if self.covariance_type == "tied" else None
        return partial(inferred, priors=priors, reg_covar=self.reg_covar, scatter=scatter)

    def _start(self, rows: Array, shift: Array, given: Mapping[str, Array], draw: np.random.RandomState) -> Posterior:
        prior = given["mean_prior"] - shift if "mean_prior" in given else None
        first = self._first(rows, draw, mean_prior=prior, warm_start=False)
        precision, means, degrees, covariances, factors = (getattr(first, name) for name in self._shapes(len(shift)))
        concentration, kind = first.weight_concentration_, self.covariance_type
        return Posterior(concentration, precision, means, degrees, covariances, factors, kind)

    def _last(self, shift: Array) -> Posterior:
        precision, means, degrees, covariances, factors = self._remembered(self._shapes(len(shift)))
        concentration, kind = self.weight_concentration_, self.covariance_type
        if isinstance(concentration, tuple) != (self.weight_concentration_prior_type == PROCESS):
            raise ValueError("warm_start: expected the last fit to have the same weight_concentration_prior_type")
        return Posterior(concentration, precision, means - shift, degrees, covariances, factors, kind)

    def _shapes(self, d: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the arrays of a posterior, in the order of its fields."""
        k, factors = self.n_components, self._shape_of_factors(d)
        return {
            "mean_precision_": (k,),
            "means_": (k, d),
            "degrees_of_freedom_": () if self.covariance_type == "tied" else (k,),
            "covariances_": factors,
            "precisions_cholesky_": factors,
        }

    def _attributes(self, components: Posterior, given: Mapping[str, Array], spread: RowSpread) -> dict[str, Any]:
        priors, names = self._priors(given, spread), self._shapes(len(spread.mean))
        return {
            **dict(zip(names, components[1:-1], strict=True)),
            "means_": components.means + spread.mean,
            "weights_": components.weights(),
            "weight_concentration_": components.concentration,
            "weight_concentration_prior_": priors.concentration,
            "mean_precision_prior_": priors.mean_precision,
            "mean_prior_": priors.mean + spread.mean,
            "degrees_of_freedom_prior_": priors.degrees,
            "covariance_prior_": priors.covariance,
        }

    def _check_parameters(self) -> None:
        super()._check_parameters()
        kinds = (PROCESS, "dirichlet_distribution")
        check_choice("weight_concentration_prior_type", self.weight_concentration_prior_type, kinds)
        for name in ("weight_concentration_prior", "mean_precision_prior", "degrees_of_freedom_prior"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), low=0, strict=True)
