"""Command line: ``daskml-kit train DATA --target COLUMN``, ``daskml-kit predict MODEL DATA --out FILE``."""

from __future__ import annotations

import argparse
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import dask
from distributed import Client, LocalCluster

from daskml_kit.cli.errors import JobError, naming_failures
from daskml_kit.cli.model_report import format_report
from daskml_kit.cli.predict_command import predict
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
            text = COMMANDS[options.command](options, where)
    except JobError as error:
        print(f"daskml-kit: error: {error}", file=sys.stderr)
        return BAD_USAGE
    except KeyboardInterrupt:
        print("daskml-kit: interrupted, nothing was saved", file=sys.stderr)
        return INTERRUPTED
    if not options.quiet:
        try:
            print(text, flush=True)
        except BrokenPipeError:  # the reader, as `head` does, has left
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _train(options: argparse.Namespace, where: str) -> str:
    report = format_report(train(options, where))
    return f"{report}\n\nsaved         {options.out / MODEL} (a scikit-learn Pipeline) and {options.out / REPORT}"


def _predict(options: argparse.Namespace, where: str) -> str:
    predict(options)
    return f"saved         {options.out}, {where}"


COMMANDS = {"train": _train, "predict": _predict}


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
    for role, use in (("numeric", "use as numbers"), ("categorical", "use as categories"), ("drop", "do not use")):
        _add_columns(job, role, f"columns to {use}, with commas; by default what they look like")
    out = f"folder for {MODEL} and {REPORT} (default: %(default)s)"
    job.add_argument("--out", metavar="DIR", type=Path, default=Path("daskml-kit-model"), help=out)
    share = "share of the rows held out (default: %(default)s)"
    job.add_argument("--test-size", metavar="SHARE", type=float, default=0.25, help=share)
    job.add_argument("--seed", metavar="N", type=int, default=0, help="of the split (default: %(default)s)")
    _add_places(job)
    _add_predict(commands)
    return parser


def _add_predict(commands: Any) -> None:
    does = "write a saved model's predictions for the rows of a table"
    job = commands.add_parser("predict", help=does, description=f"{does.capitalize()}.")
    job.add_argument(
        "model", metavar="MODEL", type=Path, help="folder that 'daskml-kit train' wrote, or its model.joblib"
    )
    job.add_argument("data", metavar="DATA", help="CSV or Parquet files: a path, glob or URL; or 'flights'")
    job.add_argument("--out", metavar="FILE", type=Path, required=True, help="new .csv file, or .parquet folder")
    job.add_argument("--proba", action="store_true", help="a column for the probability of each class, too")
    _add_columns(job, "keep", "columns of DATA to write beside, with commas")
    _add_places(job)


def _add_columns(job: argparse.ArgumentParser, role: str, text: str) -> None:
    def names(given: str) -> tuple[str, ...]:
        return tuple(name.strip() for name in given.split(",") if name.strip())

    job.add_argument(f"--{role}", metavar="COLUMNS", type=names, default=(), help=text)


def _add_places(job: argparse.ArgumentParser) -> None:
    where = job.add_mutually_exclusive_group()
    place = "a running Dask scheduler, as tcp://host:8786, or its scheduler file; by default DASK_SCHEDULER_ADDRESS"
    where.add_argument("--scheduler", metavar="ADDRESS", help=place)
    where.add_argument("--workers", metavar="N", type=int, help="start N worker processes; by default threads")
    job.add_argument("--quiet", action="store_true", help="no report and no progress bar")


@contextmanager
def _cluster(options: argparse.Namespace) -> Iterator[str]:
    """Make the cluster that was asked for the current one, and return its description."""
    workers, scheduler = options.workers, options.scheduler
    if workers is None and scheduler is None:
        scheduler = dask.config.get("scheduler-address", None)
    if workers is not None:
        if workers < 1:
            raise JobError(f"--workers: expected at least 1, got {workers}")
        # port 0: a free one; with None, too, the scheduler would take Dask's own port, 8787, or warn
        settings = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": ":0"}
        with _uninterrupted():
            local = LocalCluster(**settings, silence_logs=logging.CRITICAL)
        with local as cluster, Client(cluster):
            if not options.quiet:
                print(f"dashboard     {cluster.dashboard_link}", file=sys.stderr)
            yield f"on {workers} worker processes"
    elif scheduler is not None:
        address = _address(scheduler)
        with naming_failures(f"--scheduler: cannot reach {scheduler}", OSError, ValueError, TimeoutError):
            Client(**address, timeout=CONNECT_SECONDS, set_as_default=False).close()  # one that fails stays the default
        with Client(**address):
            yield f"on the cluster at {scheduler}"
    else:
        yield "on this machine's threads"


def _address(scheduler: str) -> dict[str, str]:
    """Return how a client finds a scheduler; Dask takes 20 s to give up an address that is none."""
    if Path(scheduler).is_file():
        return {"scheduler_file": scheduler}
    if not re.fullmatch(r"(\w+://)?.+:\d+|\w+://.+", scheduler):
        raise JobError(f"--scheduler: cannot reach {scheduler}: expected tcp://host:8786, or a scheduler file")
    return {"address": scheduler}


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Start processes that ignore Ctrl-C, which a terminal sends to them, too: it is this one's to end them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


if __name__ == "__main__":
    sys.exit(main())
