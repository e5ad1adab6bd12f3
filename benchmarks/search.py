"""Searches over parameters, side by side with scikit-learn's on two processes.

``python -m benchmarks.search`` prints one table; ``--scale 0.01`` runs it on a hundredth of the rows. Data lie in the
memory of this process, ours works with its threads.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import sklearn.linear_model
import sklearn.model_selection
import sklearn.preprocessing
from sklearn.pipeline import make_pipeline

from benchmarks.data import badly_scaled, in_memory, low_rank
from benchmarks.memory import watching_memory
from benchmarks.program import Setting, Work, run
from benchmarks.race import Row, race
from daskml_kit.linear_model import ElasticNet, LogisticRegression, Ridge
from daskml_kit.model_selection import GridSearchCV
from daskml_kit.preprocessing import StandardScaler

ROWS_A, ROWS_B = 1_000_000, 500_000
INVERSE = {"C": np.logspace(-3, 1, 10)}
ALPHAS = np.logspace(-3, 3, 100)
FEW = 40
"""Every so many values of alpha scikit-learn's elastic net is timed on: all would take hours."""
ENDLESS = 1_000_000
"""Sweeps, which scikit-learn's elastic net may need to get to its tolerance where features are alike."""
PROCESSES = 2
EXACT = 1e-5
"""How far the mean scores may be apart."""


def logistic(setting: Setting) -> list[Row]:
    """Ten values of C on five folds."""
    data = in_memory(badly_scaled, setting.rows(ROWS_A))
    timed = race(
        {
            "ours": lambda: ours(LogisticRegression(), INVERSE, data),
            "newton": lambda: theirs(sklearn.linear_model.LogisticRegression(solver="newton-cholesky"), INVERSE, data),
            "lbfgs": lambda: theirs(sklearn.linear_model.LogisticRegression(), INVERSE, data),
        },
        setting.repeat,
    )
    with watching_memory() as peak:
        ours(LogisticRegression(), INVERSE, data)
    mine = timed["ours"]
    work = "LogisticRegression, 10 values of C on 5 folds of A"
    extra = 1 + (peak.highest - peak.first) / data.X.nbytes
    return [
        Row(f"{work}: scikit-learn, its default", mine.seconds, timed["lbfgs"].seconds, 50),
        Row(f"{work}: scikit-learn, newton-cholesky", mine.seconds, timed["newton"].seconds, 15),
        Row(f"{work}: memory, data", extra, 1.0, 1.3, at_most=True, unit="x data"),
        apart(work, mine.result, timed["newton"].result),
    ]


def pipeline(setting: Setting) -> list[Row]:
    """The same behind a scaler that each fold fits for itself."""
    data = in_memory(badly_scaled, setting.rows(ROWS_A))
    grid = {f"logisticregression__{name}": values for name, values in INVERSE.items()}
    scaler = sklearn.preprocessing.StandardScaler()
    timed = race(
        {
            "ours": lambda: ours(make_pipeline(StandardScaler(), LogisticRegression()), grid, data),
            "lbfgs": lambda: theirs(make_pipeline(scaler, sklearn.linear_model.LogisticRegression()), grid, data),
        },
        setting.repeat,
    )
    work = "StandardScaler and LogisticRegression, 10 values of C on 5 folds of A"
    return [
        Row(f"{work}: scikit-learn", timed["ours"].seconds, timed["lbfgs"].seconds, 20),
        apart(work, timed["ours"].result, timed["lbfgs"].result),
    ]


def least_squares(setting: Setting) -> list[Row]:
    """A hundred penalties on five folds; scikit-learn's elastic net has a few of them, and its time is scaled."""
    data = in_memory(low_rank, setting.rows(ROWS_B))
    ridge = race(
        {
            "ours": lambda: ours(Ridge(), {"alpha": ALPHAS}, data),
            "scikit-learn": lambda: theirs(sklearn.linear_model.Ridge(), {"alpha": ALPHAS}, data),
        },
        setting.repeat,
    )
    few, peer = {"alpha": ALPHAS[::FEW]}, sklearn.linear_model.ElasticNet
    net = race(
        {
            "ours": lambda: ours(ElasticNet(tol=1e-8), {"alpha": ALPHAS}, data),
            "scikit-learn": lambda: theirs(peer(tol=1e-8), few, data),
            "to the end": lambda: theirs(peer(tol=1e-8, precompute=True, max_iter=ENDLESS), few, data),
        },
        1,
    )
    scaled, longer = (net[name].seconds * len(ALPHAS) / len(few["alpha"]) for name in ("scikit-learn", "to the end"))
    means = net["ours"].result.cv_results_["mean_test_score"][::FEW]
    off, short = (
        float(np.abs(means - net[name].result.cv_results_["mean_test_score"]).max())
        for name in ("to the end", "scikit-learn")
    )
    work = "100 values of alpha on 5 folds of B"
    note = f"scikit-learn on {len(few['alpha'])} of the values, its time scaled"
    stopped = f"after its 1000 sweeps the scores are {short:.1g} from ours"
    return [
        Row(f"Ridge, {work}: scikit-learn", ridge["ours"].seconds, ridge["scikit-learn"].seconds, 50),
        apart(f"Ridge, {work}", ridge["ours"].result, ridge["scikit-learn"].result),
        Row(f"ElasticNet, {work}: scikit-learn", net["ours"].seconds, scaled, 50, notes=[note, stopped]),
        Row(f"ElasticNet, {work}: scikit-learn, precompute, to the end", net["ours"].seconds, longer, notes=[note]),
        Row(f"ElasticNet, {work}: scores apart", off, 1.0, EXACT, at_most=True, unit=""),
    ]


def ours(model: Any, grid: dict[str, Any], data: Any) -> Any:
    return GridSearchCV(model, grid, scoring=scoring_of(model)).fit(data.X, data.y)


def theirs(model: Any, grid: dict[str, Any], data: Any) -> Any:
    search = sklearn.model_selection.GridSearchCV(model, grid, scoring=scoring_of(model), n_jobs=PROCESSES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a peer's complaints are not ours to print
        return search.fit(data.X, data.y)


def scoring_of(model: Any) -> str:
    return "neg_log_loss" if hasattr(model, "predict_proba") else "r2"


def apart(work: str, mine: Any, peer: Any) -> Row:
    """Return how far the mean scores are apart."""
    most = np.abs(mine.cv_results_["mean_test_score"] - peer.cv_results_["mean_test_score"]).max()
    return Row(f"{work}: scores apart", float(most), 1.0, EXACT, at_most=True, unit="")


WORKS: dict[str, Work] = {"logistic-search": logistic, "pipeline-search": pipeline, "ridge-search": least_squares}


def main() -> None:
    run(WORKS, __doc__)


if __name__ == "__main__":
    main()
