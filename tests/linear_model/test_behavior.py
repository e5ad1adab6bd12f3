"""What a user meets beside the numbers: labels, weights, errors, checkpoints, interruption, laziness."""

from __future__ import annotations

import pickle

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn.linear_model as skl
import sklearn.preprocessing as skp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from daskml_kit import linear_model as kit
from daskml_kit import model_selection
from daskml_kit.covariance import EmpiricalCovariance
from daskml_kit.decomposition import PCA
from daskml_kit.discriminant_analysis import LinearDiscriminantAnalysis
from daskml_kit.exceptions import CheckpointError, DataError
from daskml_kit.linear_model import (
    ElasticNet,
    GammaRegressor,
    LinearRegression,
    LinearSVC,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
)
from daskml_kit.preprocessing import StandardScaler


def chunked(values, rows=130):
    return da.from_array(values, chunks=(rows, *values.shape[1:]))


@pytest.mark.parametrize(
    "names", [[1, 2], [3, -1], ["no", "yes"], ["zebra", "ant"], [True, False], [0.0, 5.0]], ids=str
)
@pytest.mark.parametrize("model", [LogisticRegression(tol=1e-9), LinearSVC(tol=1e-9)], ids=lambda m: type(m).__name__)
def test_labels_of_any_type(data, model, names):
    y = np.array(names)[(data.labels > 0).astype(int)]
    model.fit(chunked(data.X), chunked(y, 211))
    assert_array_equal(model.classes_, np.unique(y))
    predicted = model.predict(chunked(data.X))
    assert predicted.dtype == y.dtype
    assert_array_equal(predicted.compute(), model.predict(data.X))
    score = model.score(chunked(data.X), chunked(y))
    assert isinstance(score, float)
    assert score == pytest.approx(np.mean(model.predict(data.X) == y))
    assert score > 0.6


def test_string_labels_of_a_data_frame_and_classes_missing_from_blocks(data):
    order = np.argsort(data.labels, kind="stable")
    frame = pd.DataFrame(data.X[order], columns=list("abcdefg"))
    frame["kind"] = np.array(["low", "middle", "high"])[data.labels[order]]
    lazy = dd.from_pandas(frame, npartitions=6, sort=False)
    model = LogisticRegression(tol=1e-9).fit(lazy[list("abcdefg")], lazy["kind"])
    expected = skl.LogisticRegression(tol=1e-12, solver="newton-cholesky").fit(frame[list("abcdefg")], frame["kind"])
    assert_array_equal(model.classes_, expected.classes_)
    assert_allclose(model.coef_, expected.coef_, atol=1e-6)
    assert list(model.feature_names_in_) == list("abcdefg")
    probabilities = model.predict_proba(lazy[list("abcdefg")])
    assert isinstance(probabilities, da.Array)
    assert_allclose(probabilities.compute(), expected.predict_proba(frame[list("abcdefg")]), atol=1e-6)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(lazy[list("gfedcba")])


def test_weights_are_repetitions(data):
    repeats = data.weight.astype(int)
    for model in (LogisticRegression(tol=1e-10), LinearRegression(), PoissonRegressor(tol=1e-10)):
        y = data.labels if isinstance(model, LogisticRegression) else data.count
        weighted = clone(model).fit(chunked(data.X), y, sample_weight=chunked(data.weight, 77))
        repeated = clone(model).fit(np.repeat(data.X, repeats, axis=0), np.repeat(y, repeats))
        assert_allclose(weighted.coef_, repeated.coef_, rtol=1e-6, atol=1e-8)


def test_one_weight_for_all_rows_and_targets_in_a_frame(data):
    frame = dd.from_pandas(pd.DataFrame(data.X, columns=list("abcdefg")), npartitions=3)
    names = pd.DataFrame({"kind": np.array(["low", "middle", "high"])[data.labels]})
    model = LogisticRegression(tol=1e-9).fit(frame, dd.from_pandas(names, npartitions=3), sample_weight=2.0)
    expected = LogisticRegression(tol=1e-9, C=2.0).fit(data.X, names["kind"])
    assert_allclose(model.coef_, expected.coef_, atol=1e-6)
    again = LogisticRegression(tol=1e-9).fit(chunked(data.X), chunked(data.labels[:, None]), sample_weight=2.0)
    assert_allclose(again.coef_, LogisticRegression(tol=1e-9, C=2.0).fit(data.X, data.labels).coef_, atol=1e-6)


