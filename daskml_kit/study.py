"""How transformers fit: each is a generator of the questions it has about its input, so that many share a pass."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import partial
from itertools import chain
from typing import Any, Protocol, TypeAlias, runtime_checkable

from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.utils import get_tags

from daskml_kit.errors import DataError
from daskml_kit.queries.query import Query
from daskml_kit.queries.tables import Head, Through, Together
from daskml_kit.twin import SklearnTwin

Study: TypeAlias = Generator[tuple[Query, ...], tuple[Any, ...], None]
"""Yields questions, receives their answers, and leaves the transformer fitted."""


class Answers(Protocol):
    """What answers a question in one pass: `daskml_kit.engines.tables.Tables`, or an engine."""

    def answer(self, query: Query) -> list[Any]: ...


@runtime_checkable
class Studious(Protocol):
    """A transformer that fits by asking questions.

    ``many_passes`` says that one pass may not be enough.
    """

    @property
    def many_passes(self) -> bool: ...

    def study(self) -> Study: ...


def drive(study: Study, source: Answers) -> None:
    """Run ``study`` to its end, one pass over ``source`` for all the questions of a turn."""
    try:
        questions = next(study)
        while True:
            (answers,) = source.answer(Together(questions))
            questions = study.send(answers)
    except StopIteration:
        return


def study_of(transformer: Any) -> Study:
    """Return the study of a transformer, or of a Pipeline or FeatureUnion of such.

    scikit-learn's own transformers are taken where they learn nothing from data.

    Raises
    ------
    DataError
        Where a transformer cannot fit on Dask data.

    Examples
    --------
    >>> from sklearn.preprocessing import Normalizer, QuantileTransformer
    >>> can_study(Normalizer()), can_study(QuantileTransformer())
    (True, False)
    """
    if isinstance(transformer, Studious):
        return transformer.study()
    if isinstance(transformer, Pipeline):
        return _study_steps(transformer)
    if isinstance(transformer, FeatureUnion):
        return together([study_of(part) for part in _parts(transformer)])
    if not can_study(transformer):
        raise DataError(f"{type(transformer).__name__} cannot fit on Dask data; use its counterpart of daskml_kit")
    return _study_nothing(transformer)


def can_study(transformer: Any) -> bool:
    """Whether `study_of` knows how to fit ``transformer``."""
    if isinstance(transformer, Studious):
        return True
    if isinstance(transformer, Pipeline) and (transformer.memory is not None or transformer.verbose):
        return False
    if isinstance(transformer, (Pipeline, FeatureUnion)):
        return all(can_study(part) for part in _parts(transformer))
    if isinstance(transformer, FrozenEstimator):
        return True
    if isinstance(transformer, SklearnTwin) or not hasattr(transformer, "fit"):
        return False
    return not get_tags(transformer).requires_fit


def needs_many_passes(transformer: Any) -> bool:
    """Whether `study_of` may read its input more than once."""
    if isinstance(transformer, Studious):
        return transformer.many_passes
    parts = _parts(transformer) if isinstance(transformer, (Pipeline, FeatureUnion)) else []
    several = isinstance(transformer, Pipeline) and sum(isinstance(part, (Studious, Pipeline)) for part in parts) > 1
    return several or any(needs_many_passes(part) for part in parts)


def together(studies: Sequence[Study]) -> Study:
    """Run studies in lock step: one turn asks the questions of all that have not ended.

    Examples
    --------
    >>> def ask(n):
    ...     for i in range(n):
    ...         print((yield (f"question {i}",)))
    >>> both = together([ask(1), ask(2)])
    >>> next(both)
    ('question 0', 'question 0')
    >>> both.send(("yes", "no"))
    ('yes',)
    ('no',)
    ('question 1',)
    """
    waiting = _advance([(study, None) for study in studies])
    while waiting:
        answers = iter((yield tuple(chain.from_iterable(questions for _, questions in waiting))))
        waiting = _advance([(study, tuple(next(answers) for _ in questions)) for study, questions in waiting])


def seen(view: Callable[[Query], Query], study: Study) -> Study:
    """Run ``study`` with each of its questions asked through ``view``."""
    try:
        questions = next(study)
        while True:
            answers = yield tuple(view(question) for question in questions)
            questions = study.send(answers)
    except StopIteration:
        return


def to_sklearn(model: Any) -> Any:
    """Return the scikit-learn model behind a transformer, Pipeline, FeatureUnion or any estimator, free of Dask.

    What is scikit-learn's own is returned as it is.

    Examples
    --------
    >>> import numpy as np
    >>> from daskml_kit.preprocessing import StandardScaler
    >>> fitted = make_pipeline(StandardScaler(), "passthrough").fit(np.eye(3))
    >>> type(to_sklearn(fitted)[0]).__module__.startswith("sklearn.")
    True
    """
    if isinstance(model, SklearnTwin):
        return model.to_sklearn()
    if isinstance(model, FrozenEstimator):
        return FrozenEstimator(to_sklearn(model.estimator))
    if isinstance(model, (Pipeline, FeatureUnion)):
        name = "steps" if isinstance(model, Pipeline) else "transformer_list"
        options = model.get_params(deep=False)
        plain = type(model)(**{**options, name: [(key, to_sklearn(part)) for key, part in options[name]]})
        vars(plain).update({key: value for key, value in vars(model).items() if key not in options})
        return plain
    return model


def refuse_in_place(transformer: Any) -> None:
    """Raise where ``transformer`` would write into the blocks it reads."""
    if transformer.get_params().get("copy") is False:
        raise DataError(
            f"{type(transformer).__name__}: copy=False is not possible on Dask data, which is never written to; "
            "leave copy=True"
        )


def _advance(turns: Sequence[tuple[Study, Any]]) -> list[tuple[Study, tuple[Query, ...]]]:
    waiting = []
    for study, answers in turns:
        try:
            waiting.append((study, study.send(answers)))
        except StopIteration:
            continue
    return waiting


def _parts(composite: Pipeline | FeatureUnion) -> list[Any]:
    pairs = composite.steps if isinstance(composite, Pipeline) else composite.transformer_list
    return [part for _, part in pairs if part is not None and not isinstance(part, str)]


def _study_steps(pipeline: Pipeline) -> Study:
    before = None
    for step in _parts(pipeline):
        study = study_of(step)
        yield from study if before is None else seen(partial(Through, model=before), study)
        twin = to_sklearn(step)
        before = twin if before is None else make_pipeline(before, twin)


def _study_nothing(transformer: Any) -> Study:
    refuse_in_place(transformer)
    (head,) = yield (Head(),)
    transformer.fit(head, None)
