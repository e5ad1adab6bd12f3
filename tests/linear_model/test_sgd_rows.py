"""Steps of single sparse rows against the same steps in plain NumPy, and against minima."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose
from sklearn.base import clone

import daskml_kit.linear_model.sgd_training as sgd_training
from daskml_kit.linear_model import LogisticRegression, SGDClassifier, SGDRegressor
from daskml_kit.linear_model.sgd_rows import KINDS, RowSgdStep
from daskml_kit.linear_model.sgd_step import ResidualTargets, identity
from daskml_kit.numerics import compiled
from daskml_kit.numerics.losses import MARGIN_LOSSES, RESIDUAL_LOSSES, Hinge, classifier_loss
from daskml_kit.numerics.penalties import Shrinkage
from daskml_kit.numerics.targets import OneVsRest
from daskml_kit.optim import adagrad
from daskml_kit.parameter_server.training.minibatches import Minibatch


@pytest.mark.parametrize("name", [*MARGIN_LOSSES, *RESIDUAL_LOSSES])
def test_compiled_losses_are_those_of_numpy(name):
    loss = classifier_loss(name, 0.7)
    bound = loss.threshold if isinstance(loss, Hinge) else getattr(loss, "epsilon", 0.0)
    raw, y = np.linspace(-60, 60, 481), np.where(np.arange(481) % 2, 1.0, -1.0)
    terms = loss.terms(raw.copy(), y, 1)
    found = [compiled.loss_and_gradient(KINDS.index(type(loss)), bound, *pair) for pair in zip(raw, y, strict=True)]
    assert_allclose(found, np.column_stack([terms.value, terms.gradient]), rtol=1e-12, atol=1e-15)


def row_steps(X, y, weight, loss, coef, sums, rate, alpha, l1_ratio, scale, step):
    """Make the same steps for all features at once, and follow the penalty after each."""
    strength, pull = alpha * (1 - l1_ratio) / scale**2, alpha * l1_ratio / scale
    for x, signs, weights in zip(X / scale, y.T, weight.T, strict=True):
        gradient = weights * loss.terms(coef[:, :-1] @ x + coef[:, -1], signs, 1).gradient
        step += 1
        for at, slopes in ((slice(0, -1), gradient[:, None] * x), (slice(-1, None), gradient[:, None])):
            sums[:, at] += slopes**2
            least = rate * strength * step if at.stop else 0
            moved = rate * slopes / np.maximum(np.sqrt(sums[:, at]) + 1e-10, least)
            coef[:, at] -= np.where(slopes == 0, 0, moved)
        root = np.sqrt(sums[:, :-1]) + 1e-10
        length = rate / np.maximum(root, rate * strength * step)
        kept = 1 - length * strength
        size = np.abs(coef[:, :-1]) * kept - length * pull
        coef[:, :-1] = np.where(sums[:, :-1] > 0, np.sign(coef[:, :-1]) * np.maximum(size, 0), coef[:, :-1])
    return coef, sums


@pytest.mark.parametrize(
    "penalty", [Shrinkage(0.0, 0.0), Shrinkage(2e-4, 0.0), Shrinkage(2e-4, 1.0), Shrinkage(2e-4, 0.5)]
)
@pytest.mark.parametrize("name", ["log_loss", "squared_hinge", "squared_error"])
def test_steps_are_those_of_all_features_at_once(name, penalty):
    draw = np.random.default_rng(0)
    X = sp.random_array((300, 40), density=0.1, format="csr", rng=draw)
    labels, weight = draw.integers(0, 3, 300), draw.uniform(0.5, 2, 300)
    signs = OneVsRest(np.arange(3))
    target = signs if name in MARGIN_LOSSES else ResidualTargets(signs)
    scaling = identity(40)
    scaling.scale[:-1] = draw.uniform(0.5, 2, 40)
    step = RowSgdStep(classifier_loss(name), target, penalty, adagrad(0.1), scaling)
    start = step.start(draw.normal(size=(3, 41)) / 10)
    batches = [Minibatch(X[at], labels[at], weight[at]) for at in (slice(0, 128), slice(128, 300))]
    found = step.compute(start, batches)
    y, _ = target.read(labels, None, np.dtype(float))

    def all_at_once(alpha):
        coef, sums = start["coef"].copy(), start["state 1"].copy()
        rows = X.toarray(), y, np.tile(weight, (3, 1)), classifier_loss(name)
        return row_steps(*rows, coef, sums, 0.1, alpha, penalty.l1_ratio, scaling.scale[:-1], 0)

    coef, sums = all_at_once(penalty.alpha)
    moved = start["coef"] + found.arrays["coef"]
    if penalty.alpha:  # followed along many steps at once, the penalty differs by squares of a step's share
        effect = np.abs(coef - all_at_once(0.0)[0]).max()
        assert_allclose(moved, coef, atol=0.05 * effect)
        assert effect > 1e-3
    else:
        assert_allclose(moved, coef, rtol=1e-12)
        assert_allclose(start["state 1"] + found.arrays["state 1"], sums, rtol=1e-12)
    assert found.arrays["state 0"] == found.n_rows == 300


@pytest.fixture
def by_row(monkeypatch):
    """Let few rows take the steps of many."""
    monkeypatch.setattr(sgd_training, "MANY_ZEROS", 0)
    monkeypatch.setattr(sgd_training, "WIDE", 2)
    monkeypatch.setattr(sgd_training, "ROWS_OF_ONE", 1000)


def words(n_rows=4000, n_features=2000):
    draw = np.random.default_rng(0)
    columns = (draw.zipf(1.3, (n_rows, 10)) - 1) % n_features
    X = sp.csr_matrix((np.ones(columns.size), columns.reshape(-1), np.arange(n_rows + 1) * 10), (n_rows, n_features))
    X.sum_duplicates()
    raw = X @ draw.normal(size=(n_features, 3)) / 2
    return X, raw.argmax(axis=1), raw[:, 0]


def objective(model, X, y, alpha):
    signs = np.where(
        y[:, None] == model.classes_[1:] if len(model.classes_) == 2 else y[:, None] == model.classes_, 1, -1
    )
    raw = model.decision_function(X).reshape(len(y), -1)
    return np.logaddexp(0, -signs * raw).mean(axis=0).sum() + alpha / 2 * (model.coef_**2).sum()


def test_sparse_text_is_near_its_minimum_after_some_epochs(by_row):
    X, labels, number = words()
    y, alpha = labels > 0, 1e-3
    best = LogisticRegression(C=1 / (alpha * len(y)), tol=1e-8).fit(X, y)
    model = SGDClassifier("log_loss", alpha=alpha, max_iter=10, tol=None, random_state=0).fit(X, y)
    lowest = objective(best, X, y, alpha)
    assert lowest < objective(model, X, y, alpha) < 1.01 * lowest
    one = clone(model).set_params(max_iter=1).fit(X, y)
    assert objective(one, X, y, alpha) < 1.1 * lowest
    sparse = clone(model).set_params(penalty="l1").fit(X, y)
    assert 10 < np.count_nonzero(sparse.coef_) < 0.7 * np.count_nonzero(model.coef_)
    classes = clone(model).fit(X, labels)
    assert classes.coef_.shape == (3, 2000)
    assert classes.score(X, labels) > 0.8
    assert SGDRegressor(max_iter=10, tol=None, random_state=0).fit(X, number).score(X, number) > 0.9


def test_steps_of_rows_go_on_and_are_chosen_where_minibatches_are_full_of_zeros(by_row):
    X, labels, _ = words()
    model = SGDClassifier("log_loss", random_state=0)
    for _ in range(3):
        model.partial_fit(X, labels > 0, classes=[False, True])
    assert model._state.params["state 0"] == 3 * 4000  # one a row
    whole = SGDClassifier("log_loss", max_iter=1, tol=None, batch_size=512, random_state=0).fit(X, labels > 0)
    assert whole._state.params["state 0"] < 100  # of minibatches
    averaged = SGDClassifier("log_loss", max_iter=2, tol=None, average=True, random_state=0).fit(X, labels > 0)
    assert averaged.score(X, labels > 0) > 0.7