def test_a_rare_class_at_a_strong_penalty_keeps_its_mean_probability():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20_000, 5))
    y = rng.random(20_000) < 1 / (1 + np.exp(3.6 - X[:, 0]))
    for C in (1e-2, 1e-3, 1e-5):
        model = LogisticRegression(C=C, tol=1e-8).fit(chunked(X, 4000), chunked(y, 4000))
        assert model.predict_proba(X)[:, 1].mean() == pytest.approx(y.mean(), rel=1e-5)


def test_predictions_are_lazy_and_hold_one_copy_of_the_model(data):
    model = LogisticRegression().fit(data.X, data.labels)
    ran = []
    X = chunked(data.X, 10).map_blocks(lambda block: ran.append(1) or block, meta=np.empty((0, 7)))
    for method in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        lazy = getattr(model, method)(X)
        assert not ran
        assert_allclose(lazy.compute(), getattr(model, method)(data.X))
        ran.clear()
    assert len(model.predict(X).__dask_graph__()) < 3 * X.npartitions + 10


def test_parameters_arrive_and_the_estimator_clones_and_pickles(data):
    model = LogisticRegression().set_params(C=0.01, fit_intercept=False)
    model.fit(chunked(data.X), data.labels)
    assert_array_equal(model.intercept_, np.zeros(3))
    assert not hasattr(clone(model), "coef_")
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.predict(data.X), model.predict(data.X))
    assert b"dask" not in pickle.dumps(model.to_sklearn())


