"""Representation of results: one line of text, and a small table in a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any


def as_line(name: str, facts: Mapping[str, Any]) -> str:
    """Return facts about an object on one line.

    Examples
    --------
    >>> as_line("History", {"epochs": 3, "loss": 0.25})
    '<History: epochs 3, loss 0.25>'
    """
    return f"<{name}: {', '.join(f'{fact} {value}' for fact, value in facts.items())}>"


def as_html(
    name: str, facts: Mapping[str, Any], columns: Sequence[str] = (), rows: Iterable[Sequence[Any]] = ()
) -> str:
    """Return facts about an object as a table, above another one of rows.

    Parameters
    ----------
    name : str
        Caption.
    facts : mapping of str to value
    columns : sequence of str, optional
        Heads of the columns of the second table.
    rows : iterable of sequences, optional
        Its cells.

    Examples
    --------
    >>> as_html("Job", {"status": "running"})
    '<table><caption><b>Job</b></caption><tr><th>status</th><td>running</td></tr></table>'
    """
    pairs = "".join(f"<tr><th>{escape(fact)}</th><td>{escape(str(value))}</td></tr>" for fact, value in facts.items())
    text = f"<table><caption><b>{escape(name)}</b></caption>{pairs}</table>"
    if columns:
        head = "".join(f"<th>{escape(column)}</th>" for column in columns)
        cells = ("".join(f"<td>{escape(str(cell))}</td>" for cell in row) for row in rows)
        text += f"<table><tr>{head}</tr>{''.join(f'<tr>{row}</tr>' for row in cells)}</table>"
    return text


def short(value: float) -> str:
    """Return a number with four digits that count.

    Examples
    --------
    >>> short(0.123456), short(12345678.0), short(3)
    ('0.1235', '12,345,678', '3')
    """
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"
