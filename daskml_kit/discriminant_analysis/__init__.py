"""Linear and quadratic discriminant analysis with scikit-learn's parameters and answers."""

from daskml_kit.discriminant_analysis.linear_discriminant import LinearDiscriminantAnalysis
from daskml_kit.discriminant_analysis.quadratic_discriminant import QuadraticDiscriminantAnalysis

__all__ = ["LinearDiscriminantAnalysis", "QuadraticDiscriminantAnalysis"]