def test_inside_a_scikit_learn_search(data):
    search = GridSearchCV(LogisticRegression(), {"C": [0.1, 10.0]}, cv=3).fit(data.X, data.labels)
    expected = GridSearchCV(skl.LogisticRegression(max_iter=1000), {"C": [0.1, 10.0]}, cv=3).fit(data.X, data.labels)
    assert_allclose(search.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"], atol=0.01)


def test_an_iterative_ridge_surveys_the_data_once_with_its_own_seed(data, monkeypatch):
    from daskml_kit.engines.engine import LocalEngine
    from daskml_kit.reductions.summary import Summary

    asked = []
    answer = LocalEngine.answer
    monkeypatch.setattr(
        LocalEngine, "answer", lambda self, reduction: asked.append(reduction) or answer(self, reduction)
    )
    Ridge(solver="lbfgs", random_state=7).fit(chunked(data.X), data.number)
    assert [reduction.seed for reduction in asked if isinstance(reduction, Summary)] == [7]


def test_a_warm_start_needs_fewer_iterations(data):
    y = (data.labels > 0).astype(int)
    model = LogisticRegression(tol=1e-8, warm_start=True).fit(data.X, y)
    first, coef = model.n_iter_[0], model.coef_
    model.fit(data.X, y)
    assert model.n_iter_[0] < first
    assert_allclose(model.coef_, coef, rtol=1e-6)


def test_stopping_short_warns(data):
    with pytest.warns(ConvergenceWarning, match="max_iter=1"):
        LogisticRegression(max_iter=1, tol=1e-10, solver="lbfgs").fit(data.X, data.labels)


def test_verbose_shows_a_bar_of_passes(data, capsys):
    model = LogisticRegression(verbose=1).fit(data.X, data.labels)
    shown = capsys.readouterr().err
    assert f"LogisticRegression: {model.profile_.passes}pass" in shown
    assert "where=in threads of this process" in shown
    LogisticRegression().fit(data.X, data.labels)
    assert capsys.readouterr().err == ""


def test_overhead_is_a_share(data):
    profile = LogisticRegression().fit(chunked(data.X), data.labels).profile_
    assert 0 <= profile.overhead() < 1
    assert profile.passes >= 3


def test_the_callers_data_is_not_written_to(data):
    X, y, weight = data.X.copy(), data.count.copy(), data.weight.copy()
    for array in (X, y, weight):
        array.flags.writeable = False
    for model in (LogisticRegression(), PoissonRegressor(), Ridge()):
        model.fit(chunked(X), chunked(y), sample_weight=chunked(weight))
        model.predict(chunked(X)).compute()
    assert_array_equal(X, data.X)


BAD_DATA = {
    "nan": (lambda X, y: (_put(X, (300, 2), np.nan), y), "X contains NaN in block 2, row 40 of the block, column 2"),
    "infinity": (lambda X, y: (_put(X, (300, 2), -np.inf), y), "X contains infinity in block 2, row 40"),
    "nan target": (lambda X, y: (X, da.where(da.arange(600, chunks=130) == 300, np.nan, y)), "y contains NaN.*block 2"),
    "too few targets": (lambda X, y: (X, y[:-3]), "y: .*inconsistent numbers of samples.*600.*597"),
    "three dimensions": (lambda X, y: (X[:, :, None], y), "X: expected a 2-dimensional array, got 3"),
    "one dimension": (lambda X, y: (X[:, 0], y), "X: expected a 2-dimensional array, got 1"),
    "complex": (lambda X, y: (X.astype(complex), y), "Complex data not supported"),
    "words in a block": (
        lambda X, y: (X.map_blocks(_spoil, dtype=object), y),
        "X: expected numbers, got dtype object in block 2",
    ),
    "a column of words": (
        lambda X, y: (dd.from_pandas(pd.DataFrame({"a": [1.0] * 600, "b": ["x"] * 600}), npartitions=3), y),
        "X: expected numeric columns, got 'b'",
    ),
    "no rows": (lambda X, y: (X[:0], y[:0]), "0 sample"),
    "negative weights": (
        lambda X, y: (X, y, chunked(-np.ones(600))),
        "Negative values in data passed to `sample_weight`",
    ),
    "weights of another length": (lambda X, y: (X, y, np.ones(7)), "sample_weight: .*inconsistent numbers.*600.*7"),
    "one class": (lambda X, y: (X, da.zeros(600, chunks=130)), "only one class"),
    "continuous labels": (lambda X, y: (X, chunked(np.linspace(0, 1, 600))), "continuous"),
}


def _put(X, where, value):
    changed = X.compute()
    changed[where] = value
    return chunked(changed)


def _spoil(block, block_info=None):
    block = block.astype(object)
    if block_info and block_info[0]["chunk-location"][0] == 2:
        block[0, 0] = "word"
    return block


@pytest.mark.parametrize("name", BAD_DATA)
def test_bad_data_is_named_and_leaves_the_estimator_as_it_was(data, name):
    model = LogisticRegression().fit(data.X[:, :3], data.labels)
    before = dict(vars(model))
    change, message = BAD_DATA[name]
    with pytest.raises(ValueError, match=message):
        model.fit(*change(chunked(data.X), chunked(data.labels)))
    assert vars(model) == before


def test_targets_outside_of_the_range(data):
    with pytest.raises(ValueError, match="out of the valid range of the loss 'Gamma'"):
        GammaRegressor().fit(chunked(data.X), chunked(data.count))
    with pytest.raises(ValueError, match="out of the valid range of the loss 'Poisson'"):
        PoissonRegressor().fit(chunked(data.X), chunked(data.number - 100))


def test_lengths_that_differ_inside_a_block_are_found_there():
    X = da.from_delayed(dask.delayed(np.ones)((10, 2)), (np.nan, 2), dtype=float)
    short = da.from_delayed(dask.delayed(np.ones)(9), (np.nan,), dtype=float)
    good = da.from_delayed(dask.delayed(np.ones)(10), (np.nan,), dtype=float)
    with pytest.raises(DataError, match="block 1: 10 rows in X, 9 in y"):
        LinearRegression().fit(
            da.concatenate([X, X], allow_unknown_chunksizes=True),
            da.concatenate([good, short], allow_unknown_chunksizes=True),
        )


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"C": 0}, "C: expected a number above 0, got 0"),
        ({"C": "1"}, "C: expected a number above 0, got '1'"),
        ({"solver": "simplex"}, "solver: expected one of"),
        ({"penalty": "l3"}, "penalty: expected one of"),
        ({"dual": True}, "dual=True is not supported"),
        ({"intercept_scaling": 2}, "intercept_scaling"),
        ({"l1_ratio": 2}, "l1_ratio: expected a number from 0 to 1"),
        ({"penalty": "elasticnet", "l1_ratio": None}, "l1_ratio: expected a share"),
        ({"penalty": "l1", "solver": "lbfgs"}, "does not support an l1 norm"),
        ({"penalty": "l2", "l1_ratio": 0.5}, "contradict"),
        ({"tol": -1}, "tol: expected"),
        ({"max_iter": 1.5}, "max_iter: expected an integer"),
        ({"class_weight": "even"}, "class_weight"),
    ],
    ids=str,
)
def test_bad_parameters_are_named(data, parameters, message):
    with pytest.raises(ValueError, match=message):
        LogisticRegression(**parameters).fit(data.X, data.labels)


