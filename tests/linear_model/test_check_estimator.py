"""scikit-learn's own checks on every linear model."""

from __future__ import annotations

from sklearn.utils.estimator_checks import parametrize_with_checks

from daskml_kit import linear_model

ESTIMATORS = [getattr(linear_model, name)() for name in linear_model.__all__]
DIRECT = "is None where the solution is direct, as of scikit-learn's own, which is checked with its solver 'sag'"
REPEATED = "rows that are repeated or left out make other mini-batches: the optimum is the same, the steps are not"


def expected_failures(estimator):
    """Stochastic gradients see rows in turn, and ridge has no iterations; scikit-learn's own fail here too."""
    if type(estimator).__name__.startswith("Ridge"):
        return {"check_non_transformer_estimators_n_iter": f"n_iter_ {DIRECT}"}
    if not type(estimator).__name__.startswith("SGD"):
        return {}
    return {f"check_sample_weight_equivalence_on_{kind}_data": REPEATED for kind in ("dense", "sparse")}


@parametrize_with_checks(ESTIMATORS, expected_failed_checks=expected_failures)
def test_scikit_learn_check(estimator, check):
    check(estimator)
