"""Linear models on categories and text, against scikit-learn and glum, and on problems that are hard.

``python -m benchmarks.sparse`` prints one table. ``categories`` fits a pipeline of an encoder and logistic regression
to a data frame generated like airline delays: seven columns of skewed categories and a number; ``amounts`` does it with
Poisson and Gamma regression on nine columns, and ``repeats`` on four, of few levels, whose rows are mostly equal.
``categories --scale 5`` has 10,000,000 rows. ``language`` and ``languages`` tell the language of a word by its hashed
character n-grams, weighted by frequency: English from the rest, and all 42 of the wordfreq package; ``language-l1`` and
``languages-l1`` do it by few of these, and ``language-sgd`` in one epoch of stochastic gradients. ``few-rows`` fits few
rows of very many features on many scales. ``hard`` sets random problems (offset, collinear, constant and correlated
features, few rows, strong and weak penalties) against scikit-learn at tight tolerance. Peers need the ``bench`` extra.
"""

from __future__ import annotations

import time
import tracemalloc
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import scipy.sparse
import sklearn.compose
import sklearn.linear_model as theirs
import sklearn.model_selection
import sklearn.preprocessing
from scipy.special import logsumexp
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.pipeline import make_pipeline
from threadpoolctl import threadpool_limits

import daskml_kit.linear_model as kit
from benchmarks.data import Data
from benchmarks.objectives import excess, logistic
from benchmarks.program import Setting, Work, run
from benchmarks.race import Row, Timed, race
from daskml_kit.compose import make_column_transformer
from daskml_kit.datasets import load_flights
from daskml_kit.linear_model.base import MERGE_SETTING
from daskml_kit.model_selection import GridSearchCV
from daskml_kit.preprocessing import OneHotEncoder, StandardScaler

ROWS = 2_000_000
MANY_BYTES = 200_000_000
LEVELS = {"month": 12, "day": 7, "carrier": 22, "origin": 300, "dest": 300, "hour": 24, "date": 31}
SKEWED = 22
"""Columns of at least so many levels are skewed."""
OBJECTIVE = 1e-8
"""How far above the best objective ours may be, as a share of it."""
PROBLEMS = 500
WORDS = {"liblinear": 1.0, "saga": 1.5, "lbfgs": None}
"""How many times faster than a solver of scikit-learn ours is wanted to be on words."""
WORSE, SLOW_SECONDS, MUCH_SLOWER = 1e-6, 30.0, 10.0


class Delays(NamedTuple):
    """Departures of flights, made up, and whether each was late."""

    frame: pd.DataFrame
    late: np.ndarray[Any, Any]


def make_delays(n_rows: int) -> Delays:
    """Return departures whose being late depends on all columns."""
    draw = np.random.default_rng(0)
    frame, raw = {}, np.full(n_rows, -1.0)
    for name, levels in LEVELS.items():
        codes = draw.zipf(1.3, n_rows) % levels if levels >= SKEWED else draw.integers(0, levels, n_rows)
        frame[name] = pd.Categorical.from_codes(codes, [f"{name}{level}" for level in range(levels)])
        raw += draw.normal(size=levels)[codes] / 2
    frame["distance"] = distance = draw.gamma(2, 400, n_rows)
    raw += (distance - 800) / 1000
    return Delays(pd.DataFrame(frame), (draw.random(n_rows) < 1 / (1 + np.exp(-raw))).astype(int))


def categories(setting: Setting) -> list[Row]:
    """Logistic regression on one-hot columns, from the data frame to the fitted pipeline."""
    frame, late = make_delays(setting.rows(ROWS))
    names, n_rows = list(LEVELS), len(late)
    blocks, target = (dd.from_pandas(part, npartitions=8) for part in (frame, pd.Series(late)))

    def ours() -> Any:
        encode = make_column_transformer((OneHotEncoder(), names), (StandardScaler(), ["distance"]))
        return make_pipeline(encode, kit.LogisticRegression()).fit(blocks, target)

    def scikit_learn(solver: str) -> Any:
        encode = sklearn.compose.make_column_transformer(
            (sklearn.preprocessing.OneHotEncoder(), names), (sklearn.preprocessing.StandardScaler(), ["distance"])
        )
        return make_pipeline(encode, theirs.LogisticRegression(solver=solver, max_iter=1000)).fit(frame, late)

    def glum() -> Any:
        from glum import GeneralizedLinearRegressor

        scaled = frame.assign(distance=sklearn.preprocessing.scale(frame["distance"]))
        options = {"family": "binomial", "alpha": 1 / n_rows, "l1_ratio": 0, "gradient_tol": 1e-6}
        return GeneralizedLinearRegressor(**options).fit(scaled, late), scaled

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a peer's complaints are not ours to print
        peers = {"glum": glum, "lbfgs": lambda: scikit_learn("lbfgs")}
        timed = race({"ours": ours, **peers}, setting.repeat)
    reached = {name: _delays_objective(one.result, frame, late) for name, one in timed.items()}
    what = f"logistic, {n_rows:,} rows of categories"
    size = n_rows * (2 * len(names) + 8)
    wanted = 1.3 if size >= MANY_BYTES else None  # of fewer, what does not grow with the rows is much
    memory = Row(f"{what}: memory over its codes", _peak_memory(ours) / size, 1.0, wanted, at_most=True, unit="")
    return [*_compare(what, timed, reached, {"glum": 3.0, "lbfgs": 5.0}, OBJECTIVE), memory]


