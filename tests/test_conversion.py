"""Models as scikit-learn's own objects, with nothing of ours or of Dask left in them."""

from __future__ import annotations

import pickle
import subprocess
import sys

import dask.array as da
import numpy as np
import pytest
import sklearn.model_selection
from sklearn.base import clone
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline, make_union

from daskml_kit import to_sklearn
from daskml_kit.cluster import KMeans
from daskml_kit.exceptions import ConversionError
from daskml_kit.linear_model import LogisticRegression, SGDClassifier
from daskml_kit.model_selection import GridSearchCV, HyperbandSearchCV, StratifiedKFold
from daskml_kit.preprocessing import StandardScaler
from daskml_kit.recommendation import MatrixFactorization
from daskml_kit.wrappers import ParallelPostFit

X = np.random.default_rng(0).normal(size=(120, 3))
Y = np.where(X[:, 0] > 0, "up", "down")
BLOCKS = da.from_array(X, chunks=(50, 3)), da.from_array(Y, chunks=50)

pipeline = make_pipeline(StandardScaler(), LogisticRegression())
MODELS = {
    "pipeline": pipeline,
    "union": make_pipeline(make_union(StandardScaler(), "passthrough"), LogisticRegression()),
    "vote": VotingClassifier([("a", LogisticRegression()), ("b", pipeline)], voting="soft"),
    "stack": StackingClassifier([("a", LogisticRegression())], LogisticRegression(), cv=3),
    "one against the rest": OneVsRestClassifier(LogisticRegression()),
    "search": GridSearchCV(pipeline, {"logisticregression__C": [0.1, 1.0]}, cv=StratifiedKFold(3)),
    "search of a vote": GridSearchCV(VotingClassifier([("a", LogisticRegression())]), {"a__C": [0.1, 1.0]}, cv=3),
    "frozen": FrozenEstimator(LogisticRegression().fit(X, Y)),
    "wrapped": ParallelPostFit(pipeline),
    "adaptive": HyperbandSearchCV(
        SGDClassifier(random_state=0), {"alpha": [1e-4, 1e-3, 1e-2]}, max_iter=3, random_state=0
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_nothing_of_ours_is_left(name):
    lazy = name in ("pipeline", "union", "search", "adaptive")
    known = {"classes": ["down", "up"]} if name == "adaptive" else {}
    fitted = clone(MODELS[name]).fit(*(BLOCKS if lazy else (X, Y)), **known)
    before = pickle.dumps(fitted)
    plain = to_sklearn(fitted)
    kept = pickle.dumps(plain)
    assert b"dask" not in kept
    np.testing.assert_array_equal(plain.predict(X), np.asarray(fitted.predict(X)))
    if hasattr(plain, "score") and hasattr(fitted, "score"):
        assert plain.score(X, Y) == pytest.approx(fitted.score(X, Y))
    assert pickle.dumps(fitted) == before


def test_unfitted_models_are_converted_too():
    plain = to_sklearn(MODELS["search"])
    assert type(plain) is sklearn.model_selection.GridSearchCV
    assert type(plain.cv) is sklearn.model_selection.StratifiedKFold
    assert plain.fit(X, Y).best_score_ > 0.9


@pytest.mark.slow
def test_a_converted_model_loads_where_this_package_is_not(tmp_path):
    (tmp_path / "model").write_bytes(pickle.dumps(to_sklearn(clone(MODELS["search"]).fit(*BLOCKS))))
    code = (
        "import pickle, sys; pickle.load(open(sys.argv[1], 'rb')); assert not {'dask', 'daskml_kit'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "model")], check=True)


def test_what_scikit_learn_has_not_is_refused():
    with pytest.raises(ConversionError, match="MatrixFactorization to scikit-learn: it has no counterpart"):
        to_sklearn(MatrixFactorization())
    held = make_pipeline(StandardScaler(), MatrixFactorization())
    with pytest.raises(ConversionError, match="Pipeline holds a MatrixFactorization, which has no counterpart"):
        to_sklearn(held)
    assert to_sklearn(KMeans(2)).get_params()["n_clusters"] == 2
