"""Cross-validation, held-out predictions and curves are scikit-learn's, in memory and on Dask."""

from __future__ import annotations

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn.linear_model as skl
import sklearn.model_selection as skm
import sklearn.preprocessing as skp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import FitFailedWarning
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from daskml_kit.engines.engine import watching
from daskml_kit.linear_model import LinearSVC, LogisticRegression, PoissonRegressor, Ridge
from daskml_kit.model_selection import (
    GroupKFold,
    KFold,
    RepeatedKFold,
    ShuffleSplit,
    StratifiedKFold,
    TimeSeriesSplit,
    check_cv,
    compute_n_splits,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
    validation_curve,
)
from daskml_kit.preprocessing import StandardScaler

N_ROWS, NAMES = 120, list("abcd")
RNG = np.random.default_rng(1)
X = RNG.normal(size=(N_ROWS, 4)) + np.arange(4)
NUMBER = X[:, 0] - X[:, 1] + RNG.normal(size=N_ROWS)
LABEL = (NUMBER > -1).astype(int)
THREE = np.digitize(NUMBER, [-2, 0])
WORD = np.array(["low", "medium", "up"])[THREE]
GROUPS = np.arange(N_ROWS) % 7
WEIGHT = RNG.integers(1, 4, N_ROWS).astype(float)
LOGISTIC = LogisticRegression(tol=1e-9)
THEIR_LOGISTIC = skl.LogisticRegression(tol=1e-10, solver="newton-cholesky")


def frame():
    whole = dd.from_pandas(pd.DataFrame(X, columns=NAMES).assign(row=np.arange(N_ROWS)), npartitions=3, sort=False)
    return whole[whole["row"] >= 0][NAMES]  # of unknown lengths


LAYOUTS = {
    "memory": lambda: X,
    "pandas": lambda: pd.DataFrame(X, columns=NAMES),
    "blocks": lambda: da.from_array(X, chunks=((50, 0, 70), -1)),
    "tiles": lambda: da.from_array(X, chunks=(33, 3)),
    "sparse": lambda: da.from_array(X, chunks=(50, -1)).map_blocks(sp.csr_array),
    "frame": frame,
}
layouts = pytest.mark.parametrize("rows", [make() for make in LAYOUTS.values()], ids=LAYOUTS)


@layouts
def test_cross_validate(rows):
    options = {
        "scoring": ["accuracy", "neg_log_loss"],
        "return_train_score": True,
        "return_estimator": True,
        "return_indices": True,
    }
    found = cross_validate(LOGISTIC, rows, WORD, cv=skm.KFold(3, shuffle=True, random_state=0), **options)
    expected = skm.cross_validate(THEIR_LOGISTIC, X, WORD, cv=skm.KFold(3, shuffle=True, random_state=0), **options)
    assert list(found) == list(expected)
    for name in found:
        if name.startswith(("test", "train")):
            assert_allclose(found[name], expected[name], atol=1e-5, err_msg=name)
    for mine, theirs in zip(found["estimator"], expected["estimator"], strict=True):
        assert_allclose(mine.coef_, theirs.coef_, atol=1e-5)
        assert list(mine.classes_) == list(theirs.classes_)
    for side in ("train", "test"):
        for mine, theirs in zip(found["indices"][side], expected["indices"][side], strict=True):
            assert_array_equal(mine, theirs)


@pytest.mark.parametrize("cv", [KFold(3), KFold(3, shuffle=True, random_state=1), TimeSeriesSplit(3), GroupKFold(3)])
def test_indices_of_our_splitters(cv):
    groups = GROUPS if isinstance(cv, GroupKFold) else None
    lazy = cross_validate(Ridge(), LAYOUTS["blocks"](), NUMBER, cv=cv, groups=groups, return_indices=True)
    pairs = list(zip(lazy["indices"]["train"], lazy["indices"]["test"], strict=True))
    expected = skm.cross_val_score(skl.Ridge(), X, NUMBER, cv=pairs)
    assert_allclose(lazy["test_score"], expected, atol=1e-9)


@pytest.mark.parametrize("lazy", [False, True], ids=["memory", "dask"])
def test_weights_count_in_fits_not_in_scores(lazy):
    given = (
        [da.from_array(part, chunks=(50, *part.shape[1:])) for part in (X, NUMBER, WEIGHT)]
        if lazy
        else (X, NUMBER, WEIGHT)
    )
    found = cross_val_score(Ridge(), given[0], given[1], cv=KFold(3), params={"sample_weight": given[2]})
    expected = skm.cross_val_score(skl.Ridge(), X, NUMBER, cv=3, params={"sample_weight": WEIGHT})
    assert_allclose(found, expected)


