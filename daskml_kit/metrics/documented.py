"""Signatures and documentation of scikit-learn's metrics, for ours of the same names."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, TypeAlias

from daskml_kit.documentation import joined_sections, sections_of
from daskml_kit.metrics.inputs import in_memory_by, reduce_scores
from daskml_kit.reductions.reduction import Reduction

Parts: TypeAlias = Callable[..., tuple[Reduction, Callable[[Any], Any]]]
"""Function of a metric's options: the reduction that it is made of, and what makes the value of its result."""
COMPUTE = inspect.Parameter("compute", inspect.Parameter.KEYWORD_ONLY, default=True, annotation=bool)
COMPUTE_DOC = """compute : bool, default=True
    False gives a Delayed in place of the value: `dask.compute` of several shares one pass over the data.
"""


def documented_by(
    theirs: Callable[..., Any], on_dask: Callable[..., Any], note: str, *, lazy: bool = True
) -> Callable[..., Any]:
    """Return a metric with the signature and the docstring of ``theirs``, which computes it on data in memory.

    Parameters
    ----------
    theirs : callable
        scikit-learn's metric; its first two parameters are data, and perhaps ``sample_weight``.
    on_dask : callable
        Computes the metric of both and of the other arguments that were given where one of these is a Dask collection.
    note : str
        A paragraph of the docstring about Dask collections.
    lazy : bool
        Whether there is a parameter ``compute``, which is then among the arguments of ``on_dask``.
    """
    signature = inspect.signature(theirs)
    parameters = [*signature.parameters.values(), *([COMPUTE] if lazy else [])]
    signature = signature.replace(parameters=parameters)

    def metric(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs).arguments
        (_, first), (_, second), *others = given.items()
        return on_dask(first, second, **dict(others))

    metric.__signature__ = signature  # type: ignore[attr-defined]
    metric.__name__ = metric.__qualname__ = theirs.__name__
    metric.__module__ = "daskml_kit.metrics"
    metric.__doc__ = adapted_doc(theirs, note, lazy)
    return in_memory_by(theirs)(metric)


def one_pass_metric(theirs: Callable[..., Any], parts: Parts, note: str) -> Callable[..., Any]:
    """Return the metric that one reduction gives, ``parts`` of its options; searches fuse it, as it has ``parts``."""
    name = list(inspect.signature(theirs).parameters)[1]

    def on_dask(y_true: Any, y_pred: Any, sample_weight: Any = None, compute: bool = True, **options: Any) -> Any:
        return reduce_scores(*parts(**options), y_true, y_pred, sample_weight, compute, name)

    metric = documented_by(theirs, on_dask, note)
    metric.parts = parts  # type: ignore[attr-defined]
    return metric


def adapted_doc(theirs: Any, note: str, lazy: bool) -> str:
    """Return the docstring of ``theirs`` with our note and parameter, without what is of scikit-learn's own pages."""
    head, sections = sections_of(theirs)
    head = re.sub(r"\n\nRead more in .*?(?=\n\n|\Z)", "", head, flags=re.DOTALL)
    if lazy and sections:  # which "python -OO" leaves out
        sections["Parameters"] += f"\n\n{COMPUTE_DOC}"
    kept = {title: _undated(text).strip() for title, text in sections.items() if title != "Examples"}
    return joined_sections(f"{_undated(head)}\n\n{note}", kept)


def _undated(text: str) -> str:
    """Return the text without notes on scikit-learn's versions."""
    return re.sub(r"\n\n? *\.\. (?:version|deprecated)\w*::.*?(?=\n\n|\n\S|\Z)", "", text, flags=re.DOTALL)
