"""Adaptive searches against random search with as many calls of ``partial_fit``.

``python -m benchmarks.adaptive`` prints one table; ``--scale 0.01`` runs it on a hundredth of the rows, with few seeds.
"""

from __future__ import annotations

from typing import Any, Self

import dask
import dask.array as da
import numpy as np
import sklearn.datasets
import sklearn.model_selection
from scipy.stats import loguniform, uniform
from sklearn.linear_model import SGDClassifier

from benchmarks.program import Setting, Work, run
from benchmarks.race import Row
from daskml_kit.model_selection import HyperbandSearchCV

ROWS, BLOCKS = 10_000, 20
MAX_ITER = 81
TEST_SIZE = 0.2
SEEDS, FEW_SEEDS = 20, 2
PROBLEMS: dict[str, dict[str, Any]] = {
    "20 of 40 features tell": {"n_features": 40, "n_informative": 20, "n_clusters_per_class": 4},
    "10 of 60 features tell": {"n_features": 60, "n_informative": 10, "n_clusters_per_class": 2},
}
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


class Trained(SGDClassifier):  # type: ignore[misc]
    """The model after ``MAX_ITER`` calls of ``partial_fit``, on the blocks of the rows in turn."""

    def fit(self, X: Any, y: Any) -> Self:
        blocks = np.array_split(np.arange(len(X)), BLOCKS)
        classes = np.unique(y)
        for call in range(MAX_ITER):
            rows = blocks[call % BLOCKS]
            self.partial_fit(X[rows], y[rows], classes=classes)
        return self


def hyperband(setting: Setting) -> list[Row]:
    """The error on rows that neither search has seen, of both searches' best models."""
    n_seeds = SEEDS if setting.scale >= 1 else FEW_SEEDS
    return [_compare(name, problem, setting.rows(ROWS), n_seeds) for name, problem in PROBLEMS.items()]


def _compare(name: str, problem: dict[str, Any], n_rows: int, n_seeds: int) -> Row:
    ours, random, calls = zip(*(_errors(problem, n_rows, seed) for seed in range(n_seeds)), strict=True)
    differences = np.subtract(random, ours)
    notes = [
        f"{n_seeds} seeds, {calls[0][0]:,} calls of partial_fit against {calls[0][1]:,}; better in "
        f"{np.sum(differences > 0)}, equal in {np.sum(differences == 0)}; median of the differences "
        f"{np.median(differences):+.4f}, least {differences.min():+.4f}, greatest {differences.max():+.4f}"
    ]
    work = f"Hyperband, {name}: error, random search"
    return Row(work, float(np.median(ours)), float(np.median(random)), 1, True, "", notes)


def _errors(problem: dict[str, Any], n_rows: int, seed: int) -> tuple[float, float, tuple[int, int]]:
    """Return the errors of our and of scikit-learn's search, and the calls of each.

    Both have held out as many rows, and neither's best model has been trained on them.
    """
    X, y = sklearn.datasets.make_classification(2 * n_rows, n_redundant=5, flip_y=0.02, random_state=seed, **problem)
    X *= np.exp(np.random.default_rng(seed).normal(size=X.shape[1]))
    X, y, unseen = X[:n_rows], y[:n_rows], (X[n_rows:], y[n_rows:])
    chunk = -(-n_rows // BLOCKS)
    model = SGDClassifier(random_state=seed)
    with dask.config.set(scheduler="threads"):
        search = HyperbandSearchCV(model, SPACE, max_iter=MAX_ITER, test_size=TEST_SIZE, random_state=seed)
        search.fit(da.from_array(X, chunks=(chunk, -1)), da.from_array(y, chunks=chunk), classes=np.unique(y))
    calls = search.metadata_["partial_fit_calls"]
    tried = round(calls / MAX_ITER)
    held_out = sklearn.model_selection.ShuffleSplit(1, test_size=TEST_SIZE, random_state=seed)
    peer = sklearn.model_selection.RandomizedSearchCV(
        Trained(random_state=seed), SPACE, n_iter=tried, cv=held_out, refit=False, random_state=seed
    ).fit(X, y)
    ((train, _),) = held_out.split(X)
    best = Trained(random_state=seed).set_params(**peer.best_params_).fit(X[train], y[train])  # as it was in the search
    return 1 - search.score(*unseen), 1 - best.score(*unseen), (calls, tried * MAX_ITER)


WORKS: dict[str, Work] = {"hyperband": hyperband}


def main() -> None:
    run(WORKS, __doc__)


if __name__ == "__main__":
    main()
