"""The genuine scikit-learn estimator behind a fitted one, and its methods over Dask blocks."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import partial
from itertools import chain
from typing import Any, ClassVar, Protocol, Self, TypeAlias, runtime_checkable

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import sklearn
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from daskml_kit.data.collections import is_dask, n_features_of
from daskml_kit.engines.open import Tables
from daskml_kit.exceptions import DataError
from daskml_kit.reductions.frames import Head, Through, first_rows, is_sparse
from daskml_kit.reductions.reduction import Joint, Reduction
from daskml_kit.validation import check_features, like, plain_strings


class SklearnTwin:
    """Mixin of estimators whose fitted state is that of a scikit-learn estimator.

    Fitting is ours; what comes after runs scikit-learn's own code, block by block and lazily on Dask input, at once
    on input in memory.
    """

    def to_sklearn(self) -> Any:
        """Return the fitted scikit-learn estimator, free of Dask."""
        raise NotImplementedError(f"{type(self).__name__} has no scikit-learn counterpart")

    def _hand_over(self, twin: Any, *attributes: str) -> Any:
        """Return ``twin`` with the fitted ``attributes`` of this estimator, and the features it knows."""
        check_is_fitted(self)
        for name in (*attributes, "n_features_in_", "feature_names_in_"):
            if hasattr(self, name):
                setattr(twin, name, getattr(self, name))
        return twin

    def _apply(self, method: str, X: Any, meta: Any) -> Any:
        """Call ``method`` of the twin on ``X``: lazily on each block where X is on Dask, ``meta`` an empty result."""
        check_is_fitted(self)
        twin = self.to_sklearn()
        if not is_dask(X):
            return getattr(twin, method)(X)
        check_features(self, X)
        return map_rows(twin, method, X, meta)


def map_rows(model: Any, method: str, X: Any, meta: Any) -> Any:
    """Return the lazy results of ``model.method`` over the blocks of ``X``.

    On arrays the model is one node of the graph, not a copy in each task. ``meta``, an empty result, decides what comes
    back: a Dask DataFrame for a data frame, else a Dask array (of CSR blocks where it is sparse).
    """
    if isinstance(X, dd.DataFrame):  # Dask fuses a shared node wrongly here: "Cannot fuse tasks with multiple outputs"
        return X.map_partitions(_call, model, method, meta, meta=meta)
    shared = dask.delayed(model, pure=True)
    if X.numblocks[1] > 1:
        X = X.rechunk({1: -1})
    if isinstance(meta, pd.DataFrame):
        blocks = enumerate(X.to_delayed().ravel())
        frames = [dask.delayed(_call)(block, shared, method, meta, block_id=(number,)) for number, block in blocks]
        return dd.from_delayed(frames, meta=meta)
    if meta.ndim == 1:
        return X.map_blocks(_call, model=shared, method=method, meta_=meta, dtype=meta.dtype, drop_axis=1, meta=meta)
    chunks = (X.chunks[0], (meta.shape[1],))
    return X.map_blocks(_call, model=shared, method=method, meta_=meta, dtype=meta.dtype, chunks=chunks, meta=meta)


def _call(block: Any, model: Any, method: str, meta_: Any, partition_info: Any = None, block_id: Any = None) -> Any:
    if block.shape[0] == 0:  # scikit-learn refuses to work on no rows
        return meta_.copy()
    try:
        return getattr(model, method)(block)
    except ValueError as error:
        number = block_id[0] if block_id else partition_info["number"] if partition_info else None
        raise DataError(f"{error} (in block {number})") from error


Study: TypeAlias = Generator[tuple[Reduction, ...], tuple[Any, ...], None]
"""Yields reductions, receives their answers, and leaves the transformer fitted."""


class Answers(Protocol):
    """What answers a reduction in one pass: `daskml_kit.engines.open.Tables`, or an engine."""

    def answer(self, reduction: Reduction) -> list[Any]: ...


@runtime_checkable
class Studious(Protocol):
    """A transformer that fits by asking reductions.

    ``many_passes`` says that one pass may not be enough.
    """

    @property
    def many_passes(self) -> bool: ...

    def study(self) -> Study: ...


def drive(study: Study, source: Answers) -> None:
    """Run ``study`` to its end, one pass over ``source`` for all the reductions of a turn."""
    try:
        reductions = next(study)
        while True:
            (answers,) = source.answer(Joint(reductions))
            reductions = study.send(answers)
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
    """Run studies in lock step: one turn asks the reductions of all that have not ended.

    Examples
    --------
    >>> def ask(n):
    ...     for i in range(n):
    ...         print((yield (f"reduction {i}",)))
    >>> both = together([ask(1), ask(2)])
    >>> next(both)
    ('reduction 0', 'reduction 0')
    >>> both.send(("yes", "no"))
    ('yes',)
    ('no',)
    ('reduction 1',)
    """
    waiting = _advance([(study, None) for study in studies])
    while waiting:
        answers = iter((yield tuple(chain.from_iterable(reductions for _, reductions in waiting))))
        waiting = _advance([(study, tuple(next(answers) for _ in reductions)) for study, reductions in waiting])


def seen(view: Callable[[Reduction], Reduction], study: Study) -> Study:
    """Run ``study`` with each of its reductions asked through ``view``."""
    try:
        reductions = next(study)
        while True:
            answers = yield tuple(view(reduction) for reduction in reductions)
            reductions = study.send(answers)
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


def _advance(turns: Sequence[tuple[Study, Any]]) -> list[tuple[Study, tuple[Reduction, ...]]]:
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


EXAMPLE_ROWS = 3


class Blockwise(SklearnTwin):
    """Mixin, before a scikit-learn transformer, that gives its methods Dask input.

    Input in memory is scikit-learn's own affair. On Dask data ``fit`` drives `study`, which sets the state that
    scikit-learn's ``fit`` would have set, and ``transform`` is scikit-learn's on each block, lazily.
    """

    genuine: ClassVar[type[Any]]
    """The scikit-learn class whose methods and fitted state the estimator has."""

    many_passes: ClassVar[Any] = False

    _example: Any
    """A few rows of the input of fit: what transform gives for them tells the type of its result."""

    def study(self) -> Study:
        """Yield the reductions of a fit, and set the fitted attributes from their answers."""
        raise NotImplementedError

    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:
        """Fit to X, the rest as in scikit-learn.

        Parameters
        ----------
        X : Dask DataFrame or array, or anything that scikit-learn takes
        y : ignored

        Raises
        ------
        DataError
            Where a block cannot be used; the message names it.
        """
        if not is_dask(X):
            super().fit(X, y, **params)  # type: ignore[misc]
            return self._remember(X)
        table = prepare(self, X)
        drive(self.study(), Tables(table, keep=self.many_passes))
        return self

    def transform(self, X: Any, **params: Any) -> Any:
        """Transform X: at once in memory, lazily on Dask.

        Returns
        -------
        What scikit-learn returns; for Dask input a Dask array, of CSR blocks where the result is sparse, or after
        ``set_output(transform="pandas")`` a Dask DataFrame.
        """
        if not is_dask(X):
            return super().transform(X, **params)  # type: ignore[misc]
        check_is_fitted(self)
        return self._map("transform", X, params)

    def fit_transform(self, X: Any, y: Any = None, **params: Any) -> Any:
        """Fit to X, then transform it."""
        if is_dask(X):
            return self.fit(X, y, **params).transform(X)
        result = super().fit_transform(X, y, **params)  # type: ignore[misc]
        self._remember(X)
        return result

    def to_sklearn(self) -> Any:
        """Return the scikit-learn transformer with the same parameters and fitted state, free of Dask."""
        twin = self.genuine()
        vars(twin).update({name: value for name, value in vars(self).items() if name != "_example"})
        return twin

    def _adopt(self, fitted: Any, example: Any) -> None:
        """Take over the fitted state of a scikit-learn transformer."""
        forget(self)
        parameters = self.get_params(deep=False)  # type: ignore[attr-defined]
        vars(self).update({name: value for name, value in vars(fitted).items() if name not in parameters})
        self._example = example

    def _remember(self, X: Any) -> Self:
        shaped: Any = X if hasattr(X, "shape") and (hasattr(X, "iloc") or not hasattr(X, "columns")) else np.asarray(X)
        self._example = first_rows(shaped.tocsr() if hasattr(shaped, "tocsr") else shaped, EXAMPLE_ROWS)
        return self

    def _map(self, method: str, X: Any, params: dict[str, Any]) -> Any:
        given = [name for name, value in params.items() if value is not None]
        if given:
            raise DataError(f"{type(self).__name__}.{method}: {', '.join(given)} not possible on Dask input")
        refuse_in_place(self)
        table, twin = plain_strings(X), self.to_sklearn()
        example = like(self._example, table) if method == "transform" else self._outcome(method, twin, X)
        meta = getattr(twin, method)(example)[:0]
        if isinstance(meta, pd.DataFrame) and sklearn.get_config()["transform_output"] == "pandas":
            twin.set_output(transform="pandas")  # the workers do not have this process's configuration
        elif not isinstance(meta, (np.ndarray, pd.DataFrame)) and not is_sparse(meta):
            raise DataError(f"set_output: expected 'default' or 'pandas' for Dask input, got {type(meta).__module__}")
        return _with_meta(map_rows(twin, method, table, meta), meta)

    def _outcome(self, method: str, twin: Any, X: Any) -> Any:
        """Return what transform gives, as an example of the input of ``inverse_transform``."""
        outcome = twin.transform(self._example)
        if n_features_of(X) != outcome.shape[1]:
            raise DataError(f"{method}: X has {n_features_of(X)} columns, expected the {outcome.shape[1]} of transform")
        return like(outcome, X)


class Invertible(Blockwise):
    """Mixin of the transformers that have an inverse."""

    def inverse_transform(self, X: Any, **params: Any) -> Any:
        """Undo `transform`: at once in memory, lazily on Dask."""
        if not is_dask(X):
            return super().inverse_transform(X, **params)  # type: ignore[misc]
        check_is_fitted(self)
        return self._map("inverse_transform", X, params)


def prepare(transformer: Any, X: Any) -> Any:
    """Check Dask input of a fit, and return it ready to be asked about."""
    if n_features_of(X) == 0:
        raise DataError(f"Found array with 0 feature(s) (shape={X.shape}) while a minimum of 1 is required.")
    refuse_in_place(transformer)
    return plain_strings(X)


def forget(transformer: Any) -> None:
    """Remove the fitted attributes of an earlier fit."""
    for name in [name for name in vars(transformer) if name.endswith("_") and not name.startswith("_")]:
        delattr(transformer, name)


def _with_meta(result: Any, meta: Any) -> Any:
    """Say that the blocks are sparse, which Dask forgets on the way from a data frame."""
    if not is_sparse(meta) or not isinstance(result, da.Array):
        return result
    return da.Array(result.dask, result.name, result.chunks, meta=meta)
