"""Clustering with scikit-learn's objectives, parameters and answers."""

from daskml_kit.cluster.k_means import KMeans

__all__ = ["KMeans"]
