"""Dask-native machine learning with scikit-learn's API and scikit-learn's answers."""

__version__ = "0.1.0"
