"""Base classes of estimators and transformers: a scikit-learn class that also fits and predicts on Dask data."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any, ClassVar, Literal, Self, TypeVar

import dask.dataframe as dd
import numpy as np
import pandas as pd
import sklearn
from sklearn.base import BaseEstimator, is_classifier
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from daskml_kit.activity import recorded
from daskml_kit.arguments import check_flags, check_number, random_state_of, sklearn_state_of
from daskml_kit.blockwise import map_rows, with_meta
from daskml_kit.data.collections import is_dask, n_features_of
from daskml_kit.engines.engine import Profile, showing_passes
from daskml_kit.engines.open import open_engine, open_table
from daskml_kit.engines.runtime import computing
from daskml_kit.exceptions import DataError
from daskml_kit.metrics import accuracy_score, r2_score
from daskml_kit.reductions.block_means import BlockScores
from daskml_kit.reductions.frames import AsNumbers, Head, first_rows, is_sparse
from daskml_kit.solvers.run import lockstep, run
from daskml_kit.solvers.types import DataSpec, Fit, start_of
from daskml_kit.solvers.views import View, seen
from daskml_kit.validation import check_features, check_fit, check_names, like, plain_strings

EXAMPLE_ROWS = 3

Method = TypeVar("Method", bound=Callable[..., Any])


def lazily(name: str, returns: str) -> Any:
    """Return a method that runs scikit-learn's method of this name, lazily on each block of Dask input.

    It is there where the scikit-learn class has it.
    """

    def method(self: Any, X: Any) -> Any:
        return self._apply(name, X)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"""Return the {returns}: at once in memory, lazily on Dask input.

        Parameters
        ----------
        X : Dask array or DataFrame, NumPy array, pandas DataFrame or sparse matrix, of shape (n_samples, n_features)

        Returns
        -------
        array or Dask array
            The {returns}, a row for each row of X.
        """
    return _where_genuine(name)(method)


def _where_genuine(name: str) -> Callable[[Method], Method]:
    """Return a decorator of a method that is there where the scikit-learn class has it."""
    found: Callable[[Method], Method] = available_if(lambda self: hasattr(super(DaskEstimator, self), name))
    return found


class NoCallbacks:
    """Mixin, before a scikit-learn class, of estimators whose fits call none of scikit-learn's callbacks."""

    def set_callbacks(self, *callbacks: Any) -> Self:
        """Refuse scikit-learn's callbacks, which are called in its own loops only.

        Parameters
        ----------
        *callbacks : callback
            There may be none.

        Returns
        -------
        estimator
            Itself.

        Raises
        ------
        NotImplementedError
            Where there are any.
        """
        if callbacks:
            raise NotImplementedError(
                f"set_callbacks: fits of {type(self).__name__} call no callbacks; `daskml_kit.dashboard.Dashboard` and "
                "verbose=1 show their progress, and `to_sklearn` gives an estimator that takes callbacks"
            )
        return self


