"""Linear models on wide sparse rows, as hashed text makes them: the answers of scikit-learn, and same bits anywhere."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp
import sklearn.linear_model as theirs
import sklearn.svm
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline

import daskml_kit.linear_model as kit
from daskml_kit.engines.engine import watching
from daskml_kit.linear_model import solve
from daskml_kit.model_selection import GridSearchCV
from daskml_kit.numerics import compiled
from daskml_kit.numerics.penalties import least_slope
from daskml_kit.preprocessing import StandardScaler
from daskml_kit.reductions import loss as loss_module
from daskml_kit.solvers import active_newton
from daskml_kit.solvers.newton_cg import newton_cg

ENDINGS = ("ing", "ed", "isch", "lich", "tion", "eau")
WIDTH = 2**12


def make_words(n_rows, n_classes):
    """Return hashed character n-grams of made-up words, whose endings tell their classes, and weights."""
    draw = np.random.default_rng(0)
    y = draw.integers(0, n_classes, n_rows)
    stems = ["".join(draw.choice(list("abcdefgh"), draw.integers(2, 5))) for _ in range(n_rows)]
    noisy = np.where(draw.random(n_rows) < 0.2, draw.integers(0, n_classes, n_rows), y)
    words = [stem + ENDINGS[k] for stem, k in zip(stems, noisy, strict=True)]
    X = HashingVectorizer(analyzer="char", ngram_range=(1, 3), n_features=WIDTH, alternate_sign=False).transform(words)
    return sp.csr_array(X), y, draw.pareto(1.5, n_rows) + 0.1


@pytest.fixture
def solved_by(monkeypatch):
    """Note the solvers that fits have chosen, as of many rows and columns."""
    names = []
    monkeypatch.setattr(solve, "FEW_ROWS", 0)
    monkeypatch.setattr(solve, "DENSE_COEFFICIENTS", 100)

    def noting(*args, **options):
        names.append("newton-cg")
        return newton_cg(*args, **options)

    monkeypatch.setattr(solve, "newton_cg", noting)
    return names


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_classes", "fit_intercept", "compile_from"),
    [(2, True, 0), (2, False, np.inf), (4, False, 0), (4, True, np.inf)],
)
def test_classes_of_words(monkeypatch, solved_by, n_classes, fit_intercept, compile_from):
    monkeypatch.setattr(loss_module, "MANY_PRODUCTS", compile_from)
    X, y, weight = make_words(600, n_classes)
    options = {"C": 3.0, "fit_intercept": fit_intercept, "tol": 1e-9, "max_iter": 1000}
    ours = kit.LogisticRegression(**options).fit(X, y, sample_weight=weight)
    peer = theirs.LogisticRegression(**options).fit(X, y, sample_weight=weight)
    assert solved_by == ["newton-cg"]
    assert_allclose(ours.predict_proba(X), peer.predict_proba(X), atol=2e-5)
    unused = np.setdiff1d(np.arange(WIDTH), X.indices)
    assert len(unused) > WIDTH / 2
    assert not ours.coef_[:, unused].any()

    def objective(model):
        chance = model.predict_proba(X)[np.arange(600), y]
        return (model.coef_**2).sum() / 2 - 3 * weight @ np.log(chance)

    assert objective(ours) <= objective(peer) * (1 + 1e-9)


@pytest.mark.parametrize("name", ["poisson", "squared hinge", "several margins"])
def test_other_losses(solved_by, name):
    X, y, weight = make_words(500, 4 if name == "several margins" else 2)
    if name == "poisson":
        pair = [module.PoissonRegressor(alpha=1e-3, tol=1e-9, max_iter=3000) for module in (kit, theirs)]
    else:
        pair = [kit.LinearSVC(tol=1e-9, max_iter=1000), sklearn.svm.LinearSVC(tol=1e-9, max_iter=100_000)]
        pair[1].set_params(intercept_scaling=1e4, dual=False)  # its intercept is penalized, but by little then
    ours, peer = (model.fit(X, y, sample_weight=weight) for model in pair)
    assert solved_by
    assert_allclose(ours.coef_, peer.coef_, atol=2e-3 * np.abs(peer.coef_).max())
    assert_array_equal(ours.predict(X) > 0.5, peer.predict(X) > 0.5)


def test_warm_starts_take_fewer_steps(solved_by):
    X, y, _ = make_words(500, 3)
    model = kit.LogisticRegression(tol=1e-8, max_iter=500, warm_start=True).fit(X, y)
    first, n_iter = model.coef_.copy(), model.n_iter_[0]
    assert model.fit(X, y).n_iter_[0] < n_iter
    assert_allclose(model.coef_, first, atol=1e-5)
    assert len(solved_by) == 2


def test_a_cluster_gives_the_same_bits(client, solved_by):
    X, y, _ = make_words(600, 3)
    blocks, targets = da.from_array(X, chunks=(150, WIDTH), asarray=False), da.from_array(y, chunks=150)
    local = kit.LogisticRegression().fit(blocks, targets)
    with client.as_current():
        away = kit.LogisticRegression().fit(client.persist(blocks), targets)
    assert_array_equal(away.coef_, local.coef_)
    assert len(solved_by) == 2


def test_a_search_behind_a_scaler_is_that_of_single_fits(solved_by):
    X, y, _ = make_words(600, 3)
    splits = list(StratifiedKFold(3).split(X, y))
    scaled = make_pipeline(StandardScaler(with_mean=False), kit.LogisticRegression(tol=1e-8, max_iter=500))
    grid = [1e-3, 1e-2]
    search = GridSearchCV(scaled, {"logisticregression__C": grid}, cv=splits).fit(X, y)
    for rank, C in enumerate(grid):
        single = scaled.set_params(logisticregression__C=C)
        for k, (train, test) in enumerate(splits):
            expected = single.fit(X[train], y[train]).score(X[test], y[test])
            assert_allclose(search.cv_results_[f"split{k}_test_score"][rank], expected)
    assert len(solved_by) > 6


@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_a_search_shares_passes_and_columns(monkeypatch, solved_by, l1_ratio):
    """Fits on folds have the columns of all rows, the same for each, and start where that of all rows has ended."""
    X, y, _ = make_words(600, 2)
    used = len(np.unique(X.indices))
    widths, passes, plan = [], [], solve._plan

    def noting(posed, *args):
        widths.extend(problem.shape[1] for problem in posed.values())
        return plan(posed, *args)

    monkeypatch.setattr(solve, "_plan", noting)
    options = {"tol": 1e-8, "max_iter": 1000, "l1_ratio": l1_ratio}
    grid = {"C": [0.1, 0.3, 1.0, 3.0]}
    with watching(lambda profile: passes.append(profile.passes)):
        search = GridSearchCV(kit.LogisticRegression(**options), grid, cv=3, scoring="neg_log_loss").fit(X, y)
    assert set(widths) == {used + 1}
    most = max(passes)
    passes.clear()
    with watching(lambda profile: passes.append(profile.passes)):
        kit.LogisticRegression(C=3.0, **options).fit(X, y)
    assert most < 4 * max(passes)
    for k, (train, test) in enumerate(StratifiedKFold(3).split(X, y)):
        model = kit.LogisticRegression(C=3.0, **options).fit(X[train], y[train])
        found = search.cv_results_[f"split{k}_test_score"][3]
        assert_allclose(found, -log_loss(y[test], model.predict_proba(X[test])), atol=1e-5)


def test_compiled_loops_are_not_touched_by_small_data(monkeypatch):
    X, y, _ = make_words(300, 3)
    monkeypatch.setattr(compiled, "multiply", None)
    monkeypatch.setattr(compiled, "add_transposed", None)
    assert kit.LogisticRegression().fit(X, y).score(X, y) > 0.5


@pytest.mark.parametrize("most_active", [5000, 30], ids=["few", "many"])
@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_l1_norms_leave_no_slope(monkeypatch, n_classes, l1_ratio, most_active):
    monkeypatch.setattr(active_newton, "MOST_ACTIVE", most_active)
    X, y, weight = make_words(400, n_classes)
    model = kit.LogisticRegression(C=0.5, l1_ratio=l1_ratio, tol=1e-7, max_iter=3000).fit(X, y, sample_weight=weight)
    chance = model.predict_proba(X)
    wrong = (chance - np.eye(n_classes)[y])[:, -len(model.coef_) :] * weight[:, None]
    slopes = least_slope(model.coef_, 0.5 * (X.T @ wrong).T + (1 - l1_ratio) * model.coef_, l1_ratio)
    assert np.abs(slopes).max() < 1e-4 * weight.sum()
    assert_allclose(wrong.sum(axis=0), 0, atol=1e-4 * weight.sum())
    assert 0 < np.count_nonzero(model.coef_) < model.coef_.size / 10


def test_l1_norms_on_a_cluster_give_the_same_bits(client):
    X, y, _ = make_words(400, 2)
    blocks, targets = da.from_array(X, chunks=(100, WIDTH), asarray=False), da.from_array(y, chunks=100)
    local = kit.LogisticRegression(l1_ratio=1).fit(blocks, targets)
    with client.as_current():
        away = kit.LogisticRegression(l1_ratio=1).fit(client.persist(blocks), targets)
    assert_array_equal(away.coef_, local.coef_)
    assert away.coef_.any()


@pytest.mark.parametrize("C", [1.0, 1e4])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_few_rows_of_features_on_many_scales(n_classes, C, fit_intercept):
    draw = np.random.default_rng(0)
    scales = 10 ** draw.uniform(-3, 3, 3000)
    X = sp.csr_array(sp.random_array((50, 3000), density=0.02, rng=draw, format="csr") * scales)
    y, weight = draw.integers(0, n_classes, 50), draw.uniform(0.5, 2, 50)
    options = {"C": C, "fit_intercept": fit_intercept, "tol": 1e-7, "max_iter": 1000}
    model = kit.LogisticRegression(**options).fit(X, y, sample_weight=weight)
    assert model.profile_.solver.startswith("Newton in the space of the rows: rows are few (50 sparse")
    wrong = (model.predict_proba(X) - np.eye(n_classes)[y])[:, -len(model.coef_) :] * weight[:, None]
    assert_allclose(model.coef_, -C * (X.T @ wrong).T, atol=1e-3 * np.abs(model.coef_).max())
    if fit_intercept:
        assert_allclose(C * wrong.sum(axis=0), 0, atol=1e-3)
    else:
        assert not model.intercept_.any()


def test_few_rows_that_repeat_are_fitted_too():
    X = sp.csr_array(np.tile(sp.random_array((10, 3000), density=0.02, rng=np.random.default_rng(0)).toarray(), (2, 1)))
    y = np.tile(np.arange(10) % 2, 2)
    for C in (1.0, 1e9):
        ours = kit.LogisticRegression(C=C, tol=1e-8, max_iter=1000).fit(X, y)
        peer = theirs.LogisticRegression(C=C, tol=1e-8, max_iter=1000).fit(X, y)
        assert_allclose(ours.predict_proba(X), peer.predict_proba(X), atol=1e-4)
