"""scikit-learn's own checks on every linear model."""

from __future__ import annotations

from sklearn.utils.estimator_checks import parametrize_with_checks

from daskml_kit import linear_model

ESTIMATORS = [getattr(linear_model, name)() for name in linear_model.__all__]


@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn_check(estimator, check):
    check(estimator)
