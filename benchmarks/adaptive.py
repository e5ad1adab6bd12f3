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

ROWS, WIDTH, BLOCKS = 20_000, 40, 20
MAX_ITER = 81
SEEDS, FEW_SEEDS = 20, 2
SPACE = {
    "alpha": loguniform(1e-7, 1e1),
    "eta0": loguniform(1e-5, 1e1),
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
    n_rows = setting.rows(ROWS)
    n_seeds = SEEDS if setting.scale >= 1 else FEW_SEEDS
    ours, random, calls = zip(*(_errors(n_rows, seed) for seed in range(n_seeds)), strict=True)
    differences = np.subtract(random, ours)
    notes = [
        f"{n_seeds} seeds, {calls[0][0]:,} calls of partial_fit against {calls[0][1]:,}; better in "
        f"{np.sum(differences > 0)}, equal in {np.sum(differences == 0)}; median of the differences "
        f"{np.median(differences):+.4f}, least {differences.min():+.4f}, greatest {differences.max():+.4f}"
    ]
    work = f"Hyperband, SGDClassifier, max_iter {MAX_ITER}: error, random search"
    return [Row(work, float(np.median(ours)), float(np.median(random)), 1, True, "", notes)]


def _errors(n_rows: int, seed: int) -> tuple[float, float, tuple[int, int]]:
    """Return the errors of our and of scikit-learn's search, and the calls of each."""
    X, y = sklearn.datasets.make_classification(
        2 * n_rows, WIDTH, n_informative=20, n_redundant=5, n_clusters_per_class=4, flip_y=0.02, random_state=seed
    )
    X *= np.exp(np.random.default_rng(seed).normal(size=WIDTH))
    X, y, unseen = X[:n_rows], y[:n_rows], (X[n_rows:], y[n_rows:])
    chunk = -(-n_rows // BLOCKS)
    with dask.config.set(scheduler="threads"):
        search = HyperbandSearchCV(SGDClassifier(random_state=seed), SPACE, max_iter=MAX_ITER, random_state=seed)
        search.fit(da.from_array(X, chunks=(chunk, -1)), da.from_array(y, chunks=chunk), classes=np.unique(y))
    calls = search.metadata_["partial_fit_calls"]
    tried = round(calls / MAX_ITER) - 1  # and once more on all rows, for the best
    held_out = sklearn.model_selection.ShuffleSplit(1, test_size=1 / BLOCKS, random_state=seed)
    peer = sklearn.model_selection.RandomizedSearchCV(
        Trained(random_state=seed), SPACE, n_iter=tried, cv=held_out, random_state=seed
    ).fit(X, y)
    return 1 - search.score(*unseen), 1 - peer.score(*unseen), (calls, (tried + 1) * MAX_ITER)


WORKS: dict[str, Work] = {"hyperband": hyperband}


def main() -> None:
    run(WORKS, __doc__)


if __name__ == "__main__":
    main()
