"""Features whose inner products approximate a kernel, with scikit-learn's parameters and answers."""

from daskml_kit.kernel_approximation.nystroem import Nystroem
from daskml_kit.kernel_approximation.rbf_sampler import RBFSampler

__all__ = ["Nystroem", "RBFSampler"]
