"""Recommendation from ratings."""

from daskml_kit.recommendation.factorisation import MatrixFactorization

__all__ = ["MatrixFactorization"]
