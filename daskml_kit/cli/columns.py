"""Roles of the columns of a table: which are numbers, categories and flags, and why others are not used."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import pandas as pd

from daskml_kit.cli.errors import JobError, did_you_mean, shortened

KINDS = ("numeric", "categorical", "flags", "text")
LONG_TEXT = 40
"""Mean length of values that are taken for text."""
MANY_DISTINCT = 0.9
"""Share of distinct values among those looked at, from which they are taken for ids."""
FEW_VALUES = 20
DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T]\d{1,2}:\d{2}.*)?")
NUMBER_AS_TEXT = re.compile(r"(?=.*[$€£¥%,])[-+(]?\s*[$€£¥]?\s*-?\d[\d,. ]*\s*[%$€£¥)]*")


class RolesGiven(NamedTuple):
    """Columns whose role the user has said."""

    numeric: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()

    def check(self, known: Iterable[str], target: str) -> None:
        """Raise a `JobError` where a column is not there, is the target, or has two roles."""
        known = list(known)
        role_of: dict[str, str] = {}
        for role, names in self._asdict().items():
            for name in names:
                if name not in known:
                    raise JobError(f"--{role}: there is no column {name!r}{did_you_mean(name, known)}")
                if name == target:
                    raise JobError(f"--{role}: {name!r} is the target")
                if role_of.setdefault(name, role) != role:
                    raise JobError(f"--{role}: column {name!r} is named by --{role_of[name]}, too")


ROLES = RolesGiven._fields


def column_roles(
    first: pd.DataFrame, present: Mapping[str, int], given: RolesGiven, categories: Iterable[str] = ()
) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Return the columns of each kind, and the reason for each that is not used.

    Parameters
    ----------
    first : DataFrame
        The first rows of the features.
    present : mapping of str to int
        Values of each column that are not missing, in the whole table.
    given : RolesGiven
        What the user has said goes before what the values look like.
    categories : iterable of str
        Numeric columns that are names of categories.

    Examples
    --------
    >>> rows = pd.DataFrame({"size": [1.5, 2.5], "town": ["Ulm", "Bonn"], "sold": ["2024-01-31", "2024-02-29"]})
    >>> column_roles(rows, {"size": 2, "town": 2, "sold": 2}, RolesGiven())
    ({'numeric': ['size'], 'categorical': ['town'], 'flags': [], 'text': []}, {'sold': "dates, such as '2024-01-31'"})
    """
    columns: dict[str, list[str]] = {kind: [] for kind in KINDS}
    unused: dict[str, str] = {}
    for name in first.columns:
        if name in given.drop:
            unused[name] = "--drop"
        elif not present[name]:
            unused[name] = "no values"
        elif name in given.text:
            columns["text"].append(name)
        elif name in given.categorical or name in categories:
            columns["categorical"].append(name)
        elif name in given.numeric:
            if not pd.api.types.is_numeric_dtype(first[name].dtype):
                raise JobError(f"--numeric: column {name!r} holds {_examples(first[name])}")
            columns["numeric"].append(name)
        else:
            kind, reason = _look_at(first[name])
            if kind is None:
                unused[name] = reason
            else:
                columns[kind].append(name)
    return columns, unused


def _look_at(column: pd.Series[Any]) -> tuple[str | None, str]:
    """Return the kind that a column is taken for, or None and the reason."""
    kind = pd.api.types
    if kind.is_bool_dtype(column.dtype):
        return "flags", ""
    if kind.is_numeric_dtype(column.dtype):
        return "numeric", ""
    if kind.is_datetime64_any_dtype(column.dtype) or kind.is_timedelta64_dtype(column.dtype):
        return None, "dates"
    if not (kind.is_string_dtype(column.dtype) or kind.is_object_dtype(column.dtype)):
        return None, f"of type {column.dtype}"
    values = column.dropna()
    if not values.map(lambda value: isinstance(value, (str, bool))).all():
        return None, f"of type {type(values.iloc[0]).__name__}"
    if values.map(lambda value: isinstance(value, bool)).all() and len(values):
        return "categorical", ""
    texts = values.astype(str).str.strip()
    for reason, applies in TEXTS.items():
        if len(texts) and applies(texts):
            return None, f"{reason}, such as {shortened_value(texts.iloc[0])}"
    return "categorical", ""


def _matches(pattern: re.Pattern[str]) -> Callable[[pd.Series[Any]], bool]:
    return lambda texts: bool(texts.map(lambda text: pattern.fullmatch(text) is not None).all())


TEXTS: dict[str, Callable[[pd.Series[Any]], bool]] = {
    "dates": _matches(DATE),
    "numbers as text": _matches(NUMBER_AS_TEXT),
    "text": lambda texts: bool(texts.str.len().mean() > LONG_TEXT),
    "ids": lambda texts: len(texts) >= FEW_VALUES and texts.nunique() > MANY_DISTINCT * len(texts),
}
"""Columns of strings that make no useful categories, and how they are told; --categorical takes them all the same."""


def shortened_value(text: str) -> str:
    """Return an example in quotes, cut after some characters."""
    return repr(text if len(text) <= LONG_TEXT else text[:LONG_TEXT] + "...")


def _examples(column: pd.Series[Any]) -> str:
    return shortened(map(repr, column.dropna().unique()[:2].tolist()))
