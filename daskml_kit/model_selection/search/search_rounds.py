"""Rounds of a search: candidates that its ``_run_search`` asks for, one set after the other, and all their results."""

from __future__ import annotations

import os
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.model_selection import ParameterGrid

from daskml_kit.model_selection.search.cv_results import fill_failures, tabulate
from daskml_kit.model_selection.search.evaluate import Evaluation, evaluate, names_of
from daskml_kit.model_selection.search.progress import SearchProgress
from daskml_kit.model_selection.search.search_plan import EvaluationSpec, RoutedParams
from daskml_kit.model_selection.splits.folds import Folds


class SearchRounds:
    """Candidates of a search that were evaluated so far, on the same splits in each round.

    Parameters
    ----------
    spec : EvaluationSpec
        Its candidates are those of the rounds.
    X, y : as in `daskml_kit.model_selection.GridSearchCV.fit`
    cv : as in `daskml_kit.model_selection.search.evaluate.folds_of`
    params : RoutedParams
    checkpoint : path, optional
        Folder of the first round's checkpoint log; those of further rounds are in folders inside.
    new_progress : callable of a path or None
        Makes the progress of a round.

    Attributes
    ----------
    candidates : sequence of mappings
    found : Evaluation or None
        Outcomes of all rounds; None before the first.
    results : dict
        ``cv_results_`` of all rounds.
    """

    def __init__(
        self,
        spec: EvaluationSpec,
        X: Any,
        y: Any,
        cv: Any,
        params: RoutedParams,
        checkpoint: str | os.PathLike[str] | None,
        new_progress: Callable[[str | os.PathLike[str] | None], SearchProgress],
    ) -> None:
        self.spec, self.X, self.y, self.cv, self.params = spec, X, y, cv, params
        self.checkpoint, self.new_progress = checkpoint, new_progress
        self.candidates: Sequence[Mapping[str, Any]] = ()
        self.found: Evaluation | None = None
        self.results: dict[str, Any] = {}
        self._more: dict[str, list[Any]] = defaultdict(list)
        self._n_rounds = 0

    def evaluate(
        self,
        candidate_params: Iterable[Mapping[str, Any]],
        cv: Any = None,
        more_results: Mapping[str, Sequence[Any]] | None = None,
    ) -> dict[str, Any]:
        """Evaluate more candidates, and return ``cv_results_`` of all so far: what ``_run_search`` is called with.

        Parameters
        ----------
        candidate_params : iterable of mappings
        cv : optional
            Splits of this round in place of the search's, as many.
        more_results : mapping of lists, optional
            Columns of the results, with a value for each of these candidates.

        Raises
        ------
        ValueError
            As `daskml_kit.model_selection.search.evaluate.evaluate`; or where ``cv`` makes another number of splits.
        """
        candidates: Any = candidate_params
        if not isinstance(candidates, (Sequence, ParameterGrid)):  # a grid of millions stays one
            candidates = list(candidates)
        spec = self.spec._replace(candidates=candidates)
        progress = self.new_progress(self._folder())
        self._n_rounds += 1
        try:
            found = evaluate(spec, self.X, self.y, self.cv if cv is None else cv, self.params, progress)
        except KeyboardInterrupt:
            self._keep_finished(spec, progress)
            raise
        if cv is None:
            self.cv = found.folds  # a splitter without seed would make others in the next round
        for name, values in (more_results or {}).items():
            self._more[name].extend(values)
        self._add(spec.candidates, found)
        return self.results

    def _folder(self) -> str | os.PathLike[str] | None:
        if self.checkpoint is None or self._n_rounds == 0:
            return self.checkpoint
        return Path(self.checkpoint) / f"round-{self._n_rounds}"

    def _add(self, candidates: Sequence[Mapping[str, Any]], found: Evaluation) -> None:
        if self.found is not None:
            before, n = self.found, len(self.candidates)
            if found.plan.n_splits != before.plan.n_splits:
                raise ValueError(f"cv: expected {before.plan.n_splits} splits in each round, got {found.plan.n_splits}")
            found = before._replace(
                outcomes=before.outcomes.followed_by(found.outcomes),
                whole={**before.whole, **{n + number: model for number, model in found.whole.items()}},
                plan=before.plan._replace(reasons=[*before.plan.reasons, *found.plan.reasons]),
            )
            candidates = [*self.candidates, *candidates]
        self.candidates, self.found = candidates, found
        more = {name: np.asarray(values) for name, values in self._more.items()}
        self.results = {**more, **tabulate(candidates, found.outcomes, found.names, self.spec.with_train)}

    def _keep_finished(self, spec: EvaluationSpec, progress: SearchProgress) -> None:
        """Add the candidates of an interrupted round that are finished on all splits, if there is a score."""
        numbers = progress.outcomes.finished().tolist()
        outcomes = progress.outcomes.of(numbers)
        of = f"{len(numbers)} of {len(spec.candidates)} candidates"
        warnings.warn(f"interrupted: cv_results_ has the {of} that were finished on all splits", stacklevel=6)
        if len(outcomes.errors) == len(outcomes):
            return
        names = names_of(spec, outcomes)
        fill_failures(outcomes, names, spec.error_score, spec.with_train)
        self._more.clear()  # no column has a value for each of these candidates
        plan = progress.plan._replace(reasons=[progress.plan.reasons[number] for number in numbers])
        self._add([spec.candidates[number] for number in numbers], Evaluation(outcomes, {}, plan, Folds((), []), names))
