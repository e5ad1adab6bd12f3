"""Features made of raw columns, side by side with scikit-learn in memory and dask-ml on the same blocks.

``python -m benchmarks.features`` prints a table for each work; ``--scale 0.1`` runs it on a tenth of the rows.
``preprocessing`` fits scalers and encoders to a Dask array that is held in memory; the passes are those that the
docstrings state. scikit-learn's QuantileTransformer looks at 10,000 rows, which it draws; so does ours.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import dask.array as da
import numpy as np
import sklearn.preprocessing

from benchmarks.program import Setting, Work, run
from benchmarks.race import Row, race
from daskml_kit import preprocessing as ours
from daskml_kit.engines.engine import watching

EXACT = 1e-9


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
        "ours": lambda: getattr(ours, name)(**parameters).fit(lazy),
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


WORKS: dict[str, Work] = {"preprocessing": preprocessing}


if __name__ == "__main__":
    run(WORKS, __doc__)
