"""Groups of candidates that have all transformers of a pipeline in common, whose models are fitted together."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from typing import Any, NamedTuple, ParamSpec, TypeVar

from sklearn.pipeline import Pipeline

from daskml_kit.model_selection.search.cv_results import FitKey, Outcome
from daskml_kit.model_selection.search.fused import Fused
from daskml_kit.model_selection.search.pipeline_cache import is_cacheable
from daskml_kit.model_selection.search.search_plan import EvaluationSpec, with_params

logger = logging.getLogger(__name__)
Given = ParamSpec("Given")
Result = TypeVar("Result")


class TransformerGroup(NamedTuple):
    """Candidates that differ in parameters of the last step only.

    Parameters
    ----------
    numbers : list of int
    pipeline : Pipeline
        Not fitted; its transformers are those of all of the candidates.
    last : list of dict
        The parameters of the last step, by candidate.
    """

    numbers: list[int]
    pipeline: Pipeline
    last: list[dict[str, Any]]

    def attempt(self, function: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs) -> Result | None:
        """Call what runs the user's transformers and models on the user's data; None where these are at fault.

        Fits one by one then tell of each.
        """
        return _attempt(self.numbers, function, *args, **kwargs)

    def outcomes(self, found: Fused) -> dict[FitKey, Outcome]:
        """Return the outcomes of fits, by the numbers of the candidates, but for those that failed."""
        whole = {key: outcome for key, outcome in found.outcomes.items() if outcome.error is None}
        return {(self.numbers[c], split): outcome._replace(estimator=None) for (c, split), outcome in whole.items()}


def may_share_transformers(spec: EvaluationSpec, columns: Collection[str], constants: Collection[str]) -> bool:
    """Return whether candidates of ``spec`` may be fitted in groups: to rows and targets alone, to be scored only."""
    return is_cacheable(spec.estimator) and not spec.with_models and set(columns) == {"X", "y"} and not constants


def transformer_groups(estimator: Pipeline, candidates: Mapping[int, Mapping[str, Any]]) -> Iterator[TransformerGroup]:
    """Yield the groups of two candidates and more, but for those whose parameters cannot be set."""
    last = f"{estimator.steps[-1][0]}__"
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for number, params in candidates.items():
        # a grid has each value once: what is not the same object may be another
        before = tuple((name, id(value)) for name, value in params.items() if not name.startswith(last))
        groups[before].append(number)
    for numbers in groups.values():
        if len(numbers) == 1:
            continue
        pipeline = _attempt(numbers, with_params, estimator, candidates[numbers[0]])
        if pipeline is not None:
            own = [
                {name.removeprefix(last): value for name, value in candidates[number].items() if name.startswith(last)}
                for number in numbers
            ]
            yield TransformerGroup(numbers, pipeline, own)


def _attempt(
    numbers: list[int], function: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs
) -> Result | None:
    try:
        return function(*args, **kwargs)
    except (TypeError, ValueError) as error:
        logger.debug("candidates %s are fitted one by one: %s: %s", numbers, type(error).__name__, error)
        return None