def _peak_memory(fit: Callable[[], Any]) -> int:
    """Return the most bytes that a fit has at a time; one before it has let Dask hash the data, which copies it."""
    tracemalloc.start()
    try:
        fit()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def planes(setting: Setting) -> list[Row]:
    """Ten penalties on five folds of the flights from New York, of which one column, the plane, has 4,000 levels."""
    names = ["month", "carrier", "origin", "dest", "tailnum", "dep_delay", "distance", "arr_delay"]
    flights = load_flights(columns=names).compute().dropna().iloc[: setting.rows(336_776)].reset_index(drop=True)
    late, categories = (flights.pop("arr_delay") > 15).astype(int), names[:5]
    frame = flights.astype(dict.fromkeys(categories, "category"))
    blocks, target = (dd.from_pandas(part, npartitions=4) for part in (frame, late))
    grid = {"logisticregression__C": np.logspace(-3, 2, 10 if setting.scale > 0.01 else 2)}

    def search(kind: Any, model: Any, encode: Any, scale: Any, make: Any, X: Any, y: Any, **options: Any) -> Any:
        columns = make((encode(handle_unknown="ignore"), categories), (scale(), ["dep_delay", "distance"]))
        found = kind(make_pipeline(columns, model), grid, scoring="neg_log_loss", refit=False, **options)
        return found.fit(X, y)

    def ours() -> Any:
        parts = GridSearchCV, kit.LogisticRegression(), OneHotEncoder, StandardScaler, make_column_transformer
        return search(*parts, blocks, target, cv=5)

    def scikit_learn(solver: str) -> Any:
        model = theirs.LogisticRegression(solver=solver, max_iter=1000)
        transformers = sklearn.preprocessing.OneHotEncoder, sklearn.preprocessing.StandardScaler
        parts = sklearn.model_selection.GridSearchCV, model, *transformers, sklearn.compose.make_column_transformer
        return search(*parts, frame, late, cv=5, n_jobs=2)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peers = {solver: partial(scikit_learn, solver) for solver in ("newton-cg", "lbfgs")}
        timed = race({"ours": ours, **peers}, 1)
    what = f"{len(grid['logisticregression__C'])} C on 5 folds of {len(frame):,} flights by plane"
    rows = [
        Row(f"{what}: {solver}", timed["ours"].seconds, timed[solver].seconds, 20.0, notes=[_best(timed)])
        for solver in peers
    ]
    return rows


def _best(timed: Mapping[str, Timed]) -> str:
    """Return the best score of each search."""
    return ", ".join(f"{name}: best score {one.result.best_score_:.5f}" for name, one in timed.items())


LEVELS_OF_COUNTS = (12, 7, 22, 60, 60, 24, 31, 100, 6)
COUNT_ROWS = 600_000


class Amounts(NamedTuple):
    """Rows of categories, and a count and an amount for each."""

    frame: pd.DataFrame
    targets: dict[str, np.ndarray[Any, Any]]


def make_amounts(n_rows: int, levels_of_columns: tuple[int, ...] = LEVELS_OF_COUNTS) -> Amounts:
    """Return counts and amounts whose logarithms of means depend on all columns."""
    draw = np.random.default_rng(0)
    frame, raw = {}, np.full(n_rows, -1.0)
    for position, levels in enumerate(levels_of_columns):
        codes = draw.zipf(1.3, n_rows) % levels if levels >= SKEWED else draw.integers(0, levels, n_rows)
        frame[f"column{position}"] = pd.Categorical.from_codes(codes, [f"level{level}" for level in range(levels)])
        raw += draw.normal(size=levels)[codes] / 4
    mean = np.exp(raw)
    return Amounts(pd.DataFrame(frame), {"poisson": draw.poisson(mean), "gamma": draw.gamma(2.0, mean / 2) + 1e-6})


