"""Matrix decomposition with scikit-learn's parameters and answers."""

from daskml_kit.decomposition.pca import PCA

__all__ = ["PCA"]