class DaskEstimator(NoCallbacks):
    """Mixin, before a scikit-learn class, of estimators that fit by reductions and also take Dask data.

    The constructor, the parameters and all that comes after a fit are scikit-learn's. An estimator writes `_fit_steps`
    only: a generator that yields reductions over the rows and returns the fitted attributes.
    """

    profile_: Profile
    _score_is: ClassVar[Literal["metric", "mean", "sum", "other"]] = "metric"
    """Kind of ``score``: accuracy or R^2, or a mean over rows, or a sum over them, or none of these."""
    many_passes: ClassVar[Any] = True
    """Whether one pass over the data may not be enough."""
    starts_from_whole: ClassVar[bool] = True
    """Whether a fit on some of the rows starts where one on all rows has ended, or makes its passes for nothing."""

    draws_rows: ClassVar[int] = 0
    """Number of rows that a fit draws and holds, at most."""

    transforms_rows: ClassVar[Any] = True
    """Whether rows are transformed each by itself, by what a fit on rows of numbers teaches wherever they are."""

    fits_apart_in_memory: ClassVar[Any] = False
    """Whether a fit on data in memory is scikit-learn's own, which learns something else than one on blocks."""

    predict = lazily("predict", "predictions")
    predict_proba = lazily("predict_proba", "probabilities of the classes")
    predict_log_proba = lazily("predict_log_proba", "logarithms of the probabilities of the classes")
    decision_function = lazily("decision_function", "confidence scores of the classes")
    score_samples = lazily("score_samples", "log-likelihoods of the rows")
    transform = lazily("transform", "transformed rows")
    inverse_transform = lazily("inverse_transform", "rows before they were transformed")

    def _fit_steps(self, spec: DataSpec) -> Fit:
        """Yield the reductions of a fit, and return the fitted attributes by name."""
        raise NotImplementedError

    def _check_parameters(self) -> None:
        """Raise where a parameter is not supported, or not of its kind."""

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, *, checkpoint: Any = None) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : Dask array or DataFrame, NumPy array, pandas DataFrame or sparse matrix, of shape (n_samples, n_features)
        y : array, Series, Dask array or Dask Series of shape (n_samples,) or, where supported, (n_samples, n_outputs)
        sample_weight : array or Dask array of shape (n_samples,), optional
        checkpoint : path, optional
            A folder that keeps each pass's results: called again with the same data, an interrupted fit resumes there.

        Returns
        -------
        estimator
            Itself.

        Raises
        ------
        DataError
            Where the data cannot be used; it names the argument and the block.
        """
        return self._fit_blocks(X, y, sample_weight, checkpoint)

    @_where_genuine("score")
    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Return the score of the model on the given data.

        Parameters
        ----------
        X : Dask array or DataFrame, or anything that scikit-learn takes, of shape (n_samples, n_features)
        y : array or Dask array of shape (n_samples,) or (n_samples, n_outputs), optional
        sample_weight : array or Dask array of shape (n_samples,), optional

        Returns
        -------
        float
            Accuracy of a classifier, coefficient of determination of a regressor, else scikit-learn's own score.
        """
        if not is_dask(X) and not is_dask(y):
            weights = () if sample_weight is None else (sample_weight,)
            return float(self.to_sklearn().score(X, y, *weights))
        if self._score_is not in ("mean", "sum"):
            metric = accuracy_score if is_classifier(self) else r2_score
            return float(metric(y, self.predict(X), sample_weight=sample_weight))
        check_is_fitted(self)
        with open_engine(X, y, sample_weight, many_passes=False) as engine:
            (score,) = engine.answer(BlockScores(without_names(self.to_sklearn()), self._score_is))
        return float(score)

    @_where_genuine("fit_transform")
    def fit_transform(self, X: Any, y: Any = None, **params: Any) -> Any:
        """Fit to X, then transform it.

        Parameters
        ----------
        X : Dask DataFrame or array, or anything that scikit-learn takes, of shape (n_samples, n_features)
        y : array or Dask array of shape (n_samples,), optional
        **params
            For ``fit``.

        Returns
        -------
        array, DataFrame or Dask collection
            See `transform`.
        """
        with restored(self):
            return self.fit(X, y, **params).transform(X)

    @_where_genuine("fit_predict")
    def fit_predict(self, X: Any, y: Any = None, **params: Any) -> Any:
        """Fit to X, then predict for its rows.

        Parameters
        ----------
        X : Dask DataFrame or array, or anything that scikit-learn takes, of shape (n_samples, n_features)
        y : array or Dask array of shape (n_samples,), optional
        **params
            For ``fit``.

        Returns
        -------
        array or Dask array
            See `predict`.
        """
        with restored(self):
            return self.fit(X, y, **params).predict(X)

    def to_sklearn(self) -> Any:
        """Return the scikit-learn estimator with the same parameters and fitted state, free of Dask.

        Returns
        -------
        estimator
            Of the scikit-learn class that this one extends.
        """
        genuine = genuine_class(type(self))
        twin = genuine(**self._sklearn_parameters(genuine))
        own: Any = self
        ours = {*own.get_params(deep=False), "profile_", "_example"}
        self._prepare(twin)
        vars(twin).update(
            {name: value for name, value in vars(self).items() if name not in ours and not is_dask(value)}
        )
        return twin

    def _prepare(self, twin: Any) -> None:
        """Fit scikit-learn's estimator on the rows made up."""
        made_up = self._made_up()
        if made_up is not None:
            twin.fit(*made_up)

    def _made_up(self) -> tuple[Any, ...] | None:
        """Return rows to fit scikit-learn's class on, where its methods need more than the fitted attributes."""
        return None

    def _sklearn_parameters(self, genuine: type[Any]) -> dict[str, Any]:
        """Return the parameters of the scikit-learn estimator."""
        own = {name: getattr(self, name) for name in parameters_of(genuine)}
        return {**own, "random_state": sklearn_state_of(own["random_state"])} if "random_state" in own else own

    def _fit_blocks(self, X: Any, y: Any = None, sample_weight: Any = None, checkpoint: Any = None) -> Self:
        own: Any = self
        check_common(self)
        self._check_parameters()
        with fitting(self):
            several = self._takes_columns(y)
            inputs = check_fit(own, X, y, sample_weight, labeled=is_classifier(self), multi_output=several)
            options = {"n_jobs": getattr(self, "n_jobs", None), "checkpoint": checkpoint, "setting": own.get_params()}
            with open_engine(*inputs, **options, many_passes=self.many_passes) as engine:
                known = own.n_features_in_, n_outputs_of(inputs.y), precision_of(X), engine.n_blocks
                spec = DataSpec(*known, start=start_of(self.__class__.__qualname__), streams=engine.streams)
                fitted = run(engine, {None: self._fit_steps(spec)})[None]
            engine.profile.solver = spec.shared.get("solver", "")
            self._keep({**fitted, "profile_": engine.profile})
        return self

    def _takes_columns(self, y: Any) -> bool:
        """Return whether a target like this may have several columns."""
        return bool(get_tags(self).target_tags.multi_output)

    def _keep(self, fitted: dict[str, Any]) -> None:
        vars(self).update(fitted)

    def _apply(self, method: str, X: Any, meta: Any = None) -> Any:
        """Call a method of the scikit-learn estimator on X: lazily on each block where X is on Dask."""
        check_is_fitted(self)
        twin = self.to_sklearn()
        if not is_dask(X):
            return getattr(twin, method)(X)
        if method != "inverse_transform":
            check_features(self, X)
        elif n_features_of(X) != len(twin.get_feature_names_out()):
            expected = len(twin.get_feature_names_out())
            raise DataError(f"{method}: X has {n_features_of(X)} columns, expected the {expected} of transform")
        if meta is None:
            meta = getattr(twin, method)(like(None, X))[:0]
        return map_rows(twin, method, X, as_on_workers(twin, meta))


