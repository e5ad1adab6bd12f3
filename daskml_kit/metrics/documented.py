"""Signatures and documentation of scikit-learn's metrics, for ours of the same names."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeAlias

from daskml_kit.metrics.inputs import in_memory_by, reduce_scores
from daskml_kit.reductions.reduction import Reduction

P = ParamSpec("P")
OnDask: TypeAlias = Callable[[Any, Any, Mapping[str, Any]], Any]
"""A metric of truth, prediction and a mapping of the other arguments that were given."""
Parts: TypeAlias = Callable[[dict[str, Any]], tuple[Reduction, Callable[[Any], Any]]]
"""The reduction that a metric with these options is made of, and what makes the value of its result."""
COMPUTE = inspect.Parameter("compute", inspect.Parameter.KEYWORD_ONLY, default=True, annotation=bool)
COMPUTE_DOC = """compute : bool, default=True
    False gives a Delayed in place of the value: `dask.compute` of several shares one pass over the data.
"""
SECTION = re.compile(r"^(\w[\w ]*)\n-{3,}\n", re.MULTILINE)


def documented_by(theirs: Callable[..., Any], on_dask: OnDask, note: str, *, lazy: bool = True) -> Callable[..., Any]:
    """Return a metric with the signature and the docstring of ``theirs``, which computes it on data in memory.

    Parameters
    ----------
    theirs : callable
        scikit-learn's metric; its first two parameters are data, and perhaps ``sample_weight``.
    on_dask : callable
        Computes the metric where one of these is a Dask collection.
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
        return on_dask(first, second, dict(others))

    metric.__signature__ = signature  # type: ignore[attr-defined]
    metric.__name__ = metric.__qualname__ = theirs.__name__
    metric.__module__ = "daskml_kit.metrics"
    metric.__doc__ = adapted_doc(inspect.getdoc(theirs) or "", note, lazy)
    return in_memory_by(theirs)(metric)


def with_parts(parts: Parts) -> Callable[[Callable[P, Any]], Callable[P, Any]]:
    """Decorate a metric that one reduction gives, such that searches can fuse it."""

    def decorate(metric: Callable[P, Any]) -> Callable[P, Any]:
        metric.parts = parts  # type: ignore[attr-defined]
        return metric

    return decorate


def one_pass_metric(theirs: Callable[..., Any], parts: Parts, note: str) -> Callable[..., Any]:
    """Return the metric that one reduction gives, ``parts`` of its options; searches fuse it, as it has ``parts``."""
    name = list(inspect.signature(theirs).parameters)[1]

    def on_dask(y_true: Any, y_pred: Any, given: Mapping[str, Any]) -> Any:
        options = dict(given)
        weight, compute = options.pop("sample_weight", None), options.pop("compute", True)
        return reduce_scores(*parts(options), y_true, y_pred, weight, compute, name)

    return with_parts(parts)(documented_by(theirs, on_dask, note))


def adapted_doc(doc: str, note: str, lazy: bool) -> str:
    """Return ``doc`` with our note and parameter, without what is only of scikit-learn's own pages."""
    head, *rest = SECTION.split(doc)
    sections = dict(zip(rest[::2], rest[1::2], strict=True))
    head = re.sub(r"\n\nRead more in .*?(?=\n\n|\Z)", "", head.rstrip(), flags=re.DOTALL)
    if lazy:
        sections["Parameters"] = f"{sections['Parameters'].rstrip()}\n\n{COMPUTE_DOC}"
    kept = {title: text for title, text in sections.items() if title != "Examples"}
    bodies = [f"{title}\n{'-' * len(title)}\n{_undated(text).strip()}" for title, text in kept.items()]
    return "\n\n".join([_undated(head), note, *bodies]) + "\n"


def _undated(text: str) -> str:
    """Return the text without notes on scikit-learn's versions."""
    return re.sub(r"\n\n? *\.\. (?:version|deprecated)\w*::.*?(?=\n\n|\n\S|\Z)", "", text, flags=re.DOTALL)
