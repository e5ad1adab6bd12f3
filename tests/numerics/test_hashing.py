"""Equal keys have equal hashes, on any machine and in any dtype; keys that have none are named."""

from __future__ import annotations

import datetime
import decimal
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from scipy.stats import chi2

from daskml_kit.exceptions import DataError
from daskml_kit.numerics.hashing import hash_keys

DAYS = ["2020-01-01", "1969-12-31", "2262-01-01"]
WORDS = ["", "a", "ü", "long " * 30, "a"]


def hashed(values):
    return hash_keys([("k", values)])


def arrow(values, kind):
    return pd.Series(values, dtype=pd.ArrowDtype(kind))


SAME = {
    "integers": [
        *(
            np.array([0, 1, 7, 100], kind)
            for kind in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
        ),
        *(pd.Series([0, 1, 7, 100], dtype=kind) for kind in ("Int8", "UInt64", "Float32", "int64[pyarrow]")),
        np.array([0, 1, 7, 100], object),
        np.array([0.0, 1, np.int8(7), np.float32(100)], object),
        pd.Series(pd.Categorical([0, 1, 7, 100], categories=[100, 7, 3, 1, 0])),
        np.array([-0.0, 1, 7, 100]),
    ],
    "negative": [
        *(np.array([-1, -100], kind) for kind in ("i1", "i8", "f4", "f8")),
        pd.Series([-1, -100], dtype="Int16"),
    ],
    "large": [
        np.array([2**63, 2**64 - 2**12], np.uint64),
        np.array([2.0**63, 2.0**64 - 2.0**12]),
        np.array([2**63, 2**64 - 2**12], object),
    ],
    "truth": [
        np.array([True, False]),
        pd.Series([True, False], dtype="boolean"),
        np.array([True, False], object),
        pd.Series([True, False], dtype="bool[pyarrow]"),
        np.array([1, 0]),
    ],
    "fractions": [
        np.array([0.5, -1.25, np.inf, -np.inf]),
        np.array([0.5, -1.25, np.inf, -np.inf], np.float32),
        np.array([0.5, -1.25, np.inf, -np.inf], object),
        pd.Series([0.5, -1.25, np.inf, -np.inf], dtype="Float64"),
        pd.Series([0.5, -1.25, np.inf, -np.inf], dtype="float[pyarrow]"),
    ],
    "strings": [
        np.array(WORDS),
        np.array(WORDS, object),
        *(pd.Series(WORDS, dtype=kind) for kind in ("str", "string", "string[python]", "string[pyarrow]")),
        arrow(WORDS, pa.string()),
        arrow(WORDS, pa.large_string()),
        arrow(WORDS, pa.dictionary(pa.int8(), pa.string())),
        pd.Series(pd.Categorical(WORDS)),
        pd.Series(pd.Categorical(WORDS, categories=sorted(set(WORDS), reverse=True), ordered=True)),
        pd.Series(pd.Categorical(np.array(WORDS, object))),
    ],
    "times": [
        *(np.array(DAYS, f"M8[{unit}]") for unit in ("D", "h", "s", "ms", "us", "ns")),
        pd.Series(pd.to_datetime(DAYS, utc=True)),
        pd.Series(pd.to_datetime(DAYS, utc=True)).dt.tz_convert("Asia/Tokyo"),
        np.array([datetime.date.fromisoformat(day) for day in DAYS], object),
        np.array([datetime.datetime.fromisoformat(day) for day in DAYS], object),
        np.array([pd.Timestamp(day) for day in DAYS], object),
        arrow(np.array(DAYS, "M8[us]"), pa.timestamp("us")),
        arrow(pd.to_datetime(DAYS, utc=True), pa.timestamp("ns", "Europe/Berlin")),
        arrow([datetime.date.fromisoformat(day) for day in DAYS], pa.date32()),
        pd.Series(pd.Categorical(pd.to_datetime(DAYS))),
    ],
    "durations": [
        *(np.array([90, -60, 0], "m8[s]").astype(f"m8[{unit}]") for unit in ("s", "ms", "us", "ns")),
        pd.Series(pd.to_timedelta([90, -60, 0], "s")).astype(object),
        arrow(pd.to_timedelta([90, -60, 0], "s"), pa.duration("us")),
    ],
}


@pytest.mark.parametrize("kind", SAME)
def test_equal_values_of_any_dtype_have_equal_hashes(kind):
    first, *others = [hashed(values) for values in SAME[kind]]
    assert first.dtype == np.uint64
    for other in others:
        assert_array_equal(other, first)


@pytest.mark.parametrize("kind", SAME)
def test_different_values_have_different_hashes(kind):
    values = pd.Series(SAME[kind][0])
    assert len(np.unique(hashed(values))) == values.nunique()


def test_parts_of_a_second_count():
    ticks = [np.array([1500], f"M8[{unit}]") for unit in ("ms", "us", "ns")]
    assert len({int(hashed(tick)[0]) for tick in ticks}) == 3
    assert_array_equal(hashed(ticks[0]), hashed(ticks[0].astype("M8[ns]")))


