"""Adaptive searches against random search with as many calls of ``partial_fit``.

``python -m benchmarks.adaptive`` prints one table; ``--scale 0.01`` runs it on a hundredth of the rows, with few seeds.

What a search is worth depends on how rare good parameters are. Random search trains 19 models to the end; where one
model in seven is within a point of the best, 19 of them as good as surely have one, and no search can do much better.
That is so on the first problem, of many rows a feature and a label that no linear model tells well: it stays here as
the one on which Hyperband is not worth its while. Parameters matter where there are few rows a feature, so that the
penalty decides, and features of different scales, so that the learning rate decides. The other three are that, in three
ways: a truth of ten features among 500; scikit-learn's digits, each pixel with a column of noise beside it; and flights
that arrive late, as one column for each carrier, airport, month, day and hour, beside times and distances in their own
units. The share of good models is printed with each. All are searched over the same space.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple, Self

import dask
import dask.array as da
import numpy as np
import pandas as pd
import sklearn.datasets
import sklearn.model_selection
from scipy.stats import loguniform, uniform
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import get_scorer

from benchmarks.data import Data
from benchmarks.program import Setting, Work, run
from benchmarks.race import Row
from daskml_kit.datasets import load_flights
from daskml_kit.model_selection import HyperbandSearchCV

BLOCKS = 20
MAX_ITER, SHORT = 81, 9
"""Of the longest trained models, on all rows and on a share of them."""
TEST_SIZE = 0.2
SEEDS, FEW_SEEDS = 20, 2
APART = 1_000
"""Seeds of searches are so far apart, as one search uses several that follow each other."""
POINT = 0.01
WORDS = ["carrier", "origin", "dest", "month", "day", "hour"]
NUMBERS = ["distance", "sched_dep_time", "sched_arr_time"]
SPACE = {
    "alpha": loguniform(1e-7, 1e2),
    "eta0": loguniform(1e-6, 1e2),
    "penalty": ["l1", "l2", "elasticnet"],
    "learning_rate": ["constant", "invscaling", "adaptive"],
    "power_t": uniform(0, 1),
    "l1_ratio": uniform(0, 1),
    "loss": ["hinge", "log_loss", "modified_huber", "squared_hinge"],
    "average": [True, False],
}


class Problem(NamedTuple):
    """Makes so many rows, from a seed, of which half are for the searches; ``wanted`` bounds the ratio of errors."""

    make: Callable[[int, int], Data]
    n_rows: int
    scoring: str = "accuracy"
    wanted: float | None = 1.0


class Tried(NamedTuple):
    """The best model's score on rows that no search has seen, and on those it was chosen by, and the calls of all."""

    unseen: float
    chosen: float
    calls: int


class Trained(SGDClassifier):  # type: ignore[misc]
    """The model after ``max_iter`` calls of ``partial_fit``, on the blocks of the rows in turn."""

    def fit(self, X: Any, y: Any) -> Self:
        blocks = np.array_split(np.arange(len(X)), BLOCKS)
        classes = np.unique(y)
        for call in range(self.max_iter):
            rows = blocks[call % BLOCKS]
            self.partial_fit(X[rows], y[rows], classes=classes)
        return self


def clusters(n_rows: int, seed: int) -> Data:
    X, y = sklearn.datasets.make_classification(
        n_rows, 40, n_informative=20, n_redundant=5, n_clusters_per_class=4, flip_y=0.02, random_state=seed
    )
    return Data(X * np.exp(np.random.default_rng(seed).normal(size=X.shape[1])), y)


def sparse_truth(n_rows: int, seed: int) -> Data:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 500))
    signs = rng.choice([-1, 1], 10)
    return Data(X, (X[:, :10] @ signs + rng.logistic(size=n_rows) > 0).astype(int))


def noisy_digits(n_rows: int, seed: int) -> Data:
    X, y = sklearn.datasets.load_digits(return_X_y=True)
    rng = np.random.default_rng(seed)
    some = rng.permutation(len(y))[:n_rows]
    return Data(np.hstack([X[some] / 16, rng.normal(size=(len(some), X.shape[1]))]), y[some])


@cache
def flights() -> pd.DataFrame:
    return load_flights(columns=[*WORDS, *NUMBERS, "arr_delay"]).compute(scheduler="synchronous")


def late_flights(n_rows: int, seed: int) -> Data:
    some = flights().dropna(subset=["arr_delay"]).sample(n_rows, random_state=seed)
    words, numbers = some[WORDS].astype(str), some[NUMBERS]
    X = np.hstack([pd.get_dummies(words, dtype=float), numbers / numbers.std()])
    return Data(X, (some["arr_delay"].to_numpy() > 15).astype(int))


