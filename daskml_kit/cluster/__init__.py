"""Clustering with scikit-learn's objectives, parameters and answers."""

from daskml_kit.cluster.bisecting_k_means import BisectingKMeans
from daskml_kit.cluster.k_means import KMeans
from daskml_kit.cluster.mini_batch_k_means import MiniBatchKMeans
from daskml_kit.cluster.spectral import SpectralClustering

__all__ = ["BisectingKMeans", "KMeans", "MiniBatchKMeans", "SpectralClustering"]
