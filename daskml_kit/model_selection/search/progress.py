"""Progress of a search, its listeners, and its checkpoint log."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from dask.tokenize import TokenizationError, tokenize

from daskml_kit.activity import note_search
from daskml_kit.arguments import check_folder
from daskml_kit.engines.engine import Profile, watching
from daskml_kit.exceptions import CheckpointError, DamagedFileError
from daskml_kit.files import make_private, opener, sealed, unsealed
from daskml_kit.model_selection.search.cv_results import FitKey, Outcome, Outcomes
from daskml_kit.model_selection.search.search_plan import SearchPlan
from daskml_kit.progress_bar import advance, progress_bar

logger = logging.getLogger(__name__)


class FitProgress(NamedTuple):
    """Progress of a fit.

    Parameters
    ----------
    fits : int
        Fits of candidates on splits that are finished; of adaptive searches, scores.
    of : int, optional
        Number of all fits of a grid or random search.
    passes : int
        Passes over the data.
    best : float, optional
        The best mean score of the candidates that are finished on all splits.

    Examples
    --------
    >>> print(FitProgress(12, 50, 4, 0.875))
    12 of 50 fits, 4 passes, best score 0.875
    >>> print(FitProgress())
    0 fits, 0 passes
    """

    fits: int = 0
    of: int | None = None
    passes: int = 0
    best: float | None = None

    def __str__(self) -> str:
        fits = f"{self.fits} fits" if self.of is None else f"{self.fits} of {self.of} fits"
        best = "" if self.best is None else f", best score {self.best:.6g}"
        return f"{fits}, {self.passes} passes{best}"


Listener = Callable[[FitProgress], None]

_listeners: ContextVar[tuple[Listener, ...]] = ContextVar("listeners", default=())


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Call ``listener`` with the progress of searches in this thread, after each finished fit and each pass.

    Parameters
    ----------
    listener : callable of FitProgress
        An exception that it raises ends the search.
    """
    token = _listeners.set((*_listeners.get(), listener))
    try:
        yield
    finally:
        _listeners.reset(token)


def notify(progress: FitProgress) -> None:
    """Call this thread's listeners.

    Parameters
    ----------
    progress : FitProgress
        New progress.
    """
    note_search(progress.fits, progress.of, progress.best)
    for listener in _listeners.get():
        listener(progress)


def show_progress(bar: Any, progress: FitProgress) -> None:
    """Show finished fits on a progress bar, in a terminal or a notebook."""
    best = None if progress.best is None else f"{progress.best:.6g}"
    advance(bar, progress.fits, passes=progress.passes or None, best=best)


class CheckpointLog(AbstractContextManager["CheckpointLog"]):
    """Checkpoint log: outcomes by (candidate, split), in a file of JSON lines that is only ever added to.

    The first line is the fingerprint of the search. Lines are written whole, each by one system call, so they outlive
    a process that is killed. Each has a checksum: one that was cut off, as by a machine that fails, or is damaged
    otherwise, is dropped, and its fit done again.

    Parameters
    ----------
    folder : path
        Made, for its owner alone, where it does not exist.
    fingerprint : str
        Of the data, splits and parameters that the outcomes belong to.

    Raises
    ------
    CheckpointError
        Where the folder belongs to another search, or its log cannot be read or written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with CheckpointLog(folder, "these data") as log:
    ...         log.write({(0, 2): Outcome({"score": 0.5})})
    ...     with CheckpointLog(folder, "these data") as log:
    ...         log.outcomes[0, 2].test
    {'score': 0.5}
    """

    def __init__(self, folder: str | os.PathLike[str], fingerprint: str) -> None:
        self.path = make_private(folder) / "fits.jsonl"
        try:
            self._file = opener(str(self.path), os.O_RDWR | os.O_CREAT | os.O_APPEND)
        except OSError as error:
            raise CheckpointError(f"checkpoint: {self.path} cannot be opened: {error.strerror}") from error
        try:
            self.outcomes = self._read(fingerprint)
        except BaseException:
            os.close(self._file)
            raise

    def write(self, outcomes: Mapping[FitKey, Outcome]) -> None:
        """Add outcomes, all or none of them."""
        self._append(*(_line(key, outcome) for key, outcome in outcomes.items()))

    def __exit__(self, *details: object) -> None:
        os.close(self._file)

    def _read(self, fingerprint: str) -> dict[FitKey, Outcome]:
        whole, _, rest = self.path.read_bytes().rpartition(b"\n")
        head = {"fingerprint": fingerprint}
        if not whole and sealed(head).startswith(rest):  # nothing, or as much as was written before the machine failed
            os.truncate(self._file, 0)
            self._append(head)
            return {}
        first, *lines = map(unsealed, whole.split(b"\n"))
        if first is None:
            raise DamagedFileError(
                f"checkpoint: {self.path} cannot be read: its first line is damaged, or it is no log of a search; name "
                "another folder, or delete it"
            )
        if first != head:
            raise CheckpointError(
                f"checkpoint: {self.path.parent} holds a search with other data, splits or parameters; name another "
                "folder, or delete this one. Splitters that shuffle and random searches need a random_state, and Dask "
                "collections the same names in both fits, as those read from files have"
            )
        if rest:
            os.truncate(self._file, len(whole) + 1)
        if damaged := [number for number, line in enumerate(lines, 2) if line is None]:
            logger.warning("%s: line %s damaged; their fits are done again", self.path, ", ".join(map(str, damaged)))
        return {(line.pop("candidate"), line.pop("split")): Outcome(**line) for line in lines if line is not None}

    def _append(self, *lines: Mapping[str, Any]) -> None:
        text = b"".join(map(sealed, lines))
        try:
            while text:
                text = text[os.write(self._file, text) :]
        except OSError as error:
            raise CheckpointError(
                f"checkpoint: {self.path} cannot be written: {error.strerror}; the fits that it has are kept, and the "
                "same search goes on from them once there is room"
            ) from error


