"""Features of raw columns and texts, their selection, and scores of predictions, beside scikit-learn in memory.

``python -m benchmarks.features`` prints a table for each work; ``--scale 0.1`` runs it on a tenth of the rows. ``text``
makes texts of words by their frequencies in English, which takes the ``bench`` extra, and computes on worker processes
of one thread; ``selection`` computes on the threads of this process. ``metrics`` is the ROC AUC of scores of which all
differ, and a report, a log loss and an AUC of one set of predictions. ``preprocessing`` fits scalers and encoders to a
Dask array that is held in memory, beside dask-ml, too, on the same blocks; the passes are those that the docstrings
state. scikit-learn's QuantileTransformer looks at 10,000 rows, which it draws; so does ours.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import dask.array as da
import dask.bag as db
import numpy as np
import sklearn.feature_extraction.text
import sklearn.feature_selection
import sklearn.linear_model
import sklearn.metrics
import sklearn.preprocessing
from distributed import Client, LocalCluster, wait
from sklearn.pipeline import make_pipeline

import daskml_kit.metrics
import daskml_kit.preprocessing
from benchmarks.program import Setting, Work, run
from benchmarks.race import Row, race
from daskml_kit.engines.engine import watching
from daskml_kit.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from daskml_kit.feature_selection import RFECV
from daskml_kit.linear_model import LogisticRegression, Ridge

N_TEXTS, N_WORDS, TEXT_BLOCKS = 500_000, 50_000, 16
N_SELECTED_ROWS, N_FEATURES = 500_000, 100
AREAS_APART, LOSSES_APART = 1e-6, 1e-9
EXACT = 1e-9


def text(setting: Setting) -> list[Row]:
    """Vectorize 500,000 texts of 5 to 20 words and fit a classifier, on two processes; hash them on one and on two."""
    texts, labels = texts_of(setting)
    ours = make_pipeline(TfidfVectorizer(), LogisticRegression())
    theirs = make_pipeline(
        sklearn.feature_extraction.text.TfidfVectorizer(), sklearn.linear_model.LogisticRegression(max_iter=1_000)
    )
    targets = da.from_array(labels, chunks=-(-len(texts) // TEXT_BLOCKS))
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0")
    with cluster, Client(cluster) as client:
        bag, targets = held(client, texts), client.persist(targets)
        contestants = {
            "ours": lambda: ours.fit(bag, targets),
            "scikit-learn": lambda: theirs.fit(texts, labels),
        }
        timed = race(contestants, setting.repeat)
        workers = sorted(client.nthreads())
        one, two = (seconds_of_hashing(client, texts, workers[:n]) for n in (1, 2))
    rows = theirs[0].transform(texts)
    ratio = objective(ours[1], rows, labels) / objective(theirs[1], rows, labels)
    same = np.abs(ours[0].idf_ - theirs[0].idf_).max() if ours[0].vocabulary_ == theirs[0].vocabulary_ else np.inf
    what = f"TF-IDF and LogisticRegression, {len(texts):,} texts"
    return [
        Row(f"{what}: scikit-learn", timed["ours"].seconds, timed["scikit-learn"].seconds, 1.5),
        Row(f"{what}: objective", ratio, 1.0, 1 + 1e-6, at_most=True, unit=""),
        Row(f"{what}: weights apart", float(same), 1e-12, 1.0, at_most=True, unit=""),
        Row(f"HashingVectorizer, {len(texts):,} texts: one process", two, one, 1.7),
    ]


def selection(setting: Setting) -> list[Row]:
    """Eliminate 100 features of 500,000 rows before ridge regression, with five folds; scikit-learn fits 600 times."""
    draw = np.random.default_rng(setting.seed)
    n = setting.rows(N_SELECTED_ROWS)
    X = draw.normal(size=(n, N_FEATURES))
    y = X @ np.where(np.arange(N_FEATURES) % 4, 0.0, draw.normal(size=N_FEATURES)) + 3 * draw.normal(size=n)
    rows, targets = da.from_array(X, chunks=(-(-n // 16), N_FEATURES)).persist(), da.from_array(y, chunks=-(-n // 16))
    passes: list[int] = []
    with watching(lambda profile: passes.append(profile.passes)):
        timed = race({"ours": lambda: RFECV(Ridge()).fit(rows, targets.persist())}, setting.repeat)
    peer = sklearn.feature_selection.RFECV(sklearn.linear_model.Ridge(), cv=5)
    timed |= race({"scikit-learn": lambda: peer.fit(X, y)}, 1)
    found, expected = timed["ours"].result, timed["scikit-learn"].result
    scores = [each.cv_results_["mean_test_score"] for each in (found, expected)]
    ranks_apart = int((found.ranking_ != expected.ranking_).sum())
    what = f"RFECV of ridge, {n:,} x {N_FEATURES}"
    return [
        Row(f"{what}: scikit-learn", timed["ours"].seconds, timed["scikit-learn"].seconds, 50.0),
        Row(f"{what}: passes", max(passes), 1, 1.0, at_most=True, unit=""),
        Row(f"{what}: scores apart", float(np.abs(scores[0] - scores[1]).max()), 1e-9, 1.0, at_most=True, unit=""),
        Row(f"{what}: ranks that differ", ranks_apart, 1, 0.0, at_most=True, unit=""),
    ]


def texts_of(setting: Setting) -> tuple[list[str], Any]:
    """Return texts of words as often as in English, and of each whether more of its words are of one half."""
    import wordfreq

    draw = np.random.default_rng(setting.seed)
    words = wordfreq.top_n_list("en", N_WORDS)
    frequencies = np.array([wordfreq.word_frequency(word, "en") for word in words])
    n = setting.rows(N_TEXTS)
    lengths = draw.integers(5, 21, n)
    drawn = draw.choice(len(words), lengths.sum(), p=frequencies / frequencies.sum())
    lean = draw.normal(size=len(words))
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    labels = (np.add.reduceat(lean[drawn], starts) + draw.normal(size=n) > 0).astype(int)
    chosen = np.asarray(words, dtype=object)[drawn]
    return [" ".join(part) for part in np.split(chosen, starts[1:])], labels


def held(client: Client, texts: list[str], workers: list[str] | None = None) -> db.Bag:
    """Return the texts in the memory of the workers, by default of all."""
    bag = client.persist(db.from_sequence(texts, partition_size=-(-len(texts) // TEXT_BLOCKS)), workers=workers)
    wait(bag)
    return bag


def seconds_of_hashing(client: Client, texts: list[str], workers: list[str]) -> float:
    """Return the seconds in which the workers vectorize the texts; their results stay there."""
    bag = held(client, texts, workers)

    def hashing() -> None:
        result = client.persist(HashingVectorizer(n_features=2**18).transform(bag), workers=workers)
        wait(result)

    return race({"ours": hashing}, 1)["ours"].seconds  # once: a second run would find the results of the first


def objective(model: Any, X: Any, y: Any) -> float:
    """Return what logistic regression minimizes, at the coefficients of a model."""
    margins = np.where(y == 1, 1, -1) * (X @ np.ravel(model.coef_) + model.intercept_)
    return float(np.logaddexp(0, -margins).sum() + np.square(model.coef_).sum() / (2 * model.C))


def metrics(setting: Setting) -> list[Row]:
    """AUC of 5,000,000 distinct scores; report, log loss and AUC of 10,000,000 predictions."""
    return [*_distinct_scores(setting), *_predictions(setting)]


def _distinct_scores(setting: Setting) -> list[Row]:
    draw, n = np.random.default_rng(0), setting.rows(5_000_000)
    scores = draw.normal(size=n)
    y = (draw.random(n) < 1 / (1 + np.exp(-scores))).astype(np.int8)
    return _scored(f"roc_auc_score of {n:,} distinct scores", "roc_auc_score", y, scores, AREAS_APART, 1.0, setting)


def _predictions(setting: Setting) -> list[Row]:
    draw, n = np.random.default_rng(1), setting.rows(10_000_000)
    chances = np.round(draw.random(n), 4)
    y = (draw.random(n) < chances).astype(np.int64)
    guessed = (chances > 0.5).astype(np.int64)
    return [
        *_scored(f"classification_report of {n:,}", "classification_report", y, guessed, LOSSES_APART, 2.0, setting),
        *_scored(f"log_loss of {n:,}", "log_loss", y, chances, LOSSES_APART, 2.0, setting),
        *_scored(f"roc_auc_score of {n:,}", "roc_auc_score", y, chances, LOSSES_APART, 2.0, setting),
    ]


def _scored(
    what: str, name: str, y: Any, predicted: Any, tolerance: float, wanted: float, setting: Setting
) -> list[Row]:
    """Score by ours on blocks and by scikit-learn; compare the seconds and the results."""
    lazily = [da.from_array(values, chunks=max(len(y) // 40, 1)) for values in (y, predicted)]
    ours: Callable[..., Any] = getattr(daskml_kit.metrics, name)
    theirs: Callable[..., Any] = getattr(sklearn.metrics, name)
    timed = race({"ours": lambda: ours(*lazily), "scikit-learn": lambda: theirs(y, predicted)}, setting.repeat)
    found, expected = timed["ours"].result, timed["scikit-learn"].result
    apart = float(found != expected) if isinstance(found, str) else abs(found - expected)
    return [
        Row(what, timed["ours"].seconds, timed["scikit-learn"].seconds, wanted),
        Row(f"{what}: apart", apart, tolerance, 1.0, at_most=True, unit=""),
    ]


def preprocessing(setting: Setting) -> list[Row]:
    """Fits of transformers to 10,000,000 x 10, in blocks of 250,000."""
    draw = np.random.default_rng(0)
    n = setting.rows(10_000_000)
    numbers, codes = draw.normal(size=(n, 10)), draw.integers(0, 100, (n, 10))
    few = {"n_quantiles": 1000, "subsample": 10_000}
    rows = [
        *_fit("StandardScaler", {}, numbers, setting, 1, ("mean_", "var_")),
        *_fit("RobustScaler", {}, numbers, setting, 3, ("center_", "scale_")),
        *_fit("QuantileTransformer", few, numbers, setting, 1, ()),
        *_fit("OrdinalEncoder", {}, codes, setting, 1, ("categories_",), peer=False),
        *_fit("OneHotEncoder", {}, codes, setting, 1, ("categories_",)),
    ]
    return rows


def _fit(
    name: str,
    parameters: dict[str, Any],
    X: Any,
    setting: Setting,
    passes: int,
    attributes: tuple[str, ...],
    *,
    peer: bool = True,
) -> list[Row]:
    """Fit the class of this name in turn; compare the seconds, the passes, and the attributes."""
    lazy = da.from_array(X, chunks=(max(len(X) // 40, 1), X.shape[1]), name=False).persist()
    counted: list[int] = []
    contestants: dict[str, Callable[[], Any]] = {
        "ours": lambda: getattr(daskml_kit.preprocessing, name)(**parameters).fit(lazy),
        "scikit-learn": lambda: getattr(sklearn.preprocessing, name)(**parameters).fit(X),
    }
    if peer and find_spec("dask_ml"):
        contestants["dask-ml"] = lambda: _dask_ml(name, lazy)
    with warnings.catch_warnings(), watching(lambda profile: counted.append(profile.passes)):
        warnings.simplefilter("ignore")
        timed = race(contestants, setting.repeat)
    what = f"{name}, {len(X):,} x {X.shape[1]}"
    found, expected = timed["ours"].result, timed["scikit-learn"].result
    values = [[np.ravel(getattr(each, attribute)) for attribute in attributes] for each in (found, expected)]
    apart = [np.abs(a - b).max() for a, b in zip(*map(_flat, values), strict=True)]
    return [
        Row(f"{what}: scikit-learn", timed["ours"].seconds, timed["scikit-learn"].seconds, 2.0),
        *(
            [Row(f"{what}: dask-ml", timed["ours"].seconds, timed["dask-ml"].seconds, 1.0)]
            if "dask-ml" in timed
            else []
        ),
        Row(f"{what}: passes", max(counted), passes, 1.0, at_most=True, unit=""),
        *([Row(f"{what}: apart", float(max(apart)), EXACT, 1.0, at_most=True, unit="")] if apart else []),
    ]


def _dask_ml(name: str, X: da.Array) -> Any:
    import dask_ml.preprocessing

    return getattr(dask_ml.preprocessing, name)().fit(X)


def _flat(values: list[Any]) -> list[Any]:
    return [np.concatenate(list(value)) if value.dtype == object else value for value in values]


WORKS: dict[str, Work] = {"preprocessing": preprocessing, "text": text, "selection": selection, "metrics": metrics}


if __name__ == "__main__":
    run(WORKS, __doc__)