@pytest.mark.parametrize(
    "estimator", [DecisionTreeClassifier(random_state=0), make_pipeline(StandardScaler(), LOGISTIC)]
)
def test_defaults_are_scikit_learns(estimator):
    found = cross_val_score(estimator, X, WORD)
    assert_allclose(found, skm.cross_val_score(estimator, X, WORD), atol=1e-6)
    lazy = cross_val_score(estimator, LAYOUTS["blocks"](), da.from_array(WORD, chunks=50), cv=StratifiedKFold(5))
    assert_allclose(lazy, found, atol=0.1)


def test_what_is_not_supported_is_said():
    with pytest.raises(ValueError, match="scoring: expected one scorer"):
        cross_val_score(Ridge(), X, NUMBER, scoring=["r2"])
    with pytest.raises(ValueError, match="pre_dispatch"):
        cross_validate(Ridge(), X, NUMBER, pre_dispatch="3")
    with pytest.raises(ValueError, match="partial_fit interface"):
        learning_curve(Ridge(), X, NUMBER, exploit_incremental_learning=True)


def test_failed_fits_of_a_cross_validation():
    cv = [(np.flatnonzero(LABEL), np.flatnonzero(1 - LABEL)), (np.arange(60), np.arange(60, 120))]
    with pytest.warns(FitFailedWarning, match="1 fits failed out of a total of 2"):
        found = cross_validate(LOGISTIC, X, LABEL, cv=cv, error_score=-3.0, return_train_score=True)
    assert found["test_score"][0] == found["train_score"][0] == -3
    assert found["test_score"][1] > 0


def test_verbose_tells_how_fits_run(capsys):
    cross_val_score(Ridge(), X, NUMBER, cv=3, verbose=1)
    assert "3 fits: 1 candidates on 3 splits" in capsys.readouterr().out


# predictions

METHODS = {
    "labels": (LOGISTIC, THEIR_LOGISTIC, WORD, "predict"),
    "probabilities": (LOGISTIC, THEIR_LOGISTIC, WORD, "predict_proba"),
    "logarithms": (LOGISTIC, THEIR_LOGISTIC, LABEL, "predict_log_proba"),
    "decisions": (LOGISTIC, THEIR_LOGISTIC, LABEL, "decision_function"),
    "decisions of three": (LOGISTIC, THEIR_LOGISTIC, THREE, "decision_function"),
    "numbers": (Ridge(), skl.Ridge(), NUMBER, "predict"),
    "pairs": (Ridge(), skl.Ridge(), np.column_stack([NUMBER, -NUMBER]), "predict"),
    "theirs": (DecisionTreeClassifier(random_state=0), DecisionTreeClassifier(random_state=0), WORD, "predict_proba"),
    "scaled": (
        make_pipeline(StandardScaler(with_mean=False), Ridge()),
        make_pipeline(skp.StandardScaler(with_mean=False), skl.Ridge()),
        NUMBER,
        "predict",
    ),
}


@layouts
@pytest.mark.parametrize(("ours", "theirs", "y", "method"), METHODS.values(), ids=METHODS)
def test_held_out_predictions(ours, theirs, y, method, rows):
    splits = list(skm.KFold(3, shuffle=True, random_state=0).split(X))
    found = cross_val_predict(ours, rows, y, cv=splits, method=method, n_jobs=1)
    expected = skm.cross_val_predict(theirs, X, y, cv=splits, method=method)
    lazy = not isinstance(rows, (np.ndarray, pd.DataFrame))
    assert isinstance(found, da.Array if lazy else np.ndarray)
    assert found.dtype == expected.dtype
    values = np.asarray(found)
    assert values.shape == expected.shape
    if expected.dtype.kind == "f":
        assert_allclose(values, expected, atol=1e-4)
    else:
        assert_array_equal(values, expected)


@pytest.mark.parametrize("method", ["predict_proba", "predict_log_proba", "decision_function"])
@pytest.mark.parametrize("rows", [LAYOUTS["memory"](), LAYOUTS["blocks"]()], ids=["memory", "dask"])
def test_classes_that_a_fold_lacks(rows, method):
    y = THREE + np.where(np.arange(N_ROWS) < 3, 5 - THREE, 0)  # class 5 is in the first fold alone
    with pytest.warns(RuntimeWarning, match="Number of classes in training fold"):
        expected = skm.cross_val_predict(THEIR_LOGISTIC, X, y, cv=skm.KFold(3), method=method)
    with pytest.warns(RuntimeWarning, match="Number of classes in training fold"):
        found = np.asarray(cross_val_predict(LOGISTIC, rows, y, cv=KFold(3), method=method))
    assert_allclose(found, expected, atol=1e-4)