def test_an_interrupted_fit_resumes_without_repeating_a_pass(data, tmp_path, monkeypatch):
    from daskml_kit.data import collections as capacity
    from daskml_kit.engines.engine import LocalEngine

    monkeypatch.setattr(capacity, "FIT_FRACTION", 0)  # so that each pass runs the graph
    y = data.labels
    whole = LogisticRegression(tol=1e-8).fit(chunked(data.X), y)
    asked = []
    answer = LocalEngine.answer

    def interrupted(self, reduction):
        if len(asked) == 4:
            raise KeyboardInterrupt
        asked.append(reduction)
        return answer(self, reduction)

    model = LogisticRegression(tol=1e-8).set_params(C=1.0)
    with monkeypatch.context() as patch:
        patch.setattr(LocalEngine, "answer", interrupted)
        with pytest.raises(KeyboardInterrupt):
            model.fit(chunked(data.X), y, checkpoint=tmp_path / "fit")
    assert not hasattr(model, "coef_")
    assert not hasattr(model, "n_features_in_")
    model.fit(chunked(data.X), y, checkpoint=tmp_path / "fit")
    assert model.profile_.passes == whole.profile_.passes - 4
    assert_array_equal(model.coef_, whole.coef_)
    finished = LogisticRegression(tol=1e-8).fit(chunked(data.X), y, checkpoint=tmp_path / "fit")
    assert finished.profile_.passes == 0
    assert_array_equal(finished.coef_, whole.coef_)
    with pytest.raises(CheckpointError, match="other data or other parameters"):
        LogisticRegression(tol=1e-8, C=2.0).fit(chunked(data.X), y, checkpoint=tmp_path / "fit")
    with pytest.raises(CheckpointError, match="other data or other parameters"):
        LogisticRegression(tol=1e-8).fit(chunked(data.X[::-1]), y, checkpoint=tmp_path / "fit")


def test_a_checkpoint_keeps_labels_and_sparse_samples(data, tmp_path):
    import scipy.sparse as sp

    names = np.array(["low", "middle", "high"], dtype=object)[data.labels]
    X = chunked(data.X).map_blocks(sp.csr_matrix)
    first = LogisticRegression().fit(X, names, checkpoint=tmp_path / "fit")
    again = LogisticRegression().fit(X, names, checkpoint=tmp_path / "fit")
    assert again.profile_.passes == 0
    assert_array_equal(again.classes_, first.classes_)
    assert again.classes_.dtype == first.classes_.dtype
    assert_array_equal(again.coef_, first.coef_)


BAD_PARAMETERS = [
    (LogisticRegression(n_jobs="a"), "n_jobs"),
    (LogisticRegression(C=np.nan), "C"),
    (LogisticRegression(tol=np.inf), "tol"),
    (Ridge(alpha="a"), "alpha"),
    (Ridge(alpha=np.nan), "alpha"),
    (Ridge(alpha=[1.0, -1.0]), "alpha"),
    (ElasticNet(alpha=np.inf), "alpha"),
    (PoissonRegressor(alpha=np.inf), "alpha"),
]


