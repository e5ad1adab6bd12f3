"""Mixture models with scikit-learn's parameters and answers."""

from daskml_kit.mixture.gaussian_mixture import GaussianMixture

__all__ = ["GaussianMixture"]
