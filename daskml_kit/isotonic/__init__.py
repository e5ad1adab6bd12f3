"""Isotonic regression with scikit-learn's parameters and answers."""

from daskml_kit.isotonic.isotonic_regression import IsotonicRegression

__all__ = ["IsotonicRegression"]
