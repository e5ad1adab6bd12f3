"""Models behind transformers that change more than coefficients: rows transformed once, and scikit-learn's scores."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import sklearn.cluster as skc
import sklearn.impute as ski
import sklearn.kernel_approximation as ska
import sklearn.linear_model as skl
import sklearn.mixture as skx
import sklearn.model_selection as skm
import sklearn.preprocessing as skp
from numpy.testing import assert_allclose
from sklearn.pipeline import make_pipeline

import daskml_kit.linear_model as ours
import daskml_kit.model_selection as cv
from daskml_kit.cluster import KMeans
from daskml_kit.data.block import Block
from daskml_kit.engines import open as opening
from daskml_kit.impute import SimpleImputer
from daskml_kit.kernel_approximation import Nystroem, RBFSampler
from daskml_kit.mixture import GaussianMixture
from daskml_kit.model_selection.search import fused
from daskml_kit.model_selection.search.search_plan import EvaluationData, EvaluationSpec
from daskml_kit.naive_bayes import GaussianNB
from daskml_kit.preprocessing import (
    FunctionTransformer,
    PolynomialFeatures,
    QuantileTransformer,
    SplineTransformer,
    StandardScaler,
)
from daskml_kit.reductions import frames, kept_rows

draw = np.random.default_rng(0)
X = draw.normal(size=(240, 3)) + 3 * draw.integers(0, 3, (240, 1))
Y = np.sin(X[:, 0]) + X[:, 1] * X[:, 2] + draw.normal(size=240)
LABELS = (np.median(Y) < Y).astype(int)
GAPS = np.where(draw.random(X.shape) < 0.1, np.nan, X)
DRAWN = {"n_components": 12, "random_state": 3}
ALPHAS = {"ridge__alpha": [0.1, 1.0, 10.0]}
LOGISTIC = {"tol": 1e-9, "max_iter": 1000}
CLUSTERS = {"n_init": 1, "random_state": 0}
PIPELINES = {
    "nystroem": (
        [Nystroem(gamma=0.1, **DRAWN), ours.LogisticRegression(**LOGISTIC)],
        [ska.Nystroem(gamma=0.1, **DRAWN), skl.LogisticRegression(**LOGISTIC)],
        {"logisticregression__C": [0.1, 1.0]},
        (X, LABELS),
    ),
    "kernels": (
        [StandardScaler(), Nystroem(**DRAWN), ours.Ridge()],
        [skp.StandardScaler(), ska.Nystroem(**DRAWN), skl.Ridge()],
        {"nystroem__gamma": [0.1, 1.0], **ALPHAS},
        (X, Y),
    ),
    "imputed": (
        [SimpleImputer(), RBFSampler(**DRAWN), ours.Ridge()],
        [ski.SimpleImputer(), ska.RBFSampler(**DRAWN), skl.Ridge()],
        ALPHAS,
        (GAPS, Y),
    ),
    "scaled products": (
        [QuantileTransformer(n_quantiles=20, subsample=None), PolynomialFeatures(), StandardScaler(), ours.Ridge()],
        [skp.QuantileTransformer(n_quantiles=20), skp.PolynomialFeatures(), skp.StandardScaler(), skl.Ridge()],
        ALPHAS,
        (X, Y),
    ),
    "clusters": (
        [StandardScaler(), KMeans(**CLUSTERS)],
        [skp.StandardScaler(), skc.KMeans(**CLUSTERS)],
        {"kmeans__n_clusters": [2, 3, 5]},
        (X, None),
    ),
    "mixture": (
        [StandardScaler(), GaussianMixture(random_state=0)],
        [skp.StandardScaler(), skx.GaussianMixture(random_state=0)],
        {"gaussianmixture__n_components": [2, 3]},
        (X, None),
    ),
}


def scores_of(search):
    return {name: values for name, values in search.cv_results_.items() if name.startswith(("split", "mean_t"))}


def searched(steps, grid, rows, targets, **options):
    options = {"cv": cv.KFold(3), "return_train_score": True, "error_score": "raise", **options}
    return cv.GridSearchCV(make_pipeline(*steps), grid, **options).fit(rows, targets)


@pytest.mark.parametrize("name", PIPELINES)
def test_scores_are_scikit_learns(name):
    own, theirs, grid, (rows, targets) = PIPELINES[name]
    options = {"cv": skm.KFold(3), "return_train_score": True}
    expected = scores_of(skm.GridSearchCV(make_pipeline(*theirs), grid, **options).fit(rows, targets))
    lazy = da.from_array(rows, chunks=(70, 3)), None if targets is None else da.from_array(targets, chunks=100)
    for given in ((rows, targets), lazy):
        search = searched(own, grid, *given)
        assert not search.plan_.alone
        for key, found in scores_of(search).items():
            assert_allclose(found, expected[key], rtol=1e-6, err_msg=key)
    assert not kept_rows._kept.rows
    assert kept_rows._kept.n_bytes == 0


def test_each_model_transforms_each_row_once_for_all_fits(monkeypatch):
    transformed, transform = [], frames.transform_rows

    def counted(model, rows):
        transformed.append(len(rows))
        return transform(model, rows)

    monkeypatch.setattr(frames, "transform_rows", counted)
    many = {"logisticregression__C": np.logspace(-2, 2, 7)}
    model = [Nystroem(**DRAWN), ours.LogisticRegression()]
    searched(model, many, X, LABELS, return_train_score=False, refit=False)
    assert sum(transformed) == 3 * len(X) + len(X)  # of each split: all rows for the fits, the test rows for the scores
    transformed.clear()
    model = [RBFSampler(**DRAWN), ours.LogisticRegression()]
    searched(model, many, X, LABELS, return_train_score=False, refit=False)
    assert sum(transformed) == len(X) + len(X)  # the same features in all splits


def test_rows_without_room_are_left_to_single_fits(monkeypatch):
    monkeypatch.setattr(fused, "fits", lambda client, n_bytes: False)
    steps, _, grid, data = PIPELINES["nystroem"]
    search = searched(steps, grid, *data)
    assert list(search.plan_.alone) == ["rows as the steps before the model make them do not fit in memory"]
    monkeypatch.undo()
    together = scores_of(searched(steps, grid, *data))
    for key, found in scores_of(search).items():
        assert_allclose(found, together[key], rtol=1e-6)


def test_what_sees_more_than_rows_of_numbers_is_left_to_single_fits():
    for step in (FunctionTransformer(np.abs), QuantileTransformer(n_quantiles=20)):
        assert not cv.GridSearchCV(make_pipeline(step, ours.Ridge()), ALPHAS, cv=2).plan().fused


@pytest.mark.slow
def test_on_a_cluster(client, monkeypatch):
    monkeypatch.setattr(opening, "LOCAL_BYTES", 0)
    own, _, grid, (rows, targets) = PIPELINES["nystroem"]
    options = {"cv": cv.KFold(2), "return_train_score": False, "refit": False}
    here = scores_of(searched(own, grid, rows, targets, **options))
    lazy = client.persist([da.from_array(rows, chunks=(60, 3)), da.from_array(targets, chunks=60)])
    for key, found in scores_of(searched(own, grid, *lazy, **options)).items():
        assert_allclose(found, here[key], rtol=1e-9)


def test_rows_are_forgotten_where_blocks_are():
    for fit in ("over", "other"):
        kept_rows.keep(fit, (0, "shown"), kept_rows.ShownRows(X))
    kept_rows.Forget("over").chunk(Block(X[:1], index=1))
    assert kept_rows.take("over", (0, "shown")) is None
    assert kept_rows.take("other", (0, "shown")).X is X


def test_models_are_fitted_in_turn_where_rows_of_all_have_no_room(monkeypatch):
    steps, _, grid, data = PIPELINES["clusters"]
    together = scores_of(searched(steps, grid, *data))
    monkeypatch.setattr(fused, "fits", lambda client, n_bytes: n_bytes < 2 * X.nbytes)
    for key, found in scores_of(searched(steps, grid, *data)).items():
        assert_allclose(found, together[key], rtol=1e-12)


def test_models_that_read_rows_once_share_one_pass():
    folds = cv.KFold(3).assign(X)
    model = make_pipeline(RBFSampler(**DRAWN), ours.Ridge())
    spec = EvaluationSpec(model, list(skm.ParameterGrid(ALPHAS)), {"score": "r2"})
    found = fused.run_fused(spec, EvaluationData(X, Y, folds))
    assert found.passes == 3  # lengths of blocks, products, scores
    assert not found.unshared


def test_rows_that_were_lost_are_made_anew_to_the_same_bits(monkeypatch):
    steps, _, _, data = PIPELINES["nystroem"]
    found = []
    for share in (1.0, 0.5, 0.0):
        monkeypatch.setattr(frames, "take", lambda *part, s=share: kept_rows.take(*part) if s > draw.random() else None)
        found.append(searched(steps, {}, *data, scoring="neg_log_loss", refit=False).best_score_)
    assert len(set(found)) == 1


class Flat(PolynomialFeatures):
    """Transformer of a user's, whose ``transform`` is none of the reductions'."""

    def transform(self, X):
        return 0 * super().transform(X)


class Lenient(ours.LogisticRegression):
    """Model of a user's with a score of its own."""

    def score(self, X, y, sample_weight=None):
        return -7.0


