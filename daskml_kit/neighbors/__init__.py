"""Classification by distances with scikit-learn's parameters and answers."""

from daskml_kit.neighbors.nearest_centroid import NearestCentroid

__all__ = ["NearestCentroid"]