def _line(key: FitKey, outcome: Outcome) -> dict[str, Any]:
    fields = outcome._asdict()
    del fields["estimator"]
    return {"candidate": key[0], "split": key[1], **fields}


def fingerprint_of(*values: Any) -> str:
    """Return a hash that is the same in other processes: of data in memory by content, of Dask collections by name.

    Parameters
    ----------
    *values : object
        Data, splits and parameters.

    Returns
    -------
    str
        Fingerprint.

    Raises
    ------
    CheckpointError
        Where there is none.
    """
    try:
        return str(tokenize(*values, ensure_deterministic=True))
    except TokenizationError as error:
        raise CheckpointError(f"checkpoint: cannot tell this search from others: {error}") from error


class SearchProgress(AbstractContextManager["SearchProgress"]):
    """Progress of a search: takes in outcomes as they come; those of a checkpoint are there from the start.

    Parameters
    ----------
    checkpoint : path, optional
        Folder of the checkpoint log.
    verbose : int
        Above 0 there is a bar.
    main_score : str, optional
        The score by which candidates are compared; by default the first.

    Attributes
    ----------
    outcomes : Outcomes
    current : FitProgress

    Examples
    --------
    >>> with SearchProgress() as progress:
    ...     progress.begin(SearchPlan(2, [None]))
    ...     progress.keep({(0, 0): Outcome({"score": 0.25}), (0, 1): Outcome({"score": 0.75})})
    >>> progress.current.best
    0.5
    """

    def __init__(
        self, checkpoint: str | os.PathLike[str] | None = None, *, verbose: int = 0, main_score: str | None = None
    ) -> None:
        check_folder(checkpoint)
        self.checkpoint, self.verbose, self.main_score = checkpoint, verbose, main_score
        self.plan, self.outcomes = SearchPlan(0, []), Outcomes(0, 0)
        self.current = FitProgress()
        self._log: CheckpointLog | None = None
        self._stack = ExitStack()

    def begin(self, plan: SearchPlan, fingerprint: Callable[[], str] = str) -> None:
        """Begin with the plan of all fits; a checkpoint needs a fingerprint of data, splits and parameters.

        Raises
        ------
        CheckpointError
            Where the checkpoint belongs to something else.
        """
        self.plan, self.outcomes = plan, Outcomes(len(plan.reasons), plan.n_splits)
        self.current = FitProgress(of=len(plan.reasons) * plan.n_splits)
        if self.checkpoint is not None:
            self._log = self._stack.enter_context(CheckpointLog(self.checkpoint, fingerprint()))
            self._take_in(self._log.outcomes)
        if self.verbose:
            bar = progress_bar("search", "fit", self.current.of, initial=self.current.fits)
            self._stack.enter_context(listening(partial(show_progress, self._stack.enter_context(bar))))
        self._stack.enter_context(watching(self._count_pass))
        note_search(self.current.fits, self.current.of, self.current.best, plan.n_splits)
        notify(self.current)

    def keep(self, outcomes: Mapping[FitKey, Outcome]) -> None:
        """Take in the outcomes of fits, together."""
        if self._log is not None:
            self._log.write(outcomes)
        self._take_in(outcomes)
        notify(self.current)

    def missing(self, candidates: Sequence[int]) -> list[int]:
        """Return those of the candidates that are not finished on all splits."""
        if not self.outcomes:
            return list(candidates)
        return [c for c in candidates if not self.outcomes.is_finished(c)]

    def __exit__(self, *details: object) -> None:
        self._stack.close()

    def _take_in(self, outcomes: Mapping[FitKey, Outcome]) -> None:
        best = self.current.best
        for (candidate, split), outcome in outcomes.items():
            self.outcomes[candidate, split] = outcome
            if self.outcomes.is_finished(candidate):
                name = self.main_score or next(iter(outcome.test), "")
                mean = float(self.outcomes.scores("test", name)[candidate].mean())
                best = mean if best is None or mean > best else best
                best = None if np.isnan(best) else best
        self.current = self.current._replace(fits=len(self.outcomes), best=best)

    def _count_pass(self, profile: Profile) -> None:
        self.current = self.current._replace(passes=self.current.passes + 1)
        notify(self.current)
