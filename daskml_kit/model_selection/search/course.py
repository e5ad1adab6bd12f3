"""The course of a search: what came of its fits so far, written down and told."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack

import numpy as np

from daskml_kit.engines.profile import Profile, watching
from daskml_kit.model_selection.search.journal import Journal, Place
from daskml_kit.model_selection.search.outcome import Outcome
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
    outcomes : dict
        By (candidate, split).
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
        self.outcomes: dict[Place, Outcome] = {}
        self.progress = Progress()
        self.plan = Plan(0, [])
        self._open: dict[int, dict[int, float]] = {}
        self._journal: Journal | None = None
        self._stack = ExitStack()

    def begin(self, plan: Plan, fingerprint: Callable[[], str] = str) -> None:
        """Say which fits there are; a checkpoint needs a fingerprint of data, splits and parameters.

        Raises
        ------
        CheckpointError
            Where the checkpoint belongs to something else.
        """
        self.plan = plan
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
        return [c for c in candidates if any((c, s) not in self.outcomes for s in range(self.plan.n_splits))]

    def finished(self) -> tuple[list[int], dict[Place, Outcome]]:
        """Return the candidates that are finished on all splits, and their outcomes, by their places in this list."""
        n_splits = self.plan.n_splits
        numbers = [c for c in sorted({c for c, _ in self.outcomes}) if not self.missing([c])]
        places = {(place, s): self.outcomes[c, s] for place, c in enumerate(numbers) for s in range(n_splits)}
        return numbers, places

    def __exit__(self, *details: object) -> None:
        self._stack.close()

    def _take_in(self, outcomes: Mapping[Place, Outcome]) -> None:
        self.outcomes.update(outcomes)
        best = self.progress.best
        for (candidate, split), outcome in outcomes.items():
            scores = self._open.setdefault(candidate, {})
            scores[split] = self._score(outcome)
            if len(scores) == self.plan.n_splits:
                mean = float(np.mean([*self._open.pop(candidate).values()]))
                best = mean if best is None or mean > best else best
                best = None if np.isnan(best) else best
        self.progress = self.progress._replace(fits=len(self.outcomes), best=best)

    def _score(self, outcome: Outcome) -> float:
        name = self.leading or next(iter(outcome.test), "")
        return outcome.test.get(name, np.nan)

    def _count_pass(self, profile: Profile) -> None:
        self.progress = self.progress._replace(passes=self.progress.passes + 1)
        tell(self.progress)