def amounts(setting: Setting) -> list[Row]:
    """Poisson and Gamma regression on one-hot columns, from the data frame to the fitted pipeline."""
    frame, targets = make_amounts(setting.rows(COUNT_ROWS))
    return [row for family in targets for row in _race_amounts(setting, frame, targets[family], family)]


FEW_LEVELS = (12, 7, 5, 6)


def repeats(setting: Setting) -> list[Row]:
    """Fit rows of 2,520 kinds, which are taken as so many with weights, and search a penalty on folds of them."""
    frame, targets = make_amounts(setting.rows(ROWS), FEW_LEVELS)
    rows = [row for family in targets for row in _race_amounts(setting, frame, targets[family], family, apart=True)]
    blocks, some = dd.from_pandas(frame, npartitions=8), pd.Series(targets["poisson"] > 0)
    grid = {"C": np.logspace(-3, 2, 10)}
    X, y = OneHotEncoder().fit_transform(blocks).persist(), dd.from_pandas(some, npartitions=8).persist()

    def search() -> Any:
        return GridSearchCV(kit.LogisticRegression(), grid, cv=5, scoring="neg_log_loss", refit=False).fit(X, y)

    timed = race({"ours": search, "rows apart": _with_rows_apart(search)}, setting.repeat)
    what = f"10 C on 5 folds of {len(frame):,} rows that repeat"
    seconds = [one.seconds for one in timed.values()]
    return [*rows, Row(f"{what}: rows apart", *seconds, 2.0, notes=[_best(timed)])]


def _with_rows_apart(fit: Callable[[], Any]) -> Callable[[], Any]:
    """Return the fit as it is where equal rows are not merged."""

    def apart() -> Any:
        with dask.config.set({MERGE_SETTING: False}):
            return fit()

    return apart


def _race_amounts(
    setting: Setting, frame: pd.DataFrame, y: np.ndarray[Any, Any], family: str, *, apart: bool = False
) -> list[Row]:
    names, alpha = list(frame), 1 / len(y)
    blocks, target = (dd.from_pandas(part, npartitions=8) for part in (frame, pd.Series(y)))

    def ours() -> Any:
        model = (kit.PoissonRegressor if family == "poisson" else kit.GammaRegressor)(alpha=alpha)
        return make_pipeline(make_column_transformer((OneHotEncoder(), names)), model).fit(blocks, target)

    def glum() -> Any:
        from glum import GeneralizedLinearRegressor

        options = {"family": family, "alpha": alpha, "l1_ratio": 0, "gradient_tol": 1e-6}
        return GeneralizedLinearRegressor(**options).fit(frame, y)

    def objective(found: Any) -> float:
        mean, coef = np.asarray(found.predict(frame)), (found[-1] if hasattr(found, "steps") else found).coef_
        loss = mean - y * np.log(mean) if family == "poisson" else np.log(mean) + y / mean
        return float(loss.mean() + alpha / 2 * coef @ coef)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        contestants = {"ours": ours, "glum": glum}
        timed = race({**contestants, **({"rows apart": _with_rows_apart(ours)} if apart else {})}, setting.repeat)
    reached = {name: objective(one.result) for name, one in timed.items()}
    what = f"{family}, {len(y):,} rows {'that repeat' if apart else 'of categories'}"
    return _compare(what, timed, reached, {"glum": 1.0, **({"rows apart": 1.0} if apart else {})}, WORSE)


def _compare(
    what: str,
    timed: Mapping[str, Timed],
    reached: Mapping[str, float],
    bounds: Mapping[str, float | None],
    objective: float,
) -> list[Row]:
    """Return a row of seconds against each peer of ``bounds``, and one of our objective over the best."""
    gaps = {name: excess(value, min(reached.values())) for name, value in reached.items()}
    notes = [f"{name}: {one.seconds:.2f} s, objective {gaps[name]:.1e} over the best" for name, one in timed.items()]
    ours = timed["ours"].seconds
    rows = [Row(f"{what}: {p}", ours, timed[p].seconds, bound, notes=notes) for p, bound in bounds.items()]
    return [*rows, Row(f"{what}: objective over the best", gaps["ours"], objective, 1.0, at_most=True, unit="")]


