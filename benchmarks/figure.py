"""Figure of README: seconds of chosen works, ours and a peer's, as the tables of docs/benchmarks.md have them.

``python -m benchmarks.figure`` draws ``docs/benchmarks.png`` anew. Nothing is measured here.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

DOCS = Path(__file__).parents[1] / "docs"
CHOSEN = {
    "logistic regression\n1,000,000 x 28": ("`LogisticRegression` on A", "scikit-learn's newton-cholesky"),
    "the same, 10 values of C\non 5 folds": (
        "`LogisticRegression`, 10 values of `C`",
        "scikit-learn's newton-cholesky",
    ),
    "the same behind\na StandardScaler": ("the same behind a `StandardScaler`", "scikit-learn"),
    "a pipeline with categories,\n10 values of C on 5 folds": ("a `ColumnTransformer` of five", "scikit-learn's lbfgs"),
    "categories\n2,000,000 rows": ("categories: a data frame", "glum"),
    "ALS\n900,000 ratings": ("`ALS` of 900,000 ratings", "Spark MLlib"),
    "ROC AUC\n5,000,000 scores": ("`roc_auc_score` of 5,000,000", "scikit-learn"),
    "shuffle\n10,000,000 x 10": ("`random_partition`, 10,000,000", "`DataFrame.shuffle`"),
    "text, 498,824 words\n262,144 features": ("text: English or not", "scikit-learn's liblinear"),
}
"""How rows of the tables begin: their work, which continues where a cell is empty, and the peer."""


class Measured(NamedTuple):
    """Seconds of one row of a table."""

    work: str
    ours: float
    peer: str
    theirs: float
    ratio: str


def measured(page: str) -> list[Measured]:
    r"""Return the rows of all tables that have seconds of both.

    Examples
    --------
    >>> rows = measured("| a fit | 0.5 s | glum: 2 s | 4 |\n| | | scikit-learn: 1 s | 2 |")
    >>> [(row.work, row.ours, row.theirs) for row in rows]
    [('a fit', 0.5, 2.0), ('a fit', 0.5, 1.0)]
    """
    found, work, ours = [], "", ""
    for row in re.findall(r"^\|(.*)\|$", page, re.MULTILINE):
        cells = [cell.strip() for cell in row.split("|")]
        if len(cells) != 4:
            continue
        work, ours = (cells[0], cells[1]) if cells[0] else (work, ours)
        mine, theirs = (re.search(r"([\d.]+) s\b", cell) for cell in (ours, cells[2]))
        if mine and theirs:
            found.append(Measured(work, float(mine[1]), cells[2], float(theirs[1]), cells[3]))
    return found


def draw(rows: dict[str, Measured]) -> Figure:
    """Return the figure: two bars for each work."""
    figure = Figure(figsize=(7.2, 5.2), dpi=100, layout="constrained")
    axes = figure.subplots()
    places = range(len(rows))
    axes.barh([p - 0.2 for p in places], [r.ours for r in rows.values()], 0.36, color="black", label="daskml_kit")
    light = {"color": "0.82", "edgecolor": "0.4", "linewidth": 0.6}
    axes.barh([p + 0.2 for p in places], [r.theirs for r in rows.values()], 0.36, label="peer", **light)
    for place, row in zip(places, rows.values(), strict=True):
        name = row.peer.partition(":")[0].partition(",")[0].strip("`")
        axes.annotate(f" {name}, {row.ratio} x", (row.theirs, place + 0.2), va="center", fontsize=8)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.set(xlim=(0.1, 1_000), yticks=places, yticklabels=rows, xlabel="seconds on two cores (log scale)")
    axes.invert_yaxis()
    axes.tick_params(axis="y", labelsize=8, length=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper right", frameon=False)
    return figure


def chosen_rows() -> dict[str, Measured]:
    """Return the rows to draw, by their labels."""
    rows = measured((DOCS / "benchmarks.md").read_text())
    return {
        label: next(row for row in rows if row.work.startswith(work) and row.peer.startswith(peer))
        for label, (work, peer) in CHOSEN.items()
    }


if __name__ == "__main__":
    draw(chosen_rows()).savefig(DOCS / "benchmarks.png")