class UnsupervisedEstimator(DaskEstimator):
    """Mixin, before a scikit-learn class, of estimators that learn from rows alone: without targets or weights."""

    def fit(self, X: Any, y: Any = None) -> Self:  # type: ignore[override]
        """Fit the estimator to the rows of X.

        Parameters
        ----------
        X : Dask array or DataFrame, NumPy array, pandas DataFrame or, where scikit-learn takes one, sparse matrix, of
            shape (n_samples, n_features)
        y : ignored

        Returns
        -------
        estimator
            Itself.

        Raises
        ------
        DataError
            Where the data cannot be used; it names the argument and the block.
        """
        return self._fit_blocks(X)


class DaskTransformer(DaskEstimator):
    """Mixin, before a scikit-learn transformer, that gives its methods Dask input: frames or arrays of any type.

    Input in memory is scikit-learn's own affair. On Dask data ``fit`` runs `_fit_steps`, and ``transform`` is
    scikit-learn's on each block, lazily.
    """

    many_passes: ClassVar[Any] = False

    shares_columns: ClassVar[Any] = False
    """Whether a fit on some of the rows makes the columns of one on all, but for those that are zero in all of them."""
    scales_columns: ClassVar[bool] = False
    """Whether each column becomes a multiple of it plus a constant."""

    _example: Any
    """A few rows of the input of fit: what transform gives for them tells the type of its result."""

    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:  # type: ignore[override]
        """Fit to X, the rest as in scikit-learn.

        Parameters
        ----------
        X : Dask DataFrame or array, or anything that scikit-learn takes, of shape (n_samples, n_features)
        y : ignored
        **params
            For scikit-learn's ``fit``.

        Returns
        -------
        transformer
            Itself.

        Raises
        ------
        DataError
            Where a block cannot be used; the message names it.
        """
        return self._fit_any(X, y, params)

    def transform(self, X: Any, **params: Any) -> Any:
        """Transform X: at once in memory, lazily on Dask.

        Parameters
        ----------
        X : Dask DataFrame or array, or anything that scikit-learn takes, of shape (n_samples, n_features)
        **params
            For scikit-learn's ``transform``; not possible on Dask input.

        Returns
        -------
        array, DataFrame or Dask collection
            What scikit-learn returns; for Dask input a Dask array, of CSR blocks where the result is sparse, or after
            ``set_output(transform="pandas")`` a Dask DataFrame.
        """
        if not is_dask(X):
            return super(DaskEstimator, self).transform(X, **params)  # type: ignore[misc]
        check_is_fitted(self)
        return self._map("transform", X, params)

    def fit_transform(self, X: Any, y: Any = None, **params: Any) -> Any:
        """Fit to X, then transform it.

        Parameters
        ----------
        X : Dask DataFrame or array, or anything that scikit-learn takes, of shape (n_samples, n_features)
        y : ignored
        **params
            For ``fit``.

        Returns
        -------
        array, DataFrame or Dask collection
            See `transform`.
        """
        if is_dask(X):
            with restored(self):
                return self._fit_and_transform(X, y, params)
        with restored(self), sklearn_random_state(self):
            result = super(DaskEstimator, self).fit_transform(X, y, **params)  # type: ignore[misc]
            self._remember(X)
        return result

    def _inverse(self, X: Any, **params: Any) -> Any:
        """Undo `transform`: at once in memory, lazily on Dask.

        Parameters
        ----------
        X : Dask DataFrame or array, or anything that scikit-learn takes
            What `transform` returned.
        **params
            For scikit-learn's ``inverse_transform``; not possible on Dask input.

        Returns
        -------
        array or Dask collection
            Rows as they were before.
        """
        if not is_dask(X):
            return super(DaskEstimator, self).inverse_transform(X, **params)  # type: ignore[misc]
        check_is_fitted(self)
        return self._map("inverse_transform", X, params)

    _inverse.__name__ = "inverse_transform"
    inverse_transform = _where_genuine("inverse_transform")(_inverse)

    def _fit_and_transform(self, X: Any, y: Any, params: dict[str, Any]) -> Any:
        """Fit to Dask input, then transform it."""
        return self.fit(X, y, **params).transform(X)

    def _fit_any(self, X: Any, y: Any, params: dict[str, Any]) -> Self:
        """Fit to X; of the parameters only the weights of rows may be given on Dask input."""
        if not is_dask(X):
            with restored(self), sklearn_random_state(self):
                super(DaskEstimator, self).fit(X, y, **params)  # type: ignore[misc]
                return self._remember(X)
        weight = params.get("sample_weight")
        known = parameters_of(type(self), "fit")
        unknown = [name for name in params if name != "sample_weight" or name not in known]
        if unknown:
            raise TypeError(f"{type(self).__name__}.fit: {', '.join(unknown)} not possible on Dask input")
        self._check_parameters()
        table = prepare(self, X)
        spec = spec_of_table(table, weighted=weight is not None)
        if weight is None:
            with open_table(table, keep=self.many_passes) as engine:
                return self._fit_tables(engine, self._fit_steps(spec))
        with open_engine(X, None, weight, many_passes=self.many_passes) as engine:
            return self._fit_tables(engine, self._fit_steps(spec))

    def _fit_tables(self, source: Any, fit: Fit) -> Self:
        """Run a fit on raw rows, and take over what it learned."""
        self._keep(run(source, {None: fit})[None])
        return self

    def _keep(self, fitted: dict[str, Any]) -> None:
        forget(self)
        super()._keep(fitted)

    def _learned(self, fitted: Any, example: Any) -> dict[str, Any]:
        """Return the fitted state of a scikit-learn transformer as the attributes of this one."""
        parameters = self.get_params(deep=False)  # type: ignore[attr-defined]
        return {**{n: v for n, v in vars(fitted).items() if n not in parameters}, "_example": example}

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
        known = getattr(self, "_example", None)  # what learns nothing may not have been fitted
        example = like(known, table) if method == "transform" or known is None else self._outcome(method, twin, X)
        meta = as_on_workers(twin, getattr(twin, method)(example)[:0])
        return with_meta(map_rows(twin, method, table, meta), meta)

    def _outcome(self, method: str, twin: Any, X: Any) -> Any:
        """Return what transform gives, as an example of the input of ``inverse_transform``."""
        outcome = twin.transform(self._example)
        if n_features_of(X) != outcome.shape[1]:
            raise DataError(f"{method}: X has {n_features_of(X)} columns, expected the {outcome.shape[1]} of transform")
        return like(outcome, X)