def _delays_objective(found: Any, frame: pd.DataFrame, late: np.ndarray[Any, Any]) -> float:
    if isinstance(found, tuple):
        chance, coef = found[0].predict(found[1]), found[0].coef_
    else:
        chance, coef = found.predict_proba(frame)[:, 1], found[-1].coef_.ravel()
    return float(-np.log(np.where(late, chance, 1 - chance)).sum() + coef @ coef / 2)


class Words(NamedTuple):
    """Words by hashed character 1- to 3-grams, their languages, and their frequencies over the mean of these."""

    X: Any
    language: np.ndarray[Any, Any]
    weight: np.ndarray[Any, Any]


def make_words(n_rows: int) -> Words:
    """Return the most frequent words of each language that the wordfreq package lists, as many of each, shuffled."""
    import wordfreq

    lists = {name: wordfreq.get_frequency_dict(name) for name in sorted(wordfreq.available_languages())}
    each = -(-n_rows // len(lists))
    table = [(word, name, weight) for name, own in lists.items() for word, weight in list(own.items())[:each]]
    frame = pd.DataFrame(table, columns=["word", "language", "weight"]).sample(frac=1, random_state=0)
    encode = HashingVectorizer(analyzer="char", ngram_range=(1, 3), n_features=2**18)
    weight = frame["weight"].to_numpy()
    return Words(encode.transform(frame["word"]), frame["language"].to_numpy(), weight / weight.mean())


def language(setting: Setting) -> list[Row]:
    """Tell English words from all others."""
    return _race_words(setting, setting.rows(500_000), ["liblinear", "lbfgs"], english=True)


def languages(setting: Setting) -> list[Row]:
    """Tell the language of a word."""
    return _race_words(setting, setting.rows(100_000), ["saga", "lbfgs"], english=False)


def language_l1(setting: Setting) -> list[Row]:
    """Tell English words from all others by few n-grams; the intercept that liblinear penalizes matters little."""
    return _race_words(setting, setting.rows(500_000), ["liblinear"], english=True, l1_ratio=1.0)


def language_search(setting: Setting) -> list[Row]:
    """Tell English words from all others: eight penalties on five folds."""
    X, language, _ = make_words(setting.rows(100_000))
    y = language == "en"
    grid = {"C": np.logspace(-2, 2, 8 if setting.scale > 0.01 else 2)}

    def search(kind: Any, model: Any, **options: Any) -> Any:
        return kind(model, grid, cv=5, scoring="neg_log_loss", refit=False, **options).fit(X, y)

    def scikit_learn(solver: str) -> Any:
        model = theirs.LogisticRegression(solver=solver, max_iter=1000)
        return search(sklearn.model_selection.GridSearchCV, model, n_jobs=2)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peers = {solver: partial(scikit_learn, solver) for solver in ("liblinear", "lbfgs")}
        timed = race({"ours": lambda: search(GridSearchCV, kit.LogisticRegression()), **peers}, 1)
    what = f"{len(grid['C'])} C on 5 folds of {len(y):,} words"
    return [
        Row(f"{what}: {solver}", timed["ours"].seconds, timed[solver].seconds, 1.0, notes=[_best(timed)])
        for solver in peers
    ]


def languages_l1(setting: Setting) -> list[Row]:
    """Tell the language of a word by few n-grams."""
    return _race_words(setting, setting.rows(100_000), ["saga"], english=False, l1_ratio=1.0)


def language_sgd(setting: Setting) -> list[Row]:
    """One epoch of stochastic gradients: English words, and all languages; the loss that it reaches."""
    rows = [_race_epochs(setting, setting.rows(500_000), english=english) for english in (True, False)]
    return [row for both in rows for row in both]


def _race_epochs(setting: Setting, n_rows: int, *, english: bool) -> list[Row]:
    X, language, weight = make_words(n_rows)
    classes, y = np.unique(np.where(language == "en", "en", "other") if english else language, return_inverse=True)

    def fit(module: Any) -> Any:
        model = module.SGDClassifier("log_loss", max_iter=1, tol=None, random_state=0)
        return model.fit(X, y, sample_weight=weight)

    def loss(model: Any) -> float:
        raw = model.decision_function(X).reshape(len(y), -1)
        signs = np.where(y[:, None] == np.arange(len(classes))[-raw.shape[1] :], 1, -1)
        return float(np.average(np.logaddexp(0, -signs * raw).sum(axis=1), weights=weight))

    with threadpool_limits(1):
        timed = race({"ours": lambda: fit(kit), "scikit-learn": lambda: fit(theirs)}, setting.repeat)
    reached = {name: loss(one.result) for name, one in timed.items()}
    what = f"{len(y):,} words, {len(classes)} classes, an epoch of SGD"
    notes = [f"{name}: {one.seconds:.2f} s, loss {reached[name]:.4f}" for name, one in timed.items()]
    ours, peer = timed["ours"].seconds, timed["scikit-learn"].seconds
    ratio = reached["ours"] / reached["scikit-learn"]
    return [
        Row(what, ours, peer, 1.0, notes=notes),
        Row(f"{what}: loss over scikit-learn's", ratio, 1.0, 1.0, at_most=True, unit=""),
    ]


def _race_words(
    setting: Setting, n_rows: int, solvers: list[str], *, english: bool, l1_ratio: float = 0.0
) -> list[Row]:
    X, language, weight = make_words(n_rows)
    y = np.where(language == "en", "en", "other") if english else language

    def fit(model: Any) -> Any:
        return model.fit(X, y, sample_weight=weight)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peers = {
            name: (lambda own=name: fit(theirs.LogisticRegression(solver=own, l1_ratio=l1_ratio))) for name in solvers
        }
        timed = race({"ours": lambda: fit(kit.LogisticRegression(l1_ratio=l1_ratio)), **peers}, setting.repeat)
    classes, codes = np.unique(y, return_inverse=True)
    reached = {
        name: logistic(one.result, Data(X, codes), l1_ratio=l1_ratio, weight=weight) for name, one in timed.items()
    }
    what = f"{len(y):,} words, {len(classes)} classes{', l1' if l1_ratio else ''}"
    return _compare(what, timed, reached, {name: WORDS[name] for name in solvers}, WORSE)


def few_rows(setting: Setting) -> list[Row]:
    """Fit 500 sparse rows of 20,000 features, whose scales lie six orders of magnitude apart."""
    draw, n_rows = np.random.default_rng(0), 500
    scales = 10 ** draw.uniform(-3, 3, 20_000)
    X = scipy.sparse.csr_array(scipy.sparse.random_array((n_rows, 20_000), density=0.01, rng=draw) * scales)
    y = (draw.normal(size=n_rows) > 0).astype(int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        contestants = {
            "ours": lambda: kit.LogisticRegression().fit(X, y),
            "lbfgs": lambda: theirs.LogisticRegression(max_iter=10_000).fit(X, y),
        }
        timed = race(contestants, setting.repeat)
    reached = {name: logistic(one.result, Data(X, y)) for name, one in timed.items()}
    return _compare(f"{n_rows} rows, 20,000 features of all scales", timed, reached, {"lbfgs": None}, WORSE)


class Problem(NamedTuple):
    """A random problem: models of ours and scikit-learn's, and the objective that both minimize."""

    name: str
    ours: Any
    theirs: Any
    X: np.ndarray[Any, Any]
    y: np.ndarray[Any, Any]
    objective: Callable[[Any], float]


def hard_problem(seed: int) -> Problem:
    """Draw a problem: its family, penalty, strength, number of rows and features, and what is odd about these."""
    draw = np.random.default_rng([17, seed])
    n, d = int(draw.choice([40, 150, 600])), int(draw.choice([5, 30, 80]))
    kind = str(draw.choice(["plain", "correlated", "collinear", "constant", "offset", "tiny"]))
    X = draw.normal(size=(n, d))
    if kind == "correlated":
        X = np.cumsum(X, axis=1) / np.sqrt(np.arange(1, d + 1))
    elif kind == "collinear":
        X[:, d // 2 :] = X[:, : d - d // 2] * 2
    elif kind == "constant":
        X[:, -1] = 3
    elif kind == "tiny":
        X[:, ::2] *= 1e-3
    raw = X[:, 0] + draw.normal(size=n)
    offset = float(10 ** draw.uniform(3, 5)) if kind == "offset" else 0.0
    family = str(draw.choice(["logistic", "classes", "lasso", "ridge", "gamma"]))
    strength = float(10 ** draw.uniform(-3, 3))
    name = f"{seed}: {family}, {kind}, {n} x {d}, {strength:.1e}"
    if family in ("logistic", "classes"):
        cuts = [0] if family == "logistic" else [-0.7, 0.7]
        y, ratio = np.digitize(raw, cuts), float(draw.choice([0, 0.5, 1]))
        options = {"C": strength, "l1_ratio": ratio}
        peer = theirs.LogisticRegression(**options, solver="saga" if ratio else "lbfgs", tol=1e-6, max_iter=3_000)

        def of_classes(model: Any) -> float:
            Z = X @ model.coef_.T + _intercept(model, X, offset)
            Z = np.hstack([np.zeros((n, 1)), Z]) if Z.shape[1] == 1 else Z
            loss = (logsumexp(Z, axis=1) - Z[np.arange(n), y]).sum()
            return strength * loss + ratio * np.abs(model.coef_).sum() + (1 - ratio) / 2 * (model.coef_**2).sum()

        mine = kit.LogisticRegression(**options, tol=1e-6, max_iter=1_000)
        return Problem(f"{name}, l1 {ratio}", mine, peer, X + offset, y, of_classes)
    alpha = strength / n
    if family == "lasso":
        pair = [module.Lasso(alpha=alpha, tol=1e-8, max_iter=100_000) for module in (kit, theirs)]
        y = raw
    elif family == "ridge":
        pair, y = [module.Ridge(alpha=alpha) for module in (kit, theirs)], raw
    else:
        mine, peer = kit.GammaRegressor(alpha=alpha, tol=1e-8, max_iter=1_000), theirs.GammaRegressor(alpha=alpha)
        pair, y = [mine, peer.set_params(tol=1e-8, max_iter=1_000, solver="newton-cholesky")], np.exp(raw / 3)

    def of_numbers(model: Any) -> float:
        fitted, w = X @ model.coef_ + _intercept(model, X, offset), model.coef_
        if family == "gamma":
            return float((fitted + y * np.exp(-np.clip(fitted, -700, 700))).mean() + alpha / 2 * w @ w)
        half = ((fitted - y) ** 2).sum() / 2
        return float(half / n + alpha * np.abs(w).sum() if family == "lasso" else half + alpha / 2 * w @ w)

    return Problem(name, *pair, X + offset, y, of_numbers)


def _intercept(model: Any, X: np.ndarray[Any, Any], offset: float) -> Any:
    """Return the intercept for the features before ``offset`` was added."""
    return model.intercept_ + offset * np.asarray(model.coef_).sum(axis=-1)


def hard(setting: Setting) -> list[Row]:
    """Objectives and seconds of random problems, against scikit-learn's solvers."""
    n_problems = max(int(PROBLEMS * min(setting.scale, 1.0)), 10)
    worse, slow, slower, notes = 0, 0, 0, []
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        for seed in range(n_problems):
            problem = hard_problem(seed)
            (own, own_seconds), (other, other_seconds) = (
                _timed(model, problem.X, problem.y) for model in (problem.ours, problem.theirs)
            )
            values = problem.objective(own), problem.objective(other)
            gap = (values[0] - min(values)) / max(abs(min(values)), 1e-300)
            worse, slow = worse + (not gap <= WORSE), slow + (own_seconds > SLOW_SECONDS)
            slower += own_seconds > MUCH_SLOWER * max(other_seconds, 1e-2)
            if not gap <= WORSE or own_seconds > max(1.0, MUCH_SLOWER * other_seconds):
                notes.append(f"{problem.name}: {gap:.1e} over, {own_seconds:.2f} s, theirs {other_seconds:.2f} s")
    what = f"{n_problems} hard problems"
    return [
        Row(f"{what}: worse than the best by {WORSE:g}", worse, 1, 0.5, at_most=True, unit="", notes=notes),
        Row(f"{what}: over {SLOW_SECONDS:g} s", slow, 1, 0.5, at_most=True, unit=""),
        Row(f"{what}: over {MUCH_SLOWER:g} times scikit-learn's time", slower, n_problems, 0.04, at_most=True, unit=""),
    ]


def _timed(model: Any, X: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> tuple[Any, float]:
    started = time.perf_counter()
    return model.fit(X, y), time.perf_counter() - started


WORKS: dict[str, Work] = {
    "categories": categories,
    "amounts": amounts,
    "repeats": repeats,
    "planes": planes,
    "language": language,
    "languages": languages,
    "language-search": language_search,
    "language-l1": language_l1,
    "languages-l1": languages_l1,
    "language-sgd": language_sgd,
    "few-rows": few_rows,
    "hard": hard,
}


def main() -> None:
    run(WORKS, __doc__)


if __name__ == "__main__":
    main()
