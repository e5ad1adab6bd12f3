"""Errors that the user of the command line can mend, each in one line."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class JobError(Exception):
    """Failure of a command; the message is one line for the user of the command line."""


@contextmanager
def naming_failures(doing: str, *kinds: type[Exception]) -> Iterator[None]:
    """Turn exceptions of ``kinds`` into a `JobError` that begins with ``doing``."""
    try:
        yield
    except kinds as error:
        raise JobError(f"{doing}: {one_line(error)}") from error


def one_line(error: BaseException) -> str:
    """Return the message of an exception as one line.

    Examples
    --------
    >>> one_line(ValueError("An error occurred while calling read_csv.\\nOriginal Message: no columns"))
    'no columns'
    """
    text = str(error).partition("Original Message:")[2] or str(error)
    mismatches = re.findall(r"^\| (\S.*?) *\| (\S+) *\| (\S+) *\|$", text, flags=re.MULTILINE)
    if text.startswith("Mismatched dtypes") and len(mismatches) > 1:
        return "; ".join(f"column {name!r} holds {got}, its first rows {first}" for name, got, first in mismatches[1:])
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
    return f"; there are {shortened(names)}" if names else ""


def shortened(names: Iterable[object], most: int = 12) -> str:
    """Return the first names, with the number of all where some are left out.

    Examples
    --------
    >>> shortened("abcd", most=2)
    'a, b, ... (4)'
    """
    texts = [str(name) for name in names]
    return ", ".join(texts[:most]) + (f", ... ({len(texts)})" if len(texts) > most else "")
