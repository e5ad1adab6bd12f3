"""Scores of the models that share passes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from copy import copy
from typing import Any

from sklearn.pipeline import Pipeline

from daskml_kit.engines.lockstep import Lockstep
from daskml_kit.model_selection.search.absorbing import SKIPPED
from daskml_kit.model_selection.search.judges import JUDGES, SIMPLE, Unscored, finished, name_of_judge
from daskml_kit.model_selection.search.judging import Examinee, Judging
from daskml_kit.model_selection.search.linear import Scores, are_plain, gram_scores, linear_scores
from daskml_kit.model_selection.splits.folds import Folds

Place = tuple[int, int]
"""The number of a candidate, and of a split."""


def scores_of(
    steps: Lockstep,
    folds: Folds,
    models: Mapping[Place, Any],
    scoring: Mapping[str, Any],
    weighted: bool,
    side: str,
) -> dict[Place, Scores]:
    if not models:
        return {}
    fitted = list(models.values())
    splits = [folds.splits[s] for _, s in models]
    sides = [steps.side(split.column, getattr(split, side)) for split in splits]
    names = {name: name_of_judge(scorer, fitted[0]) for name, scorer in scoring.items()}
    if are_plain(fitted) and set(names.values()) <= SIMPLE:
        wanted = list(names.values())
        found = gram_scores(steps, fitted, sides, wanted) if weighted or not steps.weighted else None
        if found is None:
            found = linear_scores(steps.engine, fitted, sides, wanted, weighted)
        return {p: {name: own[known] for name, known in names.items()} for p, own in zip(models, found, strict=True)}
    judges = {name: JUDGES[known] for name, known in names.items()}
    examinees = [Examinee(plain(model), side) for model, side in zip(fitted, sides, strict=True)]
    (answers,) = steps.engine.answer(Judging(examinees, judges, weighted))
    return {
        place: {name: finished(judge, answer[name], None) for name, judge in judges.items()}
        for place, answer in zip(models, answers, strict=True)
    }


def settled(found: Mapping[Place, Scores], error_score: Any) -> dict[Place, dict[str, float]]:
    """Return the scores, ``error_score`` where there is none, and warn of it."""
    reasons = dict.fromkeys(s.reason for own in found.values() for s in own.values() if isinstance(s, Unscored))
    for reason in reasons:
        if error_score == "raise":
            raise ValueError(f"Scoring failed: {reason}")
        warnings.warn(
            "Scoring failed. The score on this train-test partition for these parameters will be set to "
            f"{error_score}. Details: {reason}",
            UserWarning,
            stacklevel=5,
        )
    return {
        place: {name: error_score if isinstance(s, Unscored) else s for name, s in own.items()}
        for place, own in found.items()
    }


def plain(model: Any) -> Any:
    """Return the scikit-learn twin, which takes rows without names, and does not write to them."""
    if isinstance(model, Pipeline):
        return Pipeline([(name, step if step in SKIPPED else plain(step)) for name, step in model.steps])
    twin = model.to_sklearn() if hasattr(model, "to_sklearn") else copy(model)
    if hasattr(twin, "feature_names_in_"):
        del twin.feature_names_in_
    if getattr(twin, "copy", True) is False:
        twin.copy = True
    return twin
