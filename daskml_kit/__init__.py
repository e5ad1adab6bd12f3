"""Dask-native machine learning with scikit-learn's API and scikit-learn's answers."""

from daskml_kit.composition import to_sklearn

__version__ = "0.2.0"
__all__ = ["to_sklearn"]
