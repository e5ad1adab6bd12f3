"""Mixture models with scikit-learn's parameters and answers."""

from daskml_kit.mixture.bayesian_mixture import BayesianGaussianMixture
from daskml_kit.mixture.gaussian_mixture import GaussianMixture

__all__ = ["BayesianGaussianMixture", "GaussianMixture"]