@pytest.mark.parametrize(("model", "name"), BAD_PARAMETERS, ids=str)
def test_a_bad_parameter_is_named(data, model, name):
    before = vars(model).copy()
    with pytest.raises(ValueError, match=f"^{name}: expected "):
        model.fit(data.X, data.labels)
    assert vars(model) == before


def test_a_checkpoint_is_a_folder(data, tmp_path):
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(TypeError, match="checkpoint: expected the path of a folder, got 3"):
        LogisticRegression().fit(data.X, data.labels, checkpoint=3)
    with pytest.raises(ValueError, match="checkpoint: expected the path of a folder, got that of a file"):
        LogisticRegression().fit(data.X, data.labels, checkpoint=file)


@pytest.mark.parametrize("name", ["Ridge", "Lasso", "ElasticNet", "LinearRegression"])
def test_a_target_of_one_column_has_the_shapes_of_scikit_learn(data, name):
    target = data.X[:, :1] + 1
    ours, theirs = getattr(kit, name)().fit(data.X, target), getattr(skl, name)().fit(data.X, target)
    assert ours.coef_.shape == theirs.coef_.shape
    assert np.shape(ours.intercept_) == np.shape(theirs.intercept_)
    assert ours.predict(data.X).shape == theirs.predict(data.X).shape
    assert ours.predict(chunked(data.X)).compute().shape == theirs.predict(data.X).shape
    assert getattr(kit, name)(fit_intercept=False).fit(chunked(data.X), chunked(target)).coef_.shape == ours.coef_.shape


def test_constant_features_have_coefficients_of_zero():
    X, y = np.ones((9, 3)), np.arange(9.0)
    for model in (LinearRegression(positive=True), Ridge(alpha=0, positive=True)):
        assert_array_equal(model.fit(X, y).coef_, 0)


def test_of_many_solutions_the_one_of_least_norm_is_taken():
    draw = np.random.default_rng(0)
    X, y = draw.normal(size=(5, 8)) * 10.0 ** draw.uniform(-2, 2, 8), draw.normal(size=5)
    tall = draw.normal(size=(60, 3))
    collinear = np.hstack([tall, tall[:, :2] * [10, 0.1], tall.sum(axis=1, keepdims=True)])
    z = tall @ [1, 2, 3] + draw.normal(size=60)
    for model, rows, target in ((Ridge(alpha=0), X, y), (LinearRegression(), sp.csr_array(collinear), z)):
        dense = rows.toarray() if sp.issparse(rows) else rows
        expected = np.linalg.lstsq(dense - dense.mean(axis=0), target - target.mean(), rcond=None)[0]
        assert_allclose(model.fit(rows, target).coef_, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("model", "solver"),
    [
        (
            kit.LogisticRegression(),
            "newton-cholesky: Hessians of all rows are cheap (60 dense rows, 2 features, 1 outp",
        ),
        (kit.LogisticRegression(solver="fista"), "fista: as asked"),
        (kit.PoissonRegressor(solver="lbfgs"), "lbfgs: as asked"),
        (kit.Ridge(), "normal equations: 60 rows, 2 features"),
        (kit.Lasso(), "normal equations"),
        (kit.HuberRegressor(), "newton-cholesky"),
    ],
)
def test_profiles_tell_the_solver(model, solver):
    X = np.random.default_rng(0).normal(size=(60, 2))
    assert model.fit(X, (X[:, 0] > 0).astype(int)).profile_.solver.startswith(solver)


def test_verbose_fits_print_the_solver(capsys):
    X = sp.random_array((60, 3000), density=0.01, rng=np.random.default_rng(0), format="csr")
    kit.LogisticRegression(verbose=1).fit(X, np.arange(60) % 2)
    assert "solver Newton in the space of the rows: rows are few (60 sparse" in capsys.readouterr().out


