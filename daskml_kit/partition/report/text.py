"""A report as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daskml_kit.partition.report.advice import advice
from daskml_kit.partition.report.tables import Table, headlines, tables

if TYPE_CHECKING:
    from daskml_kit.partition.report.balance import PartitionReport


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
