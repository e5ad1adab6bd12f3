"""Matrix decomposition with scikit-learn's parameters and answers."""

from daskml_kit.decomposition.incremental_pca import IncrementalPCA
from daskml_kit.decomposition.nmf import NMF
from daskml_kit.decomposition.pca import PCA, TruncatedSVD

__all__ = ["NMF", "PCA", "IncrementalPCA", "TruncatedSVD"]
