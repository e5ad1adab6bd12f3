"""Commands of the command line and their options, as click parses them; `__main__` runs what they name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeVar

import click

from daskml_kit.cli.columns import ROLES
from daskml_kit.cli.job_commands import collect_job, show_jobs, submit_training
from daskml_kit.cli.models import MODELS, TASKS
from daskml_kit.cli.saved_model import evaluate, predict
from daskml_kit.cli.table_commands import describe_table, partition_table
from daskml_kit.cli.train_command import MODEL, REPORT, train

Command = TypeVar("Command", bound=Callable[..., Any])
DATA = "CSV or Parquet files: a path, glob or URL; or 'flights', those from New York in 2013"
ROLE_HELP = {
    "numeric": "to use as numbers",
    "categorical": "to use as categories",
    "text": "of words to count (TF-IDF)",
    "drop": "not to use",
}


class Order(NamedTuple):
    """Function of a command, which returns its text for the standard output, and its options."""

    run: Callable[[SimpleNamespace, str], str]
    options: SimpleNamespace


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}, epilog=f"DATA: {DATA}."
)
def commands() -> None:
    """Machine learning on Dask, with scikit-learn's answers."""


def _grouped(*options: Callable[[Any], Any]) -> Callable[[Command], Command]:
    """Return one decorator for several options, in their order."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def _names(context: click.Context, parameter: click.Parameter, given: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in given.split(",") if name.strip())


def _columns(name: str, text: str) -> Callable[[Any], Any]:
    return click.option(f"--{name}", metavar="COLUMNS", default="", callback=_names, help=text)


_PATH = click.Path(path_type=Path)
_data = click.argument("data")
_model = click.argument("model", type=_PATH)
_target = click.option("--target", metavar="COLUMN", help="The column to predict (flights: late, or arr_delay).")
_scheduler = click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="A running Dask scheduler, as tcp://host:8786, or its scheduler file; by default DASK_SCHEDULER_ADDRESS.",
)
_quiet = click.option("--quiet", is_flag=True, help="No report and no progress bar.")
_places = _grouped(
    _scheduler,
    click.option("--workers", metavar="N", type=int, help="Start N worker processes; by default threads."),
    click.option("--mpi", is_flag=True, help="Run on the ranks of mpiexec: a scheduler, this command, workers."),
    _quiet,
)
_training = _grouped(
    _data,
    _target,
    click.option("--task", type=click.Choice(TASKS), help="By default what the target looks like."),
    click.option(
        "--model",
        metavar="NAME",
        help="; ".join(f"{task}: {', '.join(models)}" for task, models in MODELS.items()) + "; by default the first.",
    ),
    *(_columns(role, f"Columns {ROLE_HELP[role]}, with commas; by default what they look like.") for role in ROLES),
    click.option("--test-size", metavar="SHARE", default=0.25, show_default=True, help="Share of rows held out."),
    click.option("--seed", metavar="N", default=0, show_default=True, help="Seed of the split, folds and model."),
)
_out_folder = click.option(
    "--out",
    metavar="DIR",
    type=_PATH,
    default=Path("daskml-kit-model"),
    show_default=True,
    help=f"Folder for {MODEL} and {REPORT}.",
)
_grid = _grouped(
    click.option(
        "--grid", metavar="NAME=VALUES", multiple=True, help="Values of a parameter, as C=0.1,1,10; may come again."
    ),
    click.option("--grid-file", metavar="TOML", type=_PATH, help="A file of lines such as C = [0.1, 1, 10]."),
    click.option("--folds", metavar="N", default=5, show_default=True, help="Folds of the cross-validation."),
    click.option("--scoring", metavar="NAME", help="Score to choose by, as roc_auc; by default the model's own."),
)
NO_OTHER_PLACE: dict[str, Any] = {"workers": None, "mpi": False}
NO_GRID: dict[str, Any] = {"grid": (), "grid_file": None, "folds": None, "scoring": None}


@commands.command("train")
@_training
@_out_folder
@_places
def _train(**given: Any) -> Order:
    """Train a model on a table, test it on held-out rows, and save it."""
    return Order(train, SimpleNamespace(**given, **NO_GRID))


@commands.command("search")
@_training
@_grid
@_out_folder
@_places
def _search(**given: Any) -> Order:
    """Train with the best parameters of a grid, found by cross-validation on the rows to train."""
    if not given["grid"] and given["grid_file"] is None:
        raise click.UsageError("--grid: expected NAME=VALUES, as C=0.1,1,10, or a --grid-file")
    return Order(train, SimpleNamespace(**given))


@commands.command("predict")
@_model
@_data
@click.option("--out", metavar="FILE", type=_PATH, required=True, help="New .csv file, or .parquet folder.")
@click.option("--proba", is_flag=True, help="A column for the probability of each class, too.")
@_columns("keep", "Columns of DATA to write beside, with commas.")
@_places
def _predict(**given: Any) -> Order:
    """Write the predictions of a saved model for the rows of a table.

    MODEL is a folder that 'daskml-kit train' wrote, or its model.joblib.
    """
    return Order(predict, SimpleNamespace(**given))


@commands.command("evaluate")
@_model
@_data
@_target
@_places
def _evaluate(**given: Any) -> Order:
    """Score a saved model on the rows of a table."""
    return Order(evaluate, SimpleNamespace(**given))


@commands.command("describe")
@_data
@_places
def _describe(**given: Any) -> Order:
    """Describe the columns of a table: types, missing and distinct values, quantiles, frequent values."""
    return Order(describe_table, SimpleNamespace(**given))


@commands.command("partition")
@_data
@_columns("by", "Columns whose equal values go to one block, with commas; by default rows are shuffled.")
@click.option("--labels", metavar="COLUMN", help="Classes whose shares in the blocks are told.")
@click.option("--npartitions", metavar="N", type=int, help="Blocks to write; by default as many as there are.")
@click.option("--out", metavar="DIR", type=_PATH, help="New folder for the table as Parquet; by default only a report.")
@click.option("--seed", metavar="N", default=0, show_default=True, help="Seed of the shuffle.")
@_places
def _partition(**given: Any) -> Order:
    """Report how the rows of a table lie in blocks, or write it shuffled or hash-partitioned."""
    return Order(partition_table, SimpleNamespace(**given))


@commands.command("submit")
@_training
@_grid
@click.option("--name", metavar="JOB", required=True, help="Name to find the job by.")
@_scheduler
@_quiet
def _submit(**given: Any) -> Order:
    """Train as 'train' and 'search' do, in a job that goes on on the cluster when this command ends."""
    return Order(submit_training, SimpleNamespace(**given, **NO_OTHER_PLACE, out=None))


@commands.command("attach")
@click.argument("name")
@_out_folder
@_scheduler
@_quiet
def _attach(**given: Any) -> Order:
    """Wait for a submitted job, and save its model."""
    return Order(collect_job, SimpleNamespace(**given, **NO_OTHER_PLACE))


@commands.command("jobs")
@click.option("--cancel", metavar="JOB", multiple=True, help="End a job.")
@click.option("--forget", metavar="JOB", multiple=True, help="End a job, and let its name and result go.")
@_scheduler
@_quiet
def _jobs(**given: Any) -> Order:
    """List the jobs of a cluster, with their status and progress."""
    return Order(show_jobs, SimpleNamespace(**given, **NO_OTHER_PLACE))