def data_of_classes():
    draw = np.random.default_rng(0)
    X = draw.normal(size=(400, 5))
    return X, (X[:, 0] + 0.3 * draw.normal(size=400) > 0).astype(int)


def test_what_subclasses_change_counts():
    X, y = data_of_classes()
    found = cv.cross_validate(make_pipeline(Flat(), ours.LogisticRegression()), X, y, cv=3)["test_score"]
    most = max(y.mean(), 1 - y.mean())
    assert_allclose(found, most, atol=0.1)  # nothing is known of the rows
    assert_allclose(cv.cross_validate(make_pipeline(StandardScaler(), Lenient()), X, y, cv=3)["test_score"], -7.0)


@pytest.mark.filterwarnings("ignore:One or more of the test scores are non-finite:UserWarning")
def test_a_transformer_that_refuses_test_rows_costs_its_own_scores():
    X, y = data_of_classes()
    pipeline = make_pipeline(SplineTransformer(), ours.LogisticRegression())
    grid = {"splinetransformer__extrapolation": ["constant", "error"]}
    with pytest.warns(UserWarning, match="beyond the limits of the knots"):
        scores = cv.GridSearchCV(pipeline, grid, cv=3, refit=False).fit(X, y).cv_results_["mean_test_score"]
    assert scores[0] > 0.8
    assert np.isnan(scores[1])
    with pytest.raises(ValueError, match="beyond the limits of the knots"):
        cv.GridSearchCV(pipeline, grid, cv=3, refit=False, error_score="raise").fit(X, y)


def test_a_random_state_is_drawn_from_once():
    X, y = data_of_classes()
    expected = RBFSampler(n_components=5, random_state=np.random.RandomState(0)).fit(X).random_weights_
    pipeline = make_pipeline(RBFSampler(n_components=5, random_state=np.random.RandomState(0)), GaussianNB())
    for fitted in cv.cross_validate(pipeline, X, y, cv=3, return_estimator=True)["estimator"]:
        assert_allclose(fitted[0].random_weights_, expected)