PROBLEMS = {
    "20 of 40 features tell": Problem(clusters, 20_000, wanted=None),
    "10 of 500 features tell": Problem(sparse_truth, 8_000),
    "digits and noise": Problem(noisy_digits, 1_797),
    "late flights": Problem(late_flights, 8_000, "roc_auc"),
}


def hyperband(setting: Setting) -> list[Row]:
    """The best models of both searches on rows that neither has seen, and by the scores they were chosen by."""
    return [row for name in PROBLEMS for row in _compare(name, PROBLEMS[name], setting)]


def _compare(name: str, problem: Problem, setting: Setting) -> list[Row]:
    ours, random, good = [], [], []
    n_seeds, max_iter = (SEEDS, MAX_ITER) if setting.scale >= 1 else (FEW_SEEDS, SHORT)
    for seed in range(n_seeds):
        data = problem.make(setting.rows(problem.n_rows), seed)
        seen, unseen = (Data(data.X[half::2], data.y[half::2]) for half in (0, 1))
        ours.append(_ours(problem, seen, unseen, max_iter, seed))
        tried, scores = _random(problem, seen, unseen, max_iter, seed, round(ours[-1].calls / max_iter))
        random.append(tried)
        good.append(np.mean(scores >= max(tried.chosen, ours[-1].chosen) - POINT))
    calls = f"{n_seeds} seeds, {ours[0].calls:,} calls of partial_fit against {random[0].calls:,}"
    share = f"{np.mean(good):.1%} of random models within a point of the best that any search found"
    rows = []
    for judge in ("unseen", "chosen"):
        mine, peer = (np.array([getattr(tried, judge) for tried in side]) for side in (ours, random))
        notes = [_differences(mine - peer), *([f"{calls}; {share}"] if judge == "unseen" else [])]
        work = f"Hyperband, {name}: 1 - {problem.scoring}, {judge}"
        errors = float(np.median(1 - mine)), float(np.median(1 - peer))
        rows.append(Row(work, *errors, problem.wanted, True, "", notes))
    return rows


def _differences(better_by: Any) -> str:
    counts = f"better in {np.sum(better_by > 0)}, equal in {np.sum(better_by == 0)}, worse in {np.sum(better_by < 0)}"
    spread = f"least {better_by.min():+.4f}, greatest {better_by.max():+.4f}"
    return f"{counts}; median of the differences {np.median(better_by):+.4f}, mean {better_by.mean():+.4f}, {spread}"


def _ours(problem: Problem, seen: Data, unseen: Data, max_iter: int, seed: int) -> Tried:
    chunk = -(-len(seen.y) // BLOCKS)
    lazy = da.from_array(seen.X, chunks=(chunk, -1)), da.from_array(seen.y, chunks=chunk)
    options: dict[str, Any] = {"test_size": TEST_SIZE, "scoring": problem.scoring, "random_state": APART * seed}
    with dask.config.set(scheduler="threads"):
        search = HyperbandSearchCV(SGDClassifier(random_state=seed), SPACE, max_iter, **options)
        search.fit(*lazy, classes=np.unique(seen.y))
    return Tried(search.score(*unseen), search.best_score_, search.metadata_["partial_fit_calls"])


def _random(problem: Problem, seen: Data, unseen: Data, max_iter: int, seed: int, n: int) -> tuple[Tried, Any]:
    """Return what random search found with ``n`` models, as many rows held out, and the scores of all of them."""
    held_out = sklearn.model_selection.ShuffleSplit(1, test_size=TEST_SIZE, random_state=seed)
    options = {"cv": held_out, "scoring": problem.scoring, "refit": False, "random_state": APART * seed + APART // 2}
    model = Trained(max_iter=max_iter, random_state=seed)
    search = sklearn.model_selection.RandomizedSearchCV(model, SPACE, n_iter=n, **options).fit(*seen)
    ((train, _),) = held_out.split(seen.X)
    best = model.set_params(**search.best_params_).fit(seen.X[train], seen.y[train])  # as it was in the search
    score = get_scorer(problem.scoring)(best, *unseen)
    return Tried(score, search.best_score_, n * max_iter), search.cv_results_["mean_test_score"]


WORKS: dict[str, Work] = {"hyperband": hyperband}


def main() -> None:
    run(WORKS, __doc__)


if __name__ == "__main__":
    main()
