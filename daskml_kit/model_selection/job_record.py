"""Record of a job in a file beside its checkpoint, from which the job goes on after its scheduler was lost."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import cloudpickle
from distributed import futures_of
from sklearn import get_config

from daskml_kit.data.collections import is_dask
from daskml_kit.exceptions import CheckpointError, DamagedFileError
from daskml_kit.files import check_trusted, make_private, open_file, write_file


class JobRecord(NamedTuple):
    """Record of a job: all that it takes to submit it again.

    Parameters
    ----------
    name : str
    estimator : estimator or search
    inputs : mapping of str to object
        Arguments of its ``fit``, Dask collections as their graphs; without those ``lost``.
    config : mapping
        Settings of scikit-learn.
    lost : sequence of str
        Names of the data that were persisted: a cluster takes them with it.
    """

    name: str
    estimator: Any
    inputs: Mapping[str, Any]
    config: Mapping[str, Any]
    lost: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, estimator: Any, inputs: Mapping[str, Any]) -> JobRecord:
        """Return the record of a job under the settings of this thread."""
        lost = tuple(name for name, value in inputs.items() if is_dask(value) and futures_of(value))
        kept = {name: value for name, value in inputs.items() if name not in lost}
        return cls(name, estimator, kept, get_config(), lost)

    def write(self, checkpoint: str | os.PathLike[str]) -> None:
        """Write the record beside a checkpoint; the folder itself is made by the worker that needs it.

        Raises
        ------
        CheckpointError
            Where it cannot be written.
        """
        path = record_path(checkpoint)
        make_private(path.parent)
        write_file(path, lambda file: cloudpickle.dump(tuple(self), file), durable=True)


def record_path(checkpoint: str | os.PathLike[str]) -> Path:
    """Return the path of the record of the job that has a checkpoint.

    Examples
    --------
    >>> record_path("/data/search/").as_posix()
    '/data/search.job'
    """
    return Path(f"{os.path.abspath(checkpoint)}.job")


def read_record(checkpoint: str | os.PathLike[str]) -> JobRecord:
    """Return the record of the job that has a checkpoint.

    Raises
    ------
    CheckpointError
        Where there is none, or it is damaged.
    UntrustedFileError
        Where another user could have written it, as it is unpickled.
    """
    path = record_path(checkpoint)
    try:
        with open_file(path) as file:
            check_trusted(path, file)
            record = JobRecord(*cloudpickle.load(file))
    except FileNotFoundError:
        raise CheckpointError(f"checkpoint: there is no {path}, as of a job that was submitted with it") from None
    except DamagedFileError as error:
        raise DamagedFileError(f"checkpoint: {error}; submit the job again, and it goes on") from error
    return record