def as_on_workers(twin: Any, meta: Any) -> Any:
    """Return an empty result of a scikit-learn estimator, which is set to give its like on workers.

    Raises
    ------
    DataError
        Where no Dask collection has such blocks.
    """
    if isinstance(meta, pd.DataFrame) and sklearn.get_config()["transform_output"] == "pandas":
        twin.set_output(transform="pandas")  # the workers do not have this process's configuration
    elif not isinstance(meta, (np.ndarray, pd.DataFrame)) and not is_sparse(meta):
        name = type(meta).__module__.partition(".")[0]
        raise DataError(f"set_output: expected 'default' or 'pandas' for Dask input, got {name!r}; compute it first")
    return meta


@contextmanager
def fitting(estimator: Any) -> Iterator[None]:
    """Leave the estimator as it was if the fit fails or is interrupted; show passes where it is verbose.

    BLAS keeps to one thread: solvers factor matrices between passes, and BLAS threads there wait for a busy neighbor
    (0.4 s for 20 ms).
    """
    shown = getattr(estimator, "verbose", 0)
    with restored(estimator), computing(), showing_passes(type(estimator).__name__) if shown else nullcontext():
        yield


@contextmanager
def restored(estimator: Any) -> Iterator[None]:
    """Leave the attributes of the estimator as they were if what is inside fails or is interrupted; record the fit."""
    before, inner = dict(vars(estimator)), getattr(estimator, "estimator", None)
    name = type(estimator).__name__
    try:
        with recorded(name if inner is None else f"{name} of {type(inner).__name__}"):
            yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


