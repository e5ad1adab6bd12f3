"""A report as a picture."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from daskml_kit.partition.report.tables import called

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from daskml_kit.partition.report.report import PartitionReport

SIZE = (5.0, 3.2)
MOST_CLASSES = 10
MIB = 2**20
BESIDE: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1, 1), "fontsize": "x-small"}


def plot(report: PartitionReport) -> Figure:
    """Return a figure with a panel for each part of the report; see `PartitionReport.plot`."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ModuleNotFoundError(
            "plot needs matplotlib, which is not installed: pip install 'daskml_kit[plot]'", name="matplotlib"
        ) from error
    panels = _panels(report)
    n_columns = min(len(panels), 2)
    n_lines = -(-len(panels) // n_columns)
    size = (SIZE[0] * n_columns, SIZE[1] * n_lines)
    figure, grid = pyplot.subplots(n_lines, n_columns, figsize=size, layout="constrained", squeeze=False)
    for axes, draw in zip(grid.flat, panels, strict=False):
        draw(axes)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    pyplot.close(figure)  # it is returned: a notebook would show it twice
    return figure


def _panels(report: PartitionReport) -> list[Callable[[Axes], None]]:
    panels: list[Callable[[Axes], None]] = [partial(_draw_blocks, report)]
    if report.workers is not None:
        panels.append(partial(_draw_workers, report.workers))
    if report.labels is not None:
        panels.append(partial(_draw_labels, report.labels))
    if report.hot_keys is not None:
        panels.append(partial(_draw_keys, report.hot_keys))
    return panels


def _draw_blocks(report: PartitionReport, axes: Axes) -> None:
    blocks = report.blocks
    names = {} if report.workers is None else report.workers["name"]
    codes, workers = pd.factorize(blocks["worker"], sort=True, use_na_sentinel=False)
    for code, worker in enumerate(workers):
        own = blocks[codes == code]
        axes.bar(own.index, own["rows"], width=1, label=None if pd.isna(worker) else _unmarked(names[worker]))
    axes.axhline(blocks["rows"].mean(), color="black", linestyle="--", linewidth=1)
    axes.set(title="rows per block (dashed: mean)", xlabel="block", ylabel="rows")
    if blocks["worker"].notna().any() and len(workers) <= MOST_CLASSES:
        axes.legend(title="worker", **BESIDE)


def _draw_workers(workers: pd.DataFrame, axes: Axes) -> None:
    axes.barh(np.arange(len(workers)), workers["bytes"] / MIB)
    axes.axvline(workers["bytes"].mean() / MIB, color="black", linestyle="--", linewidth=1)
    axes.set_yticks(np.arange(len(workers)), [_unmarked(name) for name in workers["name"]], fontsize="x-small")
    axes.set(title="bytes per worker (dashed: mean)", xlabel="MiB", ylabel="worker")


def _draw_labels(labels: pd.DataFrame, axes: Axes) -> None:
    """Draw the most frequent classes, and the others as one."""
    counts = labels.to_numpy()
    order = np.argsort(-counts.sum(axis=0), kind="stable")
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    bottom = np.zeros(len(labels))
    shown = [(_unmarked(called(labels.columns[i])), shares[:, i]) for i in order[:MOST_CLASSES]]
    if len(order) > MOST_CLASSES:
        shown.append(("others", shares[:, order[MOST_CLASSES:]].sum(axis=1)))
    for name, share in shown:
        axes.bar(labels.index, share, bottom=bottom, width=1, label=name)
        bottom += share
    axes.set(title="class shares per block", xlabel="block", ylabel="share", ylim=(0, 1))
    axes.legend(**BESIDE)


def _draw_keys(hot_keys: pd.DataFrame, axes: Axes) -> None:
    places = np.arange(len(hot_keys))
    axes.barh(places, 100 * hot_keys["share"])
    axes.set_yticks(places, [_unmarked(called(key)) for key in hot_keys.index], fontsize="x-small")
    axes.invert_yaxis()
    axes.set(title="hot keys", xlabel="% of all rows")


def _unmarked(name: str) -> str:
    """Return ``name`` as matplotlib shows it as it is: pairs of dollars would make it a formula."""
    return name.replace("$", r"\$")
