"""Models of a search's folds are those of fits on the same rows, one by one, from the same seeds."""

from __future__ import annotations

import warnings
from collections import Counter
from functools import partial

import dask.array as da
import numpy as np
import pytest
import sklearn.feature_selection
import sklearn.linear_model
import sklearn.model_selection
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline

from daskml_kit.cluster import BisectingKMeans, KMeans, MiniBatchKMeans, bisecting_k_means, k_means, mini_batch_k_means
from daskml_kit.data import collections
from daskml_kit.decomposition import PCA, TruncatedSVD
from daskml_kit.feature_selection import SelectKBest, mutual_info_regression
from daskml_kit.impute import IterativeImputer
from daskml_kit.kernel_approximation import Nystroem, RBFSampler
from daskml_kit.linear_model import LogisticRegression, Ridge, SGDRegressor
from daskml_kit.mixture import BayesianGaussianMixture, GaussianMixture
from daskml_kit.mixture import base as mixture_base
from daskml_kit.model_selection import GridSearchCV, KFold, cross_validate
from daskml_kit.model_selection.search import fused
from daskml_kit.preprocessing import KBinsDiscretizer, QuantileTransformer, StandardScaler
from daskml_kit.solvers.run import Driver

SAMPLE_ROWS = 200
FEW = {"max_iter": 5, "random_state": 3}
CASES = {
    "k-means++": KMeans(4, **FEW),
    "random": KMeans(4, init="random", n_init=2, **FEW),
    "k-means||": KMeans(4, init="k-means||", **FEW),
    "behind a scaler": make_pipeline(StandardScaler(), KMeans(4, **FEW)),
    "behind components": make_pipeline(PCA(2, svd_solver="full"), KMeans(4, **FEW)),
    "before a model": make_pipeline(KMeans(4, **FEW), Ridge()),
    "mini-batches": MiniBatchKMeans(4, batch_size=4, **FEW),
    "bisections": BisectingKMeans(4, **FEW),
    "mixture": GaussianMixture(3, **FEW),
    "mixture from rows": GaussianMixture(3, init_params="random_from_data", **FEW),
    "variational mixture": BayesianGaussianMixture(n_components=3, **FEW),
    "Nystroem": make_pipeline(Nystroem(n_components=9, random_state=3), Ridge()),
    "random features": make_pipeline(RBFSampler(gamma="scale", n_components=9, random_state=3), Ridge()),
    "quantiles": make_pipeline(QuantileTransformer(n_quantiles=9, random_state=3), Ridge()),
    "random components": make_pipeline(TruncatedSVD(2, random_state=3), Ridge()),
    "steps": SGDRegressor(**FEW),
    "mutual information": make_pipeline(SelectKBest(partial(mutual_info_regression, random_state=3), k=2), Ridge()),
    "bins of clusters": make_pipeline(KBinsDiscretizer(3, strategy="kmeans", subsample=None), Ridge()),
    "drawn values": make_pipeline(IterativeImputer(max_iter=2, sample_posterior=True, random_state=3), Ridge()),
}
IN_MEMORY = ("bins of clusters", "drawn values")
"""Cases that Dask data has not."""


@pytest.fixture
def small_samples(monkeypatch):
    """Draw samples of few rows, from small blocks also in memory."""
    for module in (k_means, mini_batch_k_means, bisecting_k_means, mixture_base):
        monkeypatch.setattr(module, "SAMPLE_ROWS", SAMPLE_ROWS)
    monkeypatch.setattr(collections, "BLOCK_BYTES", 4096)


def rows_of():
    rng = np.random.default_rng(0)
    X = 2 * rng.normal(size=(9, 4))[rng.integers(9, size=901)] + rng.normal(size=(901, 4))
    return X, X @ rng.normal(size=4) + rng.normal(size=901)


def fitted(model, X, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return clone(model).fit(X, y)


@pytest.mark.parametrize("name", CASES)
def test_a_search_finds_what_fits_one_by_one_find(name, small_samples):
    in_memory = rows_of()
    on_dask = tuple(da.from_array(part, chunks=(130, *part.shape[1:])) for part in in_memory)
    cv = KFold(3, shuffle=True, random_state=0)
    for X, y in (in_memory,) if name in IN_MEMORY else (in_memory, on_dask):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            found = cross_validate(CASES[name], X, y, cv=cv)["test_score"]
        expected = [fitted(CASES[name], X[train], y[train]).score(X[test], y[test]) for train, test in cv.split(X)]
        assert_allclose(found, expected, rtol=1e-6)


def test_fits_hold_few_drawn_rows_at_one_time(small_samples, monkeypatch):
    """Those on other rows draw others: as many fits as may hold theirs are made together."""
    X = da.from_array(rows_of()[0], chunks=(130, 4))
    search = GridSearchCV(KMeans(**FEW), {"n_clusters": [2, 4]}, cv=KFold(3), refit=False)
    together, drawn = [], []
    run = Driver.run
    monkeypatch.setattr(Driver, "run", lambda self, fits, *rest: together.append(len(fits)) or run(self, fits, *rest))
    for n_bytes in (2**28, 1):
        monkeypatch.setattr(fused, "DRAWN_BYTES", n_bytes)
        drawn.append(search.fit(X).cv_results_["mean_test_score"])
    assert [n for n in together if n > 1] == [6, 2, 2, 2]  # others are of samples
    assert_allclose(drawn[0], drawn[1], rtol=1e-9)


@pytest.mark.parametrize("refit", [True, False])
def test_a_search_warns_of_constant_features_as_often_as_scikit_learn(refit):
    X, _ = rows_of()
    y = (X[:, 0] > 0).astype(int)
    X[:, 1] = 4.0
    X[:700, 2] = 1.0  # in the last training set only
    theirs = make_pipeline(sklearn.feature_selection.SelectKBest(k=1), sklearn.linear_model.LogisticRegression())
    ours = make_pipeline(SelectKBest(k=1), LogisticRegression())
    grid, options = {"logisticregression__C": [0.1, 1.0]}, {"cv": sklearn.model_selection.KFold(3), "refit": refit}
    told = []
    for search in (sklearn.model_selection.GridSearchCV(theirs, grid, **options), GridSearchCV(ours, grid, **options)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            search.fit(X, y)
        told.append(Counter(str(each.message) for each in caught if "constant" in str(each.message)))
    assert told[0] == told[1]
    assert told[0]["Features [1] are constant."] == 4 + refit