@contextmanager
def sklearn_random_state(estimator: Any) -> Iterator[None]:
    """Let scikit-learn's methods, which take no Generator as ``random_state``, draw from a RandomState made by it."""
    own = getattr(estimator, "random_state", None)
    if not isinstance(own, np.random.Generator):
        yield
        return
    estimator.random_state = random_state_of(own)
    try:
        yield
    finally:
        estimator.random_state = own


OWN_KINDS = ("average", "precompute", "refit", "verbose")
"""Parameters with a flag as their default that take something else, too."""


def check_common(estimator: Any) -> None:
    """Raise where a parameter that many estimators have, a flag, the seed or the verbosity, is not of its kind."""
    for name, parameter in inspect.signature(type(estimator).__init__).parameters.items():
        value = getattr(estimator, name, None)
        if isinstance(parameter.default, bool) and name not in OWN_KINDS:
            check_flags(**{name: value})
        if name == "verbose" and not isinstance(value, (bool, np.bool_)):
            check_number(name, value, low=0)
        if name == "random_state" and not isinstance(value, np.random.Generator):  # of which this would draw
            random_state_of(value)


def has_fit_steps(estimator: Any) -> bool:
    """Return whether an estimator writes a fit as a generator of reductions, and no subclass of a user's changes it.

    A subclass that writes its own of what is public in `DaskEstimator` is asked by that.
    """
    if not isinstance(estimator, DaskEstimator) or type(estimator)._fit_steps is DaskEstimator._fit_steps:
        return False
    package = __name__.partition(".")[0]
    public = {name for name in vars(DaskEstimator) if not name.startswith("_")}
    for kind in type(estimator).__mro__:
        if kind.__module__.partition(".")[0] == package or "_fit_steps" in vars(kind):
            return True
        if not public.isdisjoint(vars(kind)):
            return False
    return True


def with_head(spec: DataSpec, *reductions: Any) -> Generator[Any, Any, tuple[Any, list[Any]]]:
    """Ask for reductions, and for some rows where the data are not known to have any; return rows and answers."""
    if spec.example is not None:
        answers = (yield reductions) if reductions else ()
        return spec.example, list(answers)
    if spec.numeric:
        answers = (yield reductions) if reductions else ()
        return np.zeros((1, spec.n_features), spec.dtype), list(answers)
    head, *rest = yield (Head(), *reductions)
    return head, rest


def numbers(spec: DataSpec, reduction: Any) -> Any:
    """Return a reduction over the rows as numbers, which rows of a table may not be yet."""
    return reduction if spec.numeric else AsNumbers(reduction)


