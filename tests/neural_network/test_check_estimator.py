"""scikit-learn's own checks on every perceptron."""

from __future__ import annotations

from sklearn.utils.estimator_checks import parametrize_with_checks

from daskml_kit import neural_network

ESTIMATORS = [getattr(neural_network, name)(max_iter=100) for name in neural_network.__all__]
WEIGHTS = {
    f"check_sample_weight_equivalence_on_{kind}_data": "rows that are left out change which make a mini-batch"
    for kind in ("dense", "sparse")
}


@parametrize_with_checks(ESTIMATORS, expected_failed_checks=lambda estimator: WEIGHTS)
def test_scikit_learn_check(estimator, check):
    check(estimator)