@pytest.mark.parametrize("spread", [0.0, 1.0])
@pytest.mark.parametrize(("classes", "redundant"), [(2, 10), (3, 5)])
def test_lbfgs_finds_the_one_optimum_of_collinear_columns(classes, redundant, spread):
    X, y = make_classification(
        2_000, 20, n_informative=4, n_redundant=redundant, n_classes=classes, n_clusters_per_class=1, random_state=0
    )
    X *= 10 ** np.random.default_rng(0).uniform(-spread, spread, 20)
    expected = skl.LogisticRegression(solver="newton-cholesky", tol=1e-10, max_iter=500).fit(X, y)
    model = LogisticRegression(solver="lbfgs").fit(da.from_array(X, chunks=(500, 20)), y)
    scale = np.abs(expected.coef_ * X.std(axis=0)).max() / X.std(axis=0)
    assert (np.abs(model.coef_ - expected.coef_) <= 1e-3 * scale).all()


def test_many_alike_collinear_columns_by_lbfgs():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3_000, 150)) @ rng.normal(size=(150, 320)) / 12
    y = (X[:, 0] + rng.normal(size=3_000) > 0).astype(int)
    expected = skl.LogisticRegression(solver="newton-cholesky", tol=1e-10, max_iter=500).fit(X, y)
    model = LogisticRegression(solver="lbfgs").fit(X, y)
    assert np.abs(model.coef_ - expected.coef_).max() <= 3e-3 * np.abs(expected.coef_).max()


@pytest.mark.parametrize("solver", ["auto", "cholesky", "svd", "lbfgs", "saga"])
@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("kind", [Ridge, kit.RidgeClassifier])
def test_ridge_can_be_fitted_again_after_the_conversion_with_any_solver(kind, positive, solver, data):
    if kind is kit.RidgeClassifier and solver == "lbfgs" and not positive:
        pytest.skip("is solved directly")
    target = data.number if kind is Ridge else data.labels
    model = kind(solver=solver, positive=positive, alpha=2.0, tol=1e-9, max_iter=10_000).fit(chunked(data.X), target)
    again = model.to_sklearn().fit(data.X, target)
    assert_allclose(again.coef_, model.coef_, atol=1e-4)
    assert not positive or (model.coef_ >= 0).all()


@pytest.mark.parametrize("kind", ["Ridge", "RidgeClassifier"])
def test_ridge_that_is_solved_directly_has_no_iterations(kind, data):
    target = data.number if kind == "Ridge" else data.labels
    expected = getattr(skl, kind)(solver="cholesky").fit(data.X, target)
    assert expected.n_iter_ is getattr(kit, kind)(solver="cholesky").fit(chunked(data.X), target).n_iter_ is None
    assert kit.Ridge(solver="lbfgs").fit(chunked(data.X), data.number).n_iter_.shape == (1,)


LABEL_ROWS = np.random.default_rng(0).normal(size=(90, 4))
LABEL_SETS = (LABEL_ROWS[:, :3] + LABEL_ROWS[::-1, :3] > [0, 0.5, 1]).astype(int)


@pytest.mark.parametrize("on_dask", [False, True])
@pytest.mark.parametrize("options", [{}, {"class_weight": "balanced"}, {"fit_intercept": False}])
def test_ridge_takes_several_labels_a_row(options, on_dask):
    weight = np.random.default_rng(1).uniform(size=90)
    X, y, w = (chunked(part, 40) if on_dask else part for part in (LABEL_ROWS, LABEL_SETS, weight))
    ours = kit.RidgeClassifier(**options).fit(X, y, w)
    theirs = skl.RidgeClassifier(**options).fit(LABEL_ROWS, LABEL_SETS, weight)
    assert_allclose(ours.coef_, theirs.coef_, rtol=1e-6, atol=1e-9)
    assert_array_equal(ours.classes_, theirs.classes_)
    for method in ("predict", "decision_function"):
        lazy, expected = getattr(ours, method)(X), getattr(theirs, method)(LABEL_ROWS)
        assert (lazy.shape, lazy.dtype) == (expected.shape, expected.dtype)
        assert_allclose(lazy, expected, atol=1e-9)
    assert_array_equal(ours.to_sklearn().predict(LABEL_ROWS), theirs.predict(LABEL_ROWS))
    assert ours.score(X, y) == pytest.approx(theirs.score(LABEL_ROWS, LABEL_SETS))


