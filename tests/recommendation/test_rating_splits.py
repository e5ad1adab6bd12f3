"""Splits of ratings by time keep the last of each user, or all from a time on, for the test."""

from __future__ import annotations

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest

from daskml_kit.exceptions import DataError
from daskml_kit.recommendation import leave_last_n_out, split_at_time

RNG = np.random.default_rng(0)
VIEWS = pd.DataFrame(
    {
        "who": RNG.choice(["ann", "bob", "cid", "dan"], 60, p=[0.5, 0.3, 0.15, 0.05]),
        "what": np.arange(60),
        "when": pd.Timestamp("2026-01-01") + pd.to_timedelta(RNG.integers(0, 30, 60), unit="D"),
    }
)


def by_hand(n):
    """The last n of each user that has more, in a loop."""
    held_out = []
    for _, own in VIEWS.groupby("who"):
        if len(own) > n:
            held_out += list(own.sort_values("when", kind="stable")["what"].iloc[-n:])
    return sorted(held_out)


@pytest.mark.parametrize("n", [1, 3])
def test_the_last_of_each_user(n):
    train, test = leave_last_n_out(VIEWS, n, user="who", time="when")
    assert sorted(test["what"]) == by_hand(n)
    assert sorted(train["what"]) == sorted(set(VIEWS["what"]) - set(by_hand(n)))
    lazy = leave_last_n_out(dd.from_pandas(VIEWS, npartitions=4), n, user="who", time="when")
    for found, expected in zip(dask.compute(*lazy), (train, test), strict=True):
        pd.testing.assert_frame_equal(found.sort_index(), expected, check_dtype=False)


def test_all_from_a_time_on():
    cut = pd.Timestamp("2026-01-20")
    train, test = split_at_time(VIEWS, cut, time="when")
    assert (train["when"] < cut).all()
    assert (test["when"] >= cut).all()
    assert len(train) + len(test) == 60
    lazy = split_at_time(dd.from_pandas(VIEWS, npartitions=4), cut, time="when")
    for found, expected in zip(dask.compute(*lazy), (train, test), strict=True):
        pd.testing.assert_frame_equal(found, expected, check_dtype=False)


def test_bad_input_is_named():
    hollow = VIEWS.assign(when=VIEWS["when"].where(VIEWS["what"] != 7))
    with pytest.raises(DataError, match="column 'when' has 1 missing values"):
        split_at_time(hollow, pd.Timestamp("2026-01-20"), time="when")
    with pytest.raises(DataError, match="column 'when' has 1 missing values"):
        leave_last_n_out(hollow, user="who", time="when")
    with pytest.raises(DataError, match="ratings: expected a column 'user'"):
        leave_last_n_out(VIEWS)
    with pytest.raises(DataError, match="ratings: expected a pandas or Dask DataFrame, got ndarray"):
        split_at_time(VIEWS.to_numpy(), 3)
    with pytest.raises(ValueError, match="n: expected an integer"):
        leave_last_n_out(VIEWS, 0, user="who", time="when")
