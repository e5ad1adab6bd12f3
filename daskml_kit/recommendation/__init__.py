"""Recommendation from ratings."""

from daskml_kit.recommendation.matrix_factorization import MatrixFactorization

__all__ = ["MatrixFactorization"]
