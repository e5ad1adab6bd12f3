"""What fits leave behind: no key on the scheduler, and no memory of the client or the workers."""

from __future__ import annotations

import gc
import time

import dask.array as da
import dask.dataframe as dd
import psutil
import pytest
import sklearn.linear_model
from sklearn.tree import DecisionTreeClassifier

from daskml_kit.cluster import KMeans
from daskml_kit.decomposition import PCA
from daskml_kit.engines import open as opening
from daskml_kit.ensemble import StackingClassifier
from daskml_kit.exceptions import DataError
from daskml_kit.feature_extraction.text import TfidfVectorizer
from daskml_kit.feature_selection import SelectKBest
from daskml_kit.impute import IterativeImputer
from daskml_kit.linear_model import LogisticRegression, Ridge, SGDClassifier
from daskml_kit.metrics import accuracy_score, roc_curve
from daskml_kit.mixture import GaussianMixture
from daskml_kit.model_selection import GridSearchCV, HyperbandSearchCV, submit
from daskml_kit.naive_bayes import GaussianNB
from daskml_kit.partition import hash_partition
from daskml_kit.preprocessing import OneHotEncoder, StandardScaler
from daskml_kit.recommendation import ALS
from daskml_kit.stat import describe

GRID = {"alpha": [0.1, 1.0]}
N_FITS = 200
N_ROWS = 8_000
MOST_BYTES = 40 * 2**20
"""An eighth of what the data of all fits take: 320 kB each."""


def make(seed=0):
    X = da.random.default_rng(seed).normal(size=(N_ROWS, 5), chunks=(2_000, 5))
    return X, (X[:, 0] > 0).astype(int)


def refused(X, y):
    with pytest.raises(DataError, match="NaN"):
        Ridge().fit(da.where(X > 1, float("nan"), X), y)


def job(X, y):
    submitted = submit(Ridge(), X, y)
    submitted.result(timeout=60)
    submitted.forget()


WORKS = {
    "small fit": lambda X, y: Ridge().fit(X, y),
    "fit": lambda X, y: LogisticRegression().fit(X, y),
    "steps": lambda X, y: SGDClassifier(max_iter=1, tol=None).fit(X, y),
    "refused fit": refused,
    "fused search": lambda X, y: GridSearchCV(Ridge(), GRID, cv=2).fit(X, y),
    "task search": lambda X, y: GridSearchCV(sklearn.linear_model.Ridge(), GRID, cv=2).fit(X, y),
    "adaptive search": lambda X, y: HyperbandSearchCV(sklearn.linear_model.SGDClassifier(), GRID, max_iter=2).fit(
        X, y, classes=[0, 1]
    ),
    "k-means": lambda X, y: KMeans(2, n_init=1).fit(X),
    "transformer": lambda X, y: StandardScaler().fit_transform(X).sum().compute(),
    "table": lambda X, y: OneHotEncoder().fit((X > 0).astype(int)),
    "predictions": lambda X, y: accuracy_score(y, LogisticRegression().fit(X, y).predict(X)),
    "mixture": lambda X, y: GaussianMixture(2, tol=1.0, random_state=0).fit(X),
    "naive bayes": lambda X, y: GaussianNB().fit(X, y),
    "decomposition": lambda X, y: PCA(2).fit_transform(X).sum().compute(),
    "factorization": lambda X, y: ALS(2, max_iter=1).fit((X[:, :2] * 9).astype(int), y.astype(float)),
    "selection": lambda X, y: SelectKBest(k=2).fit(X, y),
    "imputer": lambda X, y: IterativeImputer(tol=10.0).fit(da.where(X > 1, float("nan"), X)),
    "texts": lambda X, y: TfidfVectorizer().fit_transform((X[:, 0] > 0).astype(str)).persist(),
    "description": lambda X, y: describe(dd.from_dask_array(X, columns=[*"abcde"])),
    "curve": lambda X, y: roc_curve(y, X[:, 0]),
    "job": job,
    "stack": lambda X, y: StackingClassifier([("bayes", GaussianNB()), ("tree", DecisionTreeClassifier())], cv=2).fit(
        X, y
    ),
    "shuffle": lambda X, y: hash_partition(X, by=y).sum().compute(),
}


def keys(dask_scheduler):
    return sorted(map(str, dask_scheduler.tasks))


def keys_left(client, before):
    """Return the keys that the scheduler does not forget, but for those that were there before."""
    deadline = time.monotonic() + 60
    while True:
        gc.collect()  # again, as threads of the client may still have held the error of a fit
        left = sorted(set(client.run_on_scheduler(keys)).difference(before))
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.05)


@pytest.mark.parametrize("work", WORKS.values(), ids=list(WORKS))
def test_no_key_is_left(client, monkeypatch, work):
    monkeypatch.setattr(opening, "LOCAL_BYTES", 0)
    before = client.run_on_scheduler(keys)
    work(*make())
    assert keys_left(client, before) == []


def resident():
    gc.collect()
    return psutil.Process().memory_info().rss


def test_many_fits_leave_client_and_workers_as_they_were(client, monkeypatch):
    monkeypatch.setattr(opening, "LOCAL_BYTES", 0)
    before = {}
    for number in range(-40, N_FITS):
        if number == 0:
            before = {"client": resident(), **client.run(resident)}
        WORKS["fused search" if number % 20 == 0 else "small fit"](*make(number + 40))
    after = {"client": resident(), **client.run(resident)}
    assert {name: grown for name in before if (grown := after[name] - before[name]) > MOST_BYTES} == {}
