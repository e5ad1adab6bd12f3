"""Linear models with scikit-learn's objectives, parameters and answers."""

from daskml_kit.linear_model.elastic_net import ElasticNet
from daskml_kit.linear_model.huber import HuberRegressor
from daskml_kit.linear_model.lasso import Lasso
from daskml_kit.linear_model.linear_regression import LinearRegression
from daskml_kit.linear_model.logistic import LogisticRegression
from daskml_kit.linear_model.poisson import GammaRegressor, PoissonRegression, PoissonRegressor
from daskml_kit.linear_model.ridge import Ridge
from daskml_kit.linear_model.sgd_classifier import SGDClassifier
from daskml_kit.linear_model.sgd_regressor import SGDRegressor
from daskml_kit.linear_model.svm import LinearSVC
from daskml_kit.linear_model.tweedie import TweedieRegressor

__all__ = [
    "ElasticNet",
    "GammaRegressor",
    "HuberRegressor",
    "Lasso",
    "LinearRegression",
    "LinearSVC",
    "LogisticRegression",
    "PoissonRegression",
    "PoissonRegressor",
    "Ridge",
    "SGDClassifier",
    "SGDRegressor",
    "TweedieRegressor",
]
