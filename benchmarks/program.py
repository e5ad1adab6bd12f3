"""The command line of a benchmark: which works run, on how many rows, how often, and where the results go."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

from benchmarks.race import Row, table


class Setting(NamedTuple):
    """The share of the rows that is used, how often each contestant runs, and the seed of what is random."""

    scale: float
    repeat: int
    seed: int = 0

    def rows(self, whole: int) -> int:
        return max(int(whole * self.scale), 1_000)


Work: TypeAlias = Callable[[Setting], list[Row]]


def run(works: Mapping[str, Work], description: str | None) -> None:
    """Carry out the works that the command line names, print a table of each, and write them where it says."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the rows")
    parser.add_argument("--only", choices=list(works), action="append", help="run this work only; may be repeated")
    parser.add_argument("--repeat", type=int, default=3, help="times that each contestant runs")
    parser.add_argument("--seed", type=int, default=0, help="seed of what a work draws at random")
    parser.add_argument("--json", metavar="FILE", help="write the rows there too")
    options = parser.parse_args()
    rows: list[Row] = []
    for name in options.only or works:
        found = works[name](Setting(options.scale, options.repeat, options.seed))
        print(table(found), flush=True)
        rows += found
    if options.json:
        with open(options.json, "w") as file:
            json.dump([row.as_dict() for row in rows], file, indent=1)
