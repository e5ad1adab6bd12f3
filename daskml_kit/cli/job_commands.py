"""Submit, attach and jobs commands: trainings that go on on a cluster when the command that began them ends."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Self

import pandas as pd
from distributed import CancelledError, default_client

from daskml_kit.cli.errors import JobError, naming_failures
from daskml_kit.cli.model_report import format_report
from daskml_kit.cli.train_command import check_options, check_out, save, saved_line, train_model
from daskml_kit.exceptions import LostDataError
from daskml_kit.model_selection import Job, attach, list_jobs, submit


class TableTraining:
    """Training of the command line as an estimator, for a job; its result is the model and the report.

    Parameters
    ----------
    options : SimpleNamespace
        Arguments of ``daskml-kit submit``.
    grid : dict of lists
        Values of the model's parameters, read where the command runs: its files need not be on the worker.
    where : str
        Description of the cluster.
    """

    def __init__(self, options: SimpleNamespace, grid: dict[str, list[Any]], where: str) -> None:
        self.options, self.grid, self.where = options, grid, where

    def fit(self, X: str) -> Self:
        """Train on the table that ``X`` names."""
        self.model, self.report = train_model(
            SimpleNamespace(**{**vars(self.options), "data": X}), self.grid, self.where
        )
        return self


def submit_training(options: SimpleNamespace, where: str) -> str:
    """Submit a training as a job of the cluster.

    Parameters
    ----------
    options : SimpleNamespace
        Arguments of ``daskml-kit submit``.
    where : str
        Description of the cluster.

    Returns
    -------
    str
        Line that tells how to go on.

    Raises
    ------
    JobError
        Where there is no cluster that outlives the command, or a job of that name.
    """
    _require_cluster()
    grid = check_options(options)
    with naming_failures("cannot submit", ValueError):
        job = submit(TableTraining(options, grid, where), options.data, name=options.name)
    return f"submitted     {job.name}, {where}; 'daskml-kit attach {job.name}' saves its model"


def collect_job(options: SimpleNamespace, where: str) -> str:
    """Wait for a job, save its model, and return its report as text.

    Parameters
    ----------
    options : SimpleNamespace
        Arguments of ``daskml-kit attach``.
    where : str
        Description of the cluster.

    Returns
    -------
    str
        The report, as ``daskml-kit train`` gives it.

    Raises
    ------
    JobError
        Where there is no such job, it has failed, or its model cannot be saved.
    """
    _require_cluster()
    check_out(options.out)
    with naming_failures(f"job {options.name!r}", ValueError, CancelledError, LostDataError):
        trained = attach(options.name).result()
    if not isinstance(trained, TableTraining):
        raise JobError(f"job {options.name!r} is no 'daskml-kit submit', but a {type(trained).__name__} of attach()")
    save(options.out, trained.model, trained.report)
    return f"{format_report(trained.report)}\n\n{saved_line(options.out)}"


def show_jobs(options: SimpleNamespace, where: str) -> str:
    """Return the jobs of a cluster as text, after those named have been canceled or forgotten.

    Parameters
    ----------
    options : SimpleNamespace
        Arguments of ``daskml-kit jobs``.
    where : str
        Description of the cluster.

    Returns
    -------
    str
        A line for each job.

    Raises
    ------
    JobError
        Where there is no such job.
    """
    _require_cluster()
    for names, end in ((options.cancel, Job.cancel), (options.forget, Job.forget)):
        for name in names:
            with naming_failures("cannot end a job", ValueError, LookupError):
                end(attach(name))
    rows = [_row(job) for job in list_jobs()]
    return pd.DataFrame(rows).to_string(index=False) if rows else f"no jobs {where}"


def _row(job: Job) -> dict[str, Any]:
    return {"job": job.name, "status": job.status(), "progress": str(job.progress())}


def _require_cluster() -> None:
    try:
        default_client()
    except ValueError as error:
        raise JobError(
            "--scheduler: expected the address of a running Dask scheduler, or its scheduler file"
        ) from error