def test_a_search_of_several_labels_a_row():
    model, theirs = (
        make_pipeline(scaler, ridge)
        for scaler, ridge in (
            (StandardScaler(), kit.RidgeClassifier()),
            (skp.StandardScaler(), skl.RidgeClassifier()),
        )
    )
    grid = {"ridgeclassifier__alpha": [0.1, 100.0]}
    search = model_selection.GridSearchCV(model, grid, cv=3).fit(chunked(LABEL_ROWS, 40), chunked(LABEL_SETS, 40))
    expected = GridSearchCV(theirs, grid, cv=3).fit(LABEL_ROWS, LABEL_SETS)
    assert_allclose(search.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"])
    assert search.plan_.alone == {"y has several columns of labels": [0, 1]}


def test_what_is_no_set_of_labels_is_refused():
    X, y = chunked(LABEL_ROWS, 40), chunked(LABEL_SETS, 40)
    with pytest.raises(DataError, match="y: expected several columns of 0 and 1, got other values in block 0"):
        kit.RidgeClassifier().fit(X, 2 * y)
    with pytest.raises(ValueError, match="class_weight: expected 'balanced' or None"):
        kit.RidgeClassifier(class_weight={0: 1}).fit(X, y)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("solver", ["auto", "fista"])
@pytest.mark.parametrize("penalty", ["l2", "l1", None])
def test_coefficients_of_classes_are_centered_wherever_a_fit_ends(penalty, solver):
    y = LABEL_SETS.sum(axis=1) % 3
    model = LogisticRegression(penalty, C=0.5, solver=solver, tol=1e-2).fit(LABEL_ROWS + 3, y)
    assert abs(model.intercept_.sum()) < 1e-12
    assert penalty == "l1" or np.abs(model.coef_.sum(axis=0)).max() < 1e-12


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("on_dask", [False, True])
@pytest.mark.parametrize(
    "model",
    [
        kit.BayesianRidge(),
        ElasticNet(),
        kit.HuberRegressor(),
        kit.Lasso(),
        LinearSVC(),
        LogisticRegression(),
        PoissonRegressor(),
        Ridge(),
        kit.RidgeClassifier(),
        LinearDiscriminantAnalysis(),
        PCA(),
        EmpiricalCovariance(),
    ],
    ids=lambda model: type(model).__name__,
)
def test_values_whose_squares_overflow_are_refused_or_fitted(model, on_dask, dtype):
    large = np.sqrt(np.finfo(dtype).max)
    X = (large * np.random.default_rng(0).uniform(1, 2, size=(30, 2))).astype(dtype)
    y = (X[:, 0] > X[:, 0].mean()).astype(int)
    given = (chunked(X), chunked(y)) if on_dask else (X, y)
    if dtype == np.float32 and not isinstance(
        model, (LinearSVC, LogisticRegression, PoissonRegressor, kit.HuberRegressor)
    ):
        learned = {"PCA": "components_", "EmpiricalCovariance": "location_"}.get(type(model).__name__, "coef_")
        assert np.isfinite(getattr(clone(model).fit(*given), learned)).all()  # products are made in double precision
        return
    with pytest.raises(DataError, match=f"overflow {np.dtype(dtype)}: divide them"):
        model.fit(*given)


@pytest.mark.parametrize("model", [kit.LogisticRegression, kit.RidgeClassifier])
def test_a_random_state_is_left_to_others(model):
    state = np.random.RandomState(0)
    model(random_state=state).fit(np.arange(6.0)[:, None], [0, 0, 1, 0, 1, 1])
    assert state.randint(1000) == np.random.RandomState(0).randint(1000)


@pytest.mark.parametrize(
    "model", [kit.LogisticRegression(), StandardScaler(), model_selection.GridSearchCV(kit.Ridge(), {})]
)
def test_callbacks_are_refused(model):
    assert model.set_callbacks() is model
    with pytest.raises(NotImplementedError, match=f"set_callbacks: fits of {type(model).__name__} call no callbacks"):
        model.set_callbacks(print)
