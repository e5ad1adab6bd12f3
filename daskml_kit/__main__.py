"""Command line: ``daskml-kit train DATA --target COLUMN``."""

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

from daskml_kit.cli.errors import JobError, naming_failures
from daskml_kit.cli.model_report import format_report
from daskml_kit.cli.table import MODELS, TASKS
from daskml_kit.cli.train_command import MODEL, REPORT, train

CONNECT_SECONDS = 10
BAD_USAGE, INTERRUPTED = 2, 130


class OneLineParser(argparse.ArgumentParser):
    """Argument parser whose errors take one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_USAGE, f"daskml-kit: error: {message}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; by default those of the process.

    Returns
    -------
    int
        Exit code: 0; 2 after one line on the standard error; 130 after Ctrl-C.

    Examples
    --------
    >>> main(["train", "no-such-file.csv", "--target", "price"])
    2
    """
    options = make_parser().parse_args(argv)
    try:
        with _cluster(options) as where:
            report = train(options, where)
    except JobError as error:
        print(f"daskml-kit: error: {error}", file=sys.stderr)
        return BAD_USAGE
    except KeyboardInterrupt:
        print("daskml-kit: interrupted, nothing was saved", file=sys.stderr)
        return INTERRUPTED
    if not options.quiet:
        saved = f"saved         {options.out / MODEL} (a scikit-learn Pipeline) and {options.out / REPORT}"
        try:
            print(f"{format_report(report)}\n\n{saved}", flush=True)
        except BrokenPipeError:  # the reader, as `head` does, has left
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands and options."""
    parser = OneLineParser(prog="daskml-kit", description="Machine learning on Dask, with scikit-learn's answers.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    does = "train a model on a table, test it on held-out rows, and save it"
    job = commands.add_parser("train", help=does, description=f"{does.capitalize()}.")
    data = (
        "CSV or Parquet files: a path, glob or URL; or 'flights', those from New York in 2013, to predict which "
        "arrive more than 15 minutes late"
    )
    job.add_argument("data", metavar="DATA", help=data)
    job.add_argument("--target", metavar="COLUMN", help="the column to predict (flights: late, or arr_delay)")
    job.add_argument("--task", choices=TASKS, help="by default what the target looks like")
    names = "; ".join(f"{task}: {', '.join(models)}" for task, models in MODELS.items())
    job.add_argument("--model", metavar="NAME", help=f"{names}; by default the first")
    where = job.add_mutually_exclusive_group()
    where.add_argument("--scheduler", metavar="ADDRESS", help="a running Dask scheduler, as tcp://host:8786")
    where.add_argument("--workers", metavar="N", type=int, help="start N worker processes; by default threads")
    out = f"folder for {MODEL} and {REPORT} (default: %(default)s)"
    job.add_argument("--out", metavar="DIR", type=Path, default=Path("daskml-kit-model"), help=out)
    share = "share of the rows held out (default: %(default)s)"
    job.add_argument("--test-size", metavar="SHARE", type=float, default=0.25, help=share)
    job.add_argument("--seed", metavar="N", type=int, default=0, help="of the split (default: %(default)s)")
    job.add_argument("--quiet", action="store_true", help="no report and no progress bar")
    return parser


@contextmanager
def _cluster(options: argparse.Namespace) -> Iterator[str]:
    """Make the cluster that was asked for the current one, and return its description."""
    workers, scheduler = options.workers, options.scheduler
    if workers is not None:
        if workers < 1:
            raise JobError(f"--workers: expected at least 1, got {workers}")
        # port 0: a free one; with None, too, the scheduler would take Dask's own port, 8787, or warn
        settings = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": ":0"}
        with LocalCluster(**settings, silence_logs=logging.CRITICAL) as cluster, Client(cluster):
            if not options.quiet:
                print(f"dashboard     {cluster.dashboard_link}", file=sys.stderr)
            yield f"on {workers} worker processes"
    elif scheduler is not None:
        with naming_failures(f"--scheduler: cannot reach {scheduler}", OSError, ValueError, TimeoutError):
            Client(scheduler, timeout=CONNECT_SECONDS, set_as_default=False).close()  # one that fails stays the default
        with Client(scheduler):
            yield f"on the cluster at {scheduler}"
    else:
        yield "on this machine's threads"


if __name__ == "__main__":
    sys.exit(main())
