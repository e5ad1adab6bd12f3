"""Linear models with scikit-learn's objectives, parameters and answers."""

from daskml_kit.linear_model.logistic import LogisticRegression

__all__ = ["LogisticRegression"]