def test_hashes_stay_what_they_are():
    """A data set partitioned today is joined with one of last year: these numbers never change."""
    assert hashed(np.array([0, 1, -1, 2**62])).tolist() == [
        16294208416658607535, 10451216379200822465, 16490336266968443936, 47939714376772075,
    ]  # fmt: skip
    assert hashed(np.array([0.5, -1.5, np.inf])).tolist() == [
        17606427253252083309, 6650937253580682039, 2638638862653029785,
    ]  # fmt: skip
    assert hashed(np.array(["a", "bc", ""])).tolist() == [
        13950350942979735504, 6429939465925716527, 1760245841805064774,
    ]  # fmt: skip
    assert hashed(np.array(["2020-01-01", "1969-12-31T23:59:59.5"], "M8[ms]")).tolist() == [
        12751077071330608626, 11479748398172273033,
    ]  # fmt: skip
    pair = hash_keys([("n", np.array([1, 2])), ("s", np.array(["a", "b"]))])
    assert pair.tolist() == [1508283922694347942, 11982696983283103571]


@pytest.mark.slow
def test_another_process_finds_the_same():
    code = (
        "import numpy as np; from daskml_kit.numerics.hashing import hash_keys; "
        "print(hash_keys([('k', np.array(['a', 'bc']))]).tolist())"
    )
    found = subprocess.run([sys.executable, "-c", code], env={"PYTHONHASHSEED": "7"}, capture_output=True, text=True)
    assert found.stdout.strip() == str(hashed(np.array(["a", "bc"])).tolist())


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, unique=True))
def test_integers_never_collide(values):
    hashes = hashed(np.array(values))
    assert len(np.unique(hashes)) == len(values)
    assert_array_equal(hashed(np.array(values, object)), hashes)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(allow_nan=False, width=32)))
def test_single_and_double_precision_agree(values):
    assert_array_equal(hashed(np.array(values, np.float32)), hashed(np.array(values, np.float64)))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))), st.randoms(use_true_random=False))
def test_strings_and_categories_agree(words, random):
    categories = [*dict.fromkeys(words)]
    random.shuffle(categories)
    category = pd.Series(pd.Categorical(words, categories=categories))
    assert_array_equal(hashed(category), hashed(np.array(words, object)))


@pytest.mark.parametrize("n_blocks", [2, 10, 64, 1000])
@pytest.mark.parametrize("keys", [np.arange(200_000), np.arange(200_000) * 4096, np.linspace(0, 1, 200_000)])
def test_blocks_get_keys_evenly(keys, n_blocks):
    counts = np.bincount((hashed(keys) % np.uint64(n_blocks)).astype(int), minlength=n_blocks)
    assert chi2.sf(((counts - counts.mean()) ** 2).sum() / counts.mean(), n_blocks - 1) > 1e-3


def test_the_order_of_columns_matters():
    one, two = np.array([1, 2, 5]), np.array([2, 1, 5])
    forth, back = (hash_keys([("a", a), ("b", b)]) for a, b in ((one, two), (two, one)))
    assert not (forth[:2] == back[:2]).any()
    assert forth[2] == back[2]
    assert forth[0] != hash_keys([("a", one)])[0]


def test_no_rows():
    for values in (np.array([]), np.array([], object), np.array([], "M8[s]"), pd.Series(pd.Categorical([]))):
        assert hashed(values).shape == (0,)


MISSING = {
    "NaN": np.array([1.0, 2, np.nan, np.nan]),
    "None": np.array(["a", "b", None, "c"], object),
    "NaT": np.array([0, 1, "NaT"], "M8[s]"),
    "NA": pd.Series([1, 2, None], dtype="Int64"),
    "NA string": pd.Series(["a", "b", None], dtype="string"),
    "category": pd.Series(pd.Categorical(["a", "b", None])),
    "arrow": pd.Series([1, 2, None], dtype="int64[pyarrow]"),
}


@pytest.mark.parametrize("kind", MISSING)
def test_missing_keys_are_named(kind):
    with pytest.raises(DataError, match=r"by: k has missing keys, [12] of them here, the first in row 2"):
        hashed(MISSING[kind])


WRONG = {
    "lists": (np.array([[1], [2, 3]], object), "mixed"),
    "mixed": (np.array([1, "a"], object), "mixed-integer"),
    "wide": (np.array([2**70, 1], object), "64 bits"),
    "signs": (np.array([-1, 2**63], object), "64 bits"),
    "decimals": (pd.Series([decimal.Decimal(1)]), "decimal"),
    "complex": (np.array([1j]), "complex128"),
    "periods": (pd.Series(pd.period_range("2020", periods=2)), r"period\[D\]"),
    "intervals": (pd.cut(pd.Series([1.0, 2.0]), 2), "interval"),
    "zones": (np.array([pd.Timestamp("2020", tz="UTC"), pd.Timestamp("2020", tz="Asia/Tokyo")], object), "Tz-aware"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_keys_without_a_hash_are_named(kind):
    values, message = WRONG[kind]
    with pytest.raises(DataError, match=f"by: .*{message}"):
        hashed(values)


def test_keys_are_not_written_to():
    for values in (np.array([2.0, 3.5]), np.array([1, 2]), np.array([1, 2], np.uint64), np.array([True, False])):
        before = values.copy()
        values.flags.writeable = False
        hashed(values)
        assert_array_equal(values, before)
