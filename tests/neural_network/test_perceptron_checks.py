"""scikit-learn's own checks on every perceptron."""

from __future__ import annotations

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from daskml_kit import neural_network

ESTIMATORS = [getattr(neural_network, name)(max_iter=100) for name in neural_network.__all__]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn_check(estimator, check):
    check(estimator)
