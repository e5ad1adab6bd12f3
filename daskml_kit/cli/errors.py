"""Failures that are the user's to mend, in one line."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class JobError(Exception):
    """The job cannot be done; the message is one line for the user of the command line."""


@contextmanager
def failing(doing: str, *kinds: type[Exception]) -> Iterator[None]:
    """Turn the exceptions of ``kinds`` into a `JobError` that says what was being done."""
    try:
        yield
    except kinds as error:
        raise JobError(f"{doing}: {one_line(error)}") from error


def one_line(error: BaseException) -> str:
    """Return the message of ``error`` as one line.

    Examples
    --------
    >>> one_line(ValueError("An error occurred while calling read_csv.\\nOriginal Message: no columns"))
    'no columns'
    """
    text = str(error).partition("Original Message:")[2] or str(error)
    mismatches = re.findall(r"^\| (\S.*?) *\| (\S+) *\| (\S+) *\|$", text, flags=re.MULTILINE)
    if text.startswith("Mismatched dtypes") and len(mismatches) > 1:
        found = (f"column {name!r} holds {got}, its first rows {first}" for name, got, first in mismatches[1:])
        return "; ".join(found)
    return " ".join(text.split()) or type(error).__name__


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint at the names close to ``name``, or at all of a few, to end a message with.

    Examples
    --------
    >>> did_you_mean("prise", ["price", "size", "rooms"])
    "; did you mean 'price'?"
    """
    names = list(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if close:
        return f"; did you mean {' or '.join(repr(match) for match in close)}?"
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"; there are {shown}" if names else ""
