"""The command line: ``daskml-kit train DATA --target COLUMN``."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from distributed import Client, LocalCluster

from daskml_kit.cli.errors import JobError, failing
from daskml_kit.cli.table import MODELS, TASKS
from daskml_kit.cli.train_command import MODEL, REPORT, Order, train

CONNECT_SECONDS = 10
BAD_ORDER, INTERRUPTED = 2, 130


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_ORDER, f"daskml-kit: error: {message}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line, and return its exit code: 0, or 2 with one line on the standard error."""
    options = make_parser().parse_args(argv)
    try:
        with _cluster(options.scheduler, options.workers) as where:
            order = Order(
                options.data,
                options.target,
                options.task,
                options.model,
                options.out,
                options.test_size,
                options.seed,
                options.quiet,
                where,
            )
            report = train(order)
    except JobError as error:
        print(f"daskml-kit: error: {error}", file=sys.stderr)
        return BAD_ORDER
    except KeyboardInterrupt:
        print("daskml-kit: interrupted, nothing was saved", file=sys.stderr)
        return INTERRUPTED
    if not options.quiet:
        saved = f"saved         {options.out / MODEL} (a scikit-learn Pipeline) and {options.out / REPORT}"
        _print(f"{report.as_text()}\n\n{saved}")
    return 0


def _print(text: str) -> None:
    """Print ``text``, to no one where the reader, as ``head`` does, has left."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def make_parser() -> argparse.ArgumentParser:
    parser = Parser(prog="daskml-kit", description="Machine learning on Dask, with scikit-learn's answers.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    job = commands.add_parser(
        "train",
        help="train a model on a table, test it, and save it",
        description="Train a model on a table, test it on held-out rows, and save it.",
    )
    job.add_argument(
        "data",
        metavar="DATA",
        help="CSV or Parquet files: a path, glob or URL; or 'flights', those from "
        "New York in 2013, to predict which arrive more than 15 minutes late",
    )
    job.add_argument("--target", metavar="COLUMN", help="the column to predict (flights: late, or arr_delay)")
    job.add_argument("--task", choices=TASKS, help="by default what the target looks like")
    names = "; ".join(f"{task}: {', '.join(models)}" for task, models in MODELS.items())
    job.add_argument("--model", metavar="NAME", help=f"{names}; by default the first")
    where = job.add_mutually_exclusive_group()
    where.add_argument("--scheduler", metavar="ADDRESS", help="a running Dask scheduler, as tcp://host:8786")
    where.add_argument("--workers", metavar="N", type=int, help="start N worker processes; by default threads")
    job.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        default=Path("daskml-kit-model"),
        help="folder for model.joblib and report.json (default: %(default)s)",
    )
    job.add_argument(
        "--test-size",
        metavar="SHARE",
        type=float,
        default=0.25,
        help="share of the rows held out (default: %(default)s)",
    )
    job.add_argument("--seed", metavar="N", type=int, default=0, help="of the split (default: %(default)s)")
    job.add_argument("--quiet", action="store_true", help="no report and no progress bar")
    return parser


@contextmanager
def _cluster(scheduler: str | None, workers: int | None) -> Iterator[str]:
    """Make the cluster that was asked for the current one, and say which it is."""
    if workers is not None:
        if workers < 1:
            raise JobError(f"--workers: expected at least 1, got {workers}")
        settings = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None}
        with LocalCluster(**settings, silence_logs=logging.CRITICAL) as cluster, Client(cluster):
            yield f"on {workers} worker processes"
    elif scheduler is not None:
        with failing(f"--scheduler: cannot reach {scheduler}", OSError, ValueError, TimeoutError):
            Client(scheduler, timeout=CONNECT_SECONDS, set_as_default=False).close()  # one that fails stays the default
        with Client(scheduler):
            yield f"on the cluster at {scheduler}"
    else:
        yield "on this machine's threads"


if __name__ == "__main__":
    sys.exit(main())
