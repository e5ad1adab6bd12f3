"""Multi-layer perceptrons with scikit-learn's parameters, trained on a parameter server."""

from daskml_kit.neural_network.mlp import MLPClassifier, MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
