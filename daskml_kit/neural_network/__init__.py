"""Multi-layer perceptrons with scikit-learn's parameters, trained on a parameter server."""

from daskml_kit.neural_network.classifier import MLPClassifier
from daskml_kit.neural_network.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