def of_numbers(spec: DataSpec, fit: Fit, *, nan: bool = True) -> Generator[Any, Any, tuple[Any, Any]]:
    """Run a fit on the rows as numbers; return some rows as they are, and what the fit returns.

    ``nan`` says whether rows of a table may hold NaN.
    """
    shown = fit if spec.numeric else seen(View(partial(AsNumbers, nan=nan)), fit)
    (head, _), found = (yield from lockstep({"head": with_head(spec), "fit": shown})).values()
    return head, found


def spec_of_table(table: Any, *, weighted: bool = False) -> DataSpec:
    """Return what is known of a Dask frame or array before it is read.

    Blocks ``weighted`` by rows are arrays, and lose the names of a frame, which made-up rows keep.
    """
    example = like(None, table) if weighted and isinstance(table, dd.DataFrame) else None
    return DataSpec(n_features_of(table), numeric=False, example=example)


def n_outputs_of(y: Any) -> int | None:
    """Return the number of columns of a 2-dimensional target, None for a vector or no target."""
    return int(y.shape[1]) if len(getattr(y, "shape", ())) == 2 else None


def precision_of(X: Any) -> Any:
    """Return the type of fitted coefficients: float32 where X, an array or a data frame, is float32 throughout."""
    dtypes = X.dtypes if hasattr(X, "dtypes") else [getattr(X, "dtype", None)]
    return np.float32 if all(dtype == np.float32 for dtype in dtypes) else np.float64


def without_names(twin: Any) -> Any:
    """Make a scikit-learn estimator take rows without names, and not write to them; return it."""
    vars(twin).pop("feature_names_in_", None)
    if getattr(twin, "copy", True) is False:
        twin.copy = True
    return twin


def genuine_class(kind: type[Any]) -> type[Any]:
    """Return the scikit-learn class that a class of ours extends."""
    return next(c for c in kind.__mro__ if c.__module__.startswith("sklearn.") and issubclass(c, BaseEstimator))


def parameters_of(kind: type[Any], method: str = "__init__") -> list[str]:
    """Return the names of the parameters of a method, by default the constructor."""
    known = inspect.signature(getattr(kind, method)).parameters.values()
    return [p.name for p in known if p.name != "self" and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def constructor(genuine: type[Any], **changed: Any) -> Any:
    """Return the constructor of a scikit-learn class with other defaults, or with parameters added at its end.

    So it has the parameters of the scikit-learn that is installed.

    Examples
    --------
    >>> import sklearn.linear_model
    >>> class Mine(sklearn.linear_model.Ridge):
    ...     __init__ = constructor(sklearn.linear_model.Ridge, alpha=2.0, verbose=0)
    >>> Mine(tol=0.1)
    Mine(tol=0.1)
    >>> Mine().alpha, Mine(verbose=1).get_params()["verbose"]
    (2.0, 1)
    """
    known = inspect.signature(genuine.__init__)
    names = [p.replace(default=changed.get(p.name, p.default)) for p in known.parameters.values()]
    added = {name: value for name, value in changed.items() if name not in known.parameters}
    kind = inspect.Parameter.KEYWORD_ONLY
    signature = known.replace(parameters=[*names, *(inspect.Parameter(n, kind, default=v) for n, v in added.items())])

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        vars(self).update({name: value for name, value in bound.arguments.items() if name != "self"})

    __init__.__signature__ = signature  # type: ignore[attr-defined]
    return __init__


def refuse_in_place(transformer: Any) -> None:
    """Raise where ``transformer`` would write into the blocks it reads."""
    if transformer.get_params().get("copy") is False:
        raise DataError(
            f"{type(transformer).__name__}: copy=False is not possible on Dask data, which is never written to; "
            "leave copy=True"
        )


def prepare(transformer: Any, X: Any) -> Any:
    """Check Dask input of a fit, and return it ready to be asked about."""
    if n_features_of(X) == 0:
        raise DataError(f"Found array with 0 feature(s) (shape={X.shape}) while a minimum of 1 is required.")
    check_names(X)
    refuse_in_place(transformer)
    return plain_strings(X)


def forget(estimator: Any) -> None:
    """Remove the fitted attributes of an earlier fit."""
    for name in [name for name in vars(estimator) if name.endswith("_") and not name.startswith("_")]:
        delattr(estimator, name)
