"""A report as HTML, for Jupyter."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from daskml_kit.partition.report.advice import advice
from daskml_kit.partition.report.tables import Table, headlines, tables

if TYPE_CHECKING:
    from daskml_kit.partition.report.report import PartitionReport


MOST_BARS = 128
HEIGHT = 60
COLOUR = "#4c78a8"


def as_html(report: PartitionReport) -> str:
    """Return the report as HTML that stands alone: a bar for the rows of each block, and tables with bars."""
    total, *others = headlines(report)
    parts = [f"<p><b>{escape(total)}</b><br>{'<br>'.join(escape(line) for line in others)}</p>", _strip(report)]
    parts += [_table(table) for table in tables(report)]
    problems = advice(report)
    if problems:
        parts.append("<ul>" + "".join(f"<li>{escape(line)}</li>" for line in problems) + "</ul>")
    return f"<div>{''.join(parts)}</div>"


def _strip(report: PartitionReport) -> str:
    """Return a bar for each block; of very many blocks, one for the fullest of some neighbors."""
    rows = report.blocks["rows"].to_numpy()
    runs = np.array_split(rows, min(len(rows), MOST_BARS))
    heights = [HEIGHT * run.max() / max(rows.max(), 1) for run in runs]
    bars = "".join(
        f'<rect x="{5 * i}" y="{HEIGHT - height:.1f}" width="4" height="{height:.1f}" fill="{COLOUR}"/>'
        for i, height in enumerate(heights)
    )
    return (
        f'<svg width="{5 * len(runs)}" height="{HEIGHT}" role="img"><title>rows per block</title>'
        f'{bars}<path d="M0 {HEIGHT}H{5 * len(runs)}" stroke="currentColor"/></svg>'
    )


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in table.header)
    lines = []
    for cells, bar in zip(table.lines, table.bars, strict=True):
        first, *others = (escape(cell) for cell in cells)
        row = f'<td style="text-align:left">{first}</td>' + "".join(f"<td>{cell}</td>" for cell in others)
        width = f"width:{100 * min(bar, 1):.0f}px;height:0.8em;background:{COLOUR}"
        lines.append(f'<tr>{row}<td><div style="{width}"></div></td></tr>')
    return f"<table><thead><tr>{head}<th></th></tr></thead><tbody>{''.join(lines)}</tbody></table>"


def as_text(report: PartitionReport) -> str:
    """Return the report in lines, each of its problems behind an exclamation mark."""
    parts = [
        headlines(report),
        *(_aligned(table) for table in tables(report)),
        [f"! {line}" for line in advice(report)],
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def _aligned(table: Table) -> list[str]:
    every = [table.header, *table.lines]
    widths = [max(len(line[column]) for line in every) for column in range(len(table.header))]
    lines = []
    for first, *others in every:
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return lines