def test_held_out_predictions_share_passes():
    passes = []
    with watching(lambda profile: passes.append(profile.passes)):
        found = cross_val_predict(LOGISTIC, LAYOUTS["blocks"](), LABEL, cv=KFold(3), method="predict_proba")
    assert max(passes) == len(passes) > 1  # of one engine
    expected = skm.cross_val_predict(THEIR_LOGISTIC, X, LABEL, cv=skm.KFold(3), method="predict_proba")
    assert_allclose(found, expected, atol=1e-6)


def test_held_out_predictions_on_a_cluster(client):
    rows, y = LAYOUTS["blocks"](), da.from_array(NUMBER, chunks=40)
    found = cross_val_predict(Ridge(), rows, y, cv=KFold(4, shuffle=True, random_state=0))
    here = cross_val_predict(Ridge(), rows, NUMBER, cv=KFold(4, shuffle=True, random_state=0))
    assert_allclose(client.compute(found).result(), np.asarray(here))


@pytest.mark.parametrize("rows", [LAYOUTS["memory"](), LAYOUTS["blocks"]()], ids=["memory", "dask"])
@pytest.mark.parametrize(
    "cv", [ShuffleSplit(3, random_state=0), RepeatedKFold(n_splits=2, n_repeats=2), TimeSeriesSplit(3)], ids=str
)
def test_predictions_need_a_partition(cv, rows):
    with pytest.raises(ValueError, match="cross_val_predict only works for partitions"):
        cross_val_predict(Ridge(), rows, NUMBER, cv=cv)


def test_predictions_of_estimators_without_a_method():
    with pytest.raises(AttributeError, match="predict_proba"):
        cross_val_predict(LinearSVC(), X, LABEL, cv=2, method="predict_proba")


# curves


@layouts
def test_validation_curve(rows):
    options = {"param_name": "C", "param_range": [0.01, 1.0, 10.0], "cv": skm.KFold(3), "scoring": "neg_log_loss"}
    found = validation_curve(LOGISTIC, rows, WORD, **options)
    for mine, theirs in zip(found, skm.validation_curve(THEIR_LOGISTIC, X, WORD, **options), strict=True):
        assert_allclose(mine, theirs, atol=1e-5)


def test_validation_curve_of_any_estimator():
    options = {"param_name": "gamma", "param_range": [0.01, 1.0], "cv": 3}
    found = validation_curve(SVC(), X, LABEL, **options)
    for mine, theirs in zip(found, skm.validation_curve(SVC(), X, LABEL, **options), strict=True):
        assert_allclose(mine, theirs)


@layouts
@pytest.mark.parametrize("options", [{}, {"shuffle": True, "random_state": 3}], ids=["first rows", "drawn rows"])
def test_learning_curve(rows, options):
    sizes = [0.2, 0.5, 1.0] if options else [20, 33, 70]
    found = learning_curve(Ridge(), rows, NUMBER, train_sizes=sizes, cv=skm.KFold(3), return_times=True, **options)
    expected = skm.learning_curve(skl.Ridge(), X, NUMBER, train_sizes=sorted(set(sizes)), cv=skm.KFold(3), **options)
    assert_array_equal(found[0], expected[0])
    for mine, theirs in zip(found[1:3], expected[1:], strict=True):
        assert_allclose(mine, theirs, atol=1e-6)
    assert [part.shape for part in found[3:]] == [expected[1].shape] * 2


def test_learning_curve_of_uneven_folds_and_any_estimator():
    splits = [(np.arange(60, 120), np.arange(60)), (np.arange(100), np.arange(100, 120))]
    tree = DecisionTreeClassifier(random_state=0)
    for found, expected in zip(
        learning_curve(tree, X, LABEL, cv=splits), skm.learning_curve(tree, X, LABEL, cv=splits), strict=True
    ):
        assert_allclose(found, expected)


@pytest.mark.parametrize("sizes", [[0.0, 1.0], [1.5], [0], [81], [], ["all"]], ids=str)
def test_sizes_out_of_range(sizes):
    with pytest.raises(ValueError, match="train_sizes"):
        learning_curve(Ridge(), X, NUMBER, train_sizes=sizes, cv=3)


def test_own_scores_of_generalized_models():
    y = np.abs(NUMBER).round()
    found = cross_val_score(PoissonRegressor(tol=1e-9), LAYOUTS["blocks"](), y, cv=KFold(3))
    expected = skm.cross_val_score(skl.PoissonRegressor(tol=1e-9), X, y, cv=skm.KFold(3))
    assert_allclose(found, expected, atol=1e-5)


def test_numbers_of_splits():
    assert compute_n_splits(KFold(4)) == 4
    assert compute_n_splits(3) == 3
    assert compute_n_splits(skm.LeaveOneGroupOut(), X, NUMBER, GROUPS) == 7
    assert check_cv(3, LABEL, classifier=True).get_n_splits() == 3
