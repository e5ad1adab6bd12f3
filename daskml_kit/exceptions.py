"""The exceptions a user of daskml_kit can meet, beside scikit-learn's own."""

from __future__ import annotations


class DataError(ValueError):
    """The data cannot be used; the message names the argument and the block where it was found."""


class AsynchronousClientError(RuntimeError):
    """A synchronous call was made under an asynchronous Dask client, where it would never return."""


class NoWorkersError(TimeoutError):
    """No worker joined the cluster in the time that the Dask setting ``daskml-kit.wait-for-workers`` gives."""


class MissingModuleError(ImportError):
    """The cluster lacks a module that the client has, and that a fit needs there, or has it in another version."""


class LostSchedulerError(ConnectionError):
    """The connection to the scheduler of a cluster was lost; the message names the checkpoint, if there is one."""


class LostDataError(RuntimeError):
    """Data that cannot be computed again was lost with its worker."""


class CheckpointError(RuntimeError):
    """A checkpoint belongs to other data or other parameters, or cannot be read or written."""


class DamagedFileError(CheckpointError):
    """A file was cut off, or changed since it was written; the message names it."""


class UntrustedFileError(PermissionError):
    """A file that another user wrote, or could have written, would have to be unpickled; the message names it."""


class ConversionError(ValueError):
    """A model has a part that scikit-learn has no counterpart of; the message names it."""


class StaleEpochError(RuntimeError):
    """A parameter server was addressed, or spoke, as what it is no longer."""


class LostServerError(RuntimeError):
    """Parameters were lost with all workers that held them; the message names the last snapshot."""


class NotShared(Exception):
    """A fit needs more than reductions that it can share with other fits; the message says why."""
