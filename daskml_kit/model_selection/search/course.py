"""The course of a search: what came of its fits so far, written down and told."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack

import numpy as np

from daskml_kit.engines.profile import Profile, watching
from daskml_kit.model_selection.search.journal import Journal
from daskml_kit.model_selection.search.outcome import Outcome, Outcomes, Place
from daskml_kit.model_selection.search.plan import Plan
from daskml_kit.model_selection.search.progress import Bar, Progress, listening, tell


class Course(AbstractContextManager["Course"]):
    """Takes outcomes in as they come; those that a checkpoint has are there from the start.

    Parameters
    ----------
    checkpoint : path, optional
    verbose : int
        Above 0 there is a bar.
    leading : str, optional
        The score by which candidates are compared; by default the first.

    Attributes
    ----------
    outcomes : Outcomes
    progress : Progress

    Examples
    --------
    >>> with Course() as course:
    ...     course.begin(Plan(2, [None]))
    ...     course.keep({(0, 0): Outcome({"score": 0.25}), (0, 1): Outcome({"score": 0.75})})
    >>> course.progress.best
    0.5
    """

    def __init__(
        self, checkpoint: str | os.PathLike[str] | None = None, *, verbose: int = 0, leading: str | None = None
    ) -> None:
        self.checkpoint, self.verbose, self.leading = checkpoint, verbose, leading
        self.plan, self.outcomes = Plan(0, []), Outcomes(0, 0)
        self.progress = Progress()
        self._journal: Journal | None = None
        self._stack = ExitStack()

    def begin(self, plan: Plan, fingerprint: Callable[[], str] = str) -> None:
        """Say which fits there are; a checkpoint needs a fingerprint of data, splits and parameters.

        Raises
        ------
        CheckpointError
            Where the checkpoint belongs to something else.
        """
        self.plan, self.outcomes = plan, Outcomes(len(plan.reasons), plan.n_splits)
        self.progress = Progress(of=len(plan.reasons) * plan.n_splits)
        if self.checkpoint is not None:
            self._journal = self._stack.enter_context(Journal(self.checkpoint, fingerprint()))
            self._take_in(self._journal.outcomes)
        if self.verbose:
            self._stack.enter_context(listening(self._stack.enter_context(Bar(self.progress))))
        self._stack.enter_context(watching(self._count_pass))
        tell(self.progress)

    def keep(self, outcomes: Mapping[Place, Outcome]) -> None:
        """Take in what came of fits, together."""
        if self._journal is not None:
            self._journal.write(outcomes)
        self._take_in(outcomes)
        tell(self.progress)

    def missing(self, candidates: Sequence[int]) -> list[int]:
        """Return those of the candidates that are not finished on all splits."""
        if not self.outcomes:
            return list(candidates)
        return [c for c in candidates if not self.outcomes.is_finished(c)]

    def __exit__(self, *details: object) -> None:
        self._stack.close()

    def _take_in(self, outcomes: Mapping[Place, Outcome]) -> None:
        best = self.progress.best
        for (candidate, split), outcome in outcomes.items():
            self.outcomes[candidate, split] = outcome
            if self.outcomes.is_finished(candidate):
                name = self.leading or next(iter(outcome.test), "")
                mean = float(self.outcomes.scores("test", name)[candidate].mean())
                best = mean if best is None or mean > best else best
                best = None if np.isnan(best) else best
        self.progress = self.progress._replace(fits=len(self.outcomes), best=best)

    def _count_pass(self, profile: Profile) -> None:
        self.progress = self.progress._replace(passes=self.progress.passes + 1)
        tell(self.progress)
