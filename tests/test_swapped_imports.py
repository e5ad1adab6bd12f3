"""Programs for dask-ml, after the examples of its documentation, run with its name replaced by this package's."""

from __future__ import annotations

import pytest

PROGRAMS = {
    "incremental": """
from dask_ml.datasets import make_classification
from dask_ml.model_selection import train_test_split
from dask_ml.wrappers import Incremental
from sklearn.linear_model import SGDClassifier
X, y = make_classification(n_samples=2_000, n_features=20, chunks=200, flip_y=0.2, random_state=0)
parts = train_test_split(X, y, random_state=0)
X_train, X_test, y_train, y_test = dask.persist(*parts)
classes = da.unique(y_train).compute()
inc = Incremental(SGDClassifier(loss="log_loss", random_state=0), scoring="accuracy", random_state=0)
for _ in range(3):
    inc.partial_fit(X_train, y_train, classes=classes)
result = inc.predict(X_test)
assert 0.5 < inc.score(X_test, y_test) <= 1
""",
    "preprocessing": """
from dask_ml.preprocessing import Categorizer, DummyEncoder, OrdinalEncoder
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
frame = pd.DataFrame({"A": [1, 2, 1, 2], "B": ["a", "b", "c", "c"]})
X, y = dd.from_pandas(frame, npartitions=2), dd.from_pandas(pd.Series([0, 1, 1, 0]), npartitions=2)
assert len(make_pipeline(Categorizer(), DummyEncoder(), LogisticRegression()).fit(X, y).predict(X)) == 4
result = make_pipeline(Categorizer(), OrdinalEncoder()).fit_transform(X)
""",
    "hyperband": """
from dask_ml.datasets import make_classification
from dask_ml.model_selection import HyperbandSearchCV
from dask_ml.wrappers import ParallelPostFit
from sklearn.linear_model import SGDClassifier
X, y = make_classification(chunks=20, random_state=0)
space = {"estimator__alpha": np.logspace(-2, 1, num=1000), "estimator__l1_ratio": np.linspace(0, 1, num=1000)}
search = HyperbandSearchCV(ParallelPostFit(SGDClassifier(tol=1e-3, random_state=0)), space, max_iter=9, random_state=0)
search.fit(X, y, classes=[0, 1])
result = search.predict(X)
assert search.score(X, y) > 0.5
""",
    "incremental searches": """
from dask_ml.datasets import make_classification
from dask_ml.model_selection import IncrementalSearchCV, InverseDecaySearchCV, SuccessiveHalvingSearchCV
from sklearn.linear_model import SGDClassifier
X, y = make_classification(n_samples=600, n_features=5, chunks=100, random_state=0)
model = SGDClassifier(penalty="elasticnet", random_state=0)
space = {"alpha": np.logspace(-2, 1, num=100), "average": [True, False]}
for search in (
    IncrementalSearchCV(model, space, n_initial_parameters=4, patience=3, max_iter=4, random_state=0),
    InverseDecaySearchCV(model, space, n_initial_parameters=4, max_iter=3, random_state=0),
    SuccessiveHalvingSearchCV(model, space, n_initial_parameters=4, n_initial_iter=1, random_state=0),
):
    search.fit(X, y, classes=[0, 1])
    assert search.best_score_ > 0.5 and len(search.history_) >= 4 and len(search.model_history_) == 4
result = search.predict(X)
""",
    "grid search": """
from dask_ml.model_selection import GridSearchCV
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import Pipeline
steps = [("vect", CountVectorizer()), ("tfidf", TfidfTransformer()), ("clf", SGDClassifier(random_state=0))]
grid = {"vect__ngram_range": [(1, 1)], "tfidf__norm": ["l1", "l2"], "clf__alpha": [1e-3, 1e-4]}
search = GridSearchCV(Pipeline(steps), grid, cv=2, cache_cv=True)
search.fit(["good film", "bad film", "fine book", "awful book"] * 10, [1, 0, 1, 0] * 10)
assert search.best_score_ == 1
""",
    "parallel prediction": """
import dask_ml.datasets
from dask_ml.wrappers import ParallelPostFit
from sklearn.datasets import make_classification
from sklearn.ensemble import GradientBoostingClassifier
clf = ParallelPostFit(estimator=GradientBoostingClassifier(n_estimators=5), predict_meta=np.empty(1, dtype=np.int64))
clf.fit(*make_classification(n_samples=200, random_state=0))
X_big, _ = dask_ml.datasets.make_classification(n_samples=2_000, chunks=500, random_state=0)
result = clf.predict(X_big)
assert clf.predict_proba(X_big).compute().shape == (2_000, 2)
""",
    "clusters in a pipeline": """
from dask_ml.cluster import KMeans
from dask_ml.datasets import make_blobs
from dask_ml.decomposition import PCA
from sklearn.pipeline import Pipeline
X, y = make_blobs(n_samples=1_000, chunks=100, random_state=0, centers=3)
pipe = Pipeline([("reduce_dim", PCA(n_components=2)), ("cluster", KMeans(n_clusters=3, init_max_iter=2))]).fit(X)
result = pipe.predict(X)
""",
    "large clusters": """
import dask_ml.cluster
import dask_ml.datasets
X, y = dask_ml.datasets.make_blobs(n_samples=2_000, chunks=500, random_state=0, centers=3)
result = dask_ml.cluster.KMeans(n_clusters=3, init_max_iter=2, oversampling_factor=10).fit(X.persist()).labels_
""",
    "spectral clusters": """
from dask_ml.cluster import SpectralClustering
from dask_ml.datasets import make_blobs
X, y = make_blobs(n_samples=1_000, chunks=200, random_state=0, centers=3)
result = SpectralClustering(n_clusters=3, n_components=50, random_state=0).fit(X).labels_
""",
    "texts": """
import dask_ml.feature_extraction.text
import dask_ml.metrics
import dask_ml.wrappers
import sklearn.linear_model
import sklearn.pipeline
texts = ["comp graphics", "god faith", "windows comp", "hockey"] * 20
df = dd.from_pandas(pd.DataFrame({"text": texts, "target": [0, 1, 0, 2] * 20}), npartitions=4)
y = df["target"].isin([0]).astype(int)
vect = dask_ml.feature_extraction.text.HashingVectorizer()
sgd = sklearn.linear_model.SGDClassifier(tol=1e-3, random_state=0)
clf = dask_ml.wrappers.Incremental(sgd, scoring="accuracy", assume_equal_chunks=True)
pipe = sklearn.pipeline.make_pipeline(vect, clf)
pipe.fit(df["text"], y, incremental__classes=[0, 1])
result = pipe.predict(df["text"])
assert dask_ml.metrics.accuracy_score(y, result) == 1
""",
    "blockwise votes": """
import dask_ml.datasets
import dask_ml.ensemble
import sklearn.linear_model
X, y = dask_ml.datasets.make_classification(n_samples=1_000, n_informative=10, shift=2, scale=2, chunks=100)
clf = dask_ml.ensemble.BlockwiseVotingClassifier(sklearn.linear_model.RidgeClassifier(), classes=[0, 1]).fit(X, y)
assert len(clf.estimators_) == 10 and 0 <= clf.score(X, y) <= 1
result = clf.predict(X)
""",
    "folds": """
from dask_ml.datasets import make_regression
from dask_ml.linear_model import LinearRegression
from dask_ml.model_selection import KFold
X, y = make_regression(n_samples=200, n_features=5, random_state=0, chunks=20)
model = LinearRegression()
for i, j in KFold(n_splits=5).split(X):
    assert model.fit(X[i], y[i]).score(X[j], y[j]) > 0.9
result = model.predict(X)
""",
    "generalized linear models": """
from dask_ml.datasets import make_classification, make_counts
from dask_ml.linear_model import LogisticRegression, PoissonRegression
X, y = make_classification(n_samples=1_000, n_features=10, n_informative=4, random_state=0, chunks=100)
for solver in ("admm", "gradient_descent", "newton", "lbfgs", "proximal_grad"):
    assert LogisticRegression(solver=solver, solver_kwargs={"normalize": True}).fit(X, y).score(X, y) > 0.6
X, y = make_counts(n_samples=1_000, random_state=0, chunks=100)
result = PoissonRegression().fit(X, y).predict(X)
""",
    "naive bayes": """
from dask_ml import datasets
from dask_ml.naive_bayes import GaussianNB
X, y = datasets.make_classification(chunks=50, random_state=0)
result = GaussianNB().fit(X, y).predict(X)
""",
    "singular values": """
from dask_ml.decomposition import TruncatedSVD
X = da.random.default_rng(0).random((1_000, 20), chunks=(100, 20))
result = TruncatedSVD(n_components=5, algorithm="tsqr").fit_transform(X)
""",
}


@pytest.mark.filterwarnings("ignore:solver_kwargs")  # accepted, and told to have no meaning here
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_for_dask_ml_run_with_the_name_replaced(name):
    names: dict[str, object] = {}
    imports = "import dask, dask.array as da, dask.dataframe as dd, numpy as np, pandas as pd\n"
    exec(imports + PROGRAMS[name].replace("dask_ml", "daskml_kit"), names)
    lazy = names.get("result")
    assert lazy is None or hasattr(lazy, "dask")
    assert lazy is None or len(lazy.compute())
