"""Linear models with scikit-learn's objectives, parameters and answers."""

from daskml_kit.linear_model.bayesian_ridge import BayesianRidge
from daskml_kit.linear_model.elastic_net import ElasticNet, Lasso
from daskml_kit.linear_model.glm import GammaRegressor, PoissonRegression, PoissonRegressor, TweedieRegressor
from daskml_kit.linear_model.huber import HuberRegressor
from daskml_kit.linear_model.least_squares import LinearRegression, Ridge, RidgeClassifier
from daskml_kit.linear_model.logistic import LogisticRegression
from daskml_kit.linear_model.sgd import SGDClassifier, SGDRegressor
from daskml_kit.linear_model.svm import LinearSVC

__all__ = [
    "BayesianRidge",
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
    "RidgeClassifier",
    "SGDClassifier",
    "SGDRegressor",
    "TweedieRegressor",
]
