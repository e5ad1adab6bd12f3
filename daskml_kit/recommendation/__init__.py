"""Recommendation from ratings."""

from daskml_kit.recommendation.als import ALS
from daskml_kit.recommendation.matrix_factorization import MatrixFactorization
from daskml_kit.recommendation.rating_splits import leave_last_n_out, split_at_time

__all__ = ["ALS", "MatrixFactorization", "leave_last_n_out", "split_at_time"]
