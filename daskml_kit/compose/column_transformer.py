"""Different transformers for different columns, fitted together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Self

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import scipy.sparse as sp
import sklearn.compose
from dask.array.utils import meta_from_array
from dask.dataframe.utils import make_meta
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from daskml_kit.arguments import check_mapping, check_named
from daskml_kit.base import DaskEstimator, DaskTransformer, prepare, restored, spec_of_table, with_head
from daskml_kit.composition import fit_steps, fits_by_reductions, needs_many_passes, sees_targets, without_dask
from daskml_kit.data.collections import is_dask
from daskml_kit.engines.open import open_table
from daskml_kit.exceptions import DataError
from daskml_kit.preprocessing.target_encoder import CrossFittedTransformer
from daskml_kit.reductions.frames import columns_at, is_sparse
from daskml_kit.reductions.reduction import Reduction
from daskml_kit.reductions.sparsity import Density
from daskml_kit.solvers.run import lockstep
from daskml_kit.solvers.types import DataSpec, Fit
from daskml_kit.solvers.views import of_columns, seen
from daskml_kit.validation import like


class ColumnStep(NamedTuple):
    """A transformer, its columns by name or otherwise, and where they are; one column given alone is an int."""

    name: str
    transformer: Any
    columns: Any
    positions: list[int] | int

    @property
    def fits(self) -> bool:
        """Return whether there is something to fit."""
        return not isinstance(self.transformer, str) and self.positions != []

    @property
    def all_positions(self) -> list[int]:
        return [self.positions] if isinstance(self.positions, int) else self.positions

    def moved(self, at: Mapping[int, int]) -> ColumnStep:
        """Return the part as it reads a table of fewer columns, if all of its are there."""
        return self._replace(positions=renumber(self.positions, at)) if self.fits else self


def resolve(transformers: Sequence[tuple[str, Any, Any]], remainder: Any, rows: Any) -> list[ColumnStep]:
    """Return the parts, the remainder last, with clones of the transformers.

    Parameters
    ----------
    transformers : list of (name, transformer, columns)
    remainder : 'drop', 'passthrough' or transformer
    rows : DataFrame or array
        Made-up rows with the names and types of the data.

    Raises
    ------
    DataError
        Where a transformer cannot fit on Dask data.

    Examples
    --------
    >>> rows = pd.DataFrame({"a": [0], "b": [0.5]})
    >>> [(part.name, part.positions) for part in resolve([("text", "drop", ["b"])], "passthrough", rows)]
    [('text', [1]), ('remainder', [0])]
    """
    parts = []
    for name, transformer, columns in transformers:
        chosen = columns(rows) if callable(columns) else columns
        parts.append(ColumnStep(name, _cloned(name, transformer), chosen, positions_of(chosen, rows)))
    taken = {position for part in parts for position in part.all_positions}
    rest = [position for position in range(rows.shape[1]) if position not in taken]
    return [*parts, ColumnStep("remainder", _cloned("remainder", remainder), rest, rest)]


def positions_of(columns: Any, rows: Any) -> list[int] | int:
    """Return where ``columns`` are, in any of scikit-learn's ways to say it.

    Examples
    --------
    >>> frame = pd.DataFrame({"a": [0], "b": [0], "c": [0]})
    >>> positions_of(slice("b", "c"), frame), positions_of([True, False, True], frame), positions_of("c", frame)
    ([1, 2], [0, 2], 2)
    """
    alone = isinstance(columns, (str, int, np.integer)) and not isinstance(columns, bool)
    numbers: Any = np.arange(rows.shape[1])[None, :]
    if isinstance(rows, pd.DataFrame):
        numbers = pd.DataFrame(numbers, columns=rows.columns)
    picker = sklearn.compose.ColumnTransformer([("pick", "passthrough", [columns] if alone else columns)])
    found = [int(number) for number in np.ravel(picker.fit_transform(numbers))]
    return found[0] if alone else found


def renumber(positions: list[int] | int, at: Mapping[int, int]) -> list[int] | int:
    return at[positions] if isinstance(positions, int) else [at[position] for position in positions]


def pick(table: Any, positions: list[int] | int) -> Any:
    """Return columns of a Dask collection by position."""
    if positions == list(range(table.shape[1])):
        return table
    if isinstance(table, da.Array):
        return table[:, positions]
    return table[table.columns[positions] if isinstance(positions, int) else list(table.columns[positions])]


def _cloned(name: str, transformer: Any) -> Any:
    if isinstance(transformer, str):
        return transformer
    if not (hasattr(transformer, "fit") and hasattr(transformer, "transform")):
        raise TypeError(
            f"transformers: expected an estimator with fit and transform, 'drop' or 'passthrough' for {name!r}, "
            f"got {transformer!r} (type {type(transformer).__name__})"
        )
    if not fits_by_reductions(transformer) and not _is_ours(transformer):
        raise DataError(
            f"transformers: {name!r} ({type(transformer).__name__}) cannot fit on Dask data; use its counterpart of "
            "daskml_kit, or wrap it, fitted, in sklearn.frozen.FrozenEstimator"
        )
    return clone(transformer)


def _is_ours(transformer: Any) -> bool:
    """Return whether every step fits on Dask data, though not by reductions."""
    steps = getattr(transformer, "steps", None) or getattr(transformer, "transformer_list", None)
    if steps is None:
        return isinstance(transformer, DaskEstimator) or fits_by_reductions(transformer)
    return all(isinstance(step, str) or step is None or _is_ours(step) for _, step in steps)


def _fits_alone(transformer: Any) -> bool:
    """Return whether a transformer cannot share passes with others on the rows of a table, which have no targets."""
    return sees_targets(transformer) or not fits_by_reductions(transformer)


def cross_fits(transformer: Any) -> bool:
    """Return whether ``fit_transform`` of a transformer is not its ``transform`` after ``fit``."""
    held = ("steps", "transformer_list", "transformers")
    parts = [part for name in held for part in getattr(transformer, name, ())]
    return isinstance(transformer, CrossFittedTransformer) or any(cross_fits(part[1]) for part in parts)


def density_of(
    parts: Sequence[ColumnStep], head: Any
) -> Generator[tuple[Reduction, ...], tuple[Any, ...], float | None]:
    """Return the share of stored numbers in the results of fitted parts; None where no result is sparse.

    It takes a pass only where the first rows, ``head``, do not tell: one-hot columns hold a one for each feature.
    """
    models = [(_model(part), part.positions) for part in parts if part.fits or _passes(part, head)]
    results = [model.transform(columns_at(head, positions)) for model, positions in models]
    if not any(is_sparse(result) for result in results):
        return None
    passed = [len(part.all_positions) for part in parts if part.transformer == "passthrough" and not is_sparse(head)]
    sizes = [(_stored(model, result), result.shape[1]) for (model, _), result in zip(models, results, strict=True)]
    if any(stored is None for stored, _ in sizes):
        (counted,) = yield (Density(models),)
        sizes = [tuple(size) for size in counted / (counted[0, 1] / results[0].shape[1])]
    stored = sum(passed) + sum(float(stored or 0) for stored, _ in sizes)
    return stored / (sum(passed) + sum(float(width) for _, width in sizes))


def _passes(part: ColumnStep, head: Any) -> bool:
    return isinstance(part.transformer, str) and part.transformer == "passthrough" and is_sparse(head)


def _model(part: ColumnStep) -> Any:
    return without_dask(part.transformer) if part.fits else FunctionTransformer().fit(np.zeros((1, 1)))


def _stored(model: Any, result: Any) -> int | None:
    """Return the numbers that each row stores, where that is known without looking."""
    if not is_sparse(result):
        return int(result.shape[1])
    known = isinstance(model, OneHotEncoder) and model.drop is None and isinstance(model.categories, str)
    return int(model.n_features_in_) if known else None


class ColumnTransformer(DaskTransformer, sklearn.compose.ColumnTransformer):  # type: ignore[misc]
    """Apply transformers to columns, and put their results side by side.

    On Dask input all transformers fit together: one pass answers the first reductions of all of them, the next pass the
    second, and so on. Where more than one pass is needed and the columns fit in memory, the source is read once.
    ``transform`` is one task a block. In ``fit_transform`` a `daskml_kit.preprocessing.TargetEncoder` encodes each row
    by what the rows of other folds have taught, as its own does. Parameters, attributes and methods are those of
    `sklearn.compose.ColumnTransformer`.

    Parameters
    ----------
    transformers : list of (name, transformer, columns)
        On Dask input the transformers of daskml_kit, those of scikit-learn that learn nothing, such as `Normalizer`,
        fitted ones in a `FrozenEstimator`, and Pipelines and FeatureUnions of all these.
    remainder : "drop", "passthrough" or transformer, default "drop"
        For the columns that no transformer takes.
    sparse_threshold : float, default 0.3
        The result is CSR where a transformer's is and no more than this share of all numbers is stored.
    n_jobs : int, default None
        Must be None on Dask input, where the scheduler decides.
    transformer_weights : dict, default None
        Factors of the results of transformers, by name.
    verbose : bool, default False
        Must be False on Dask input, where transformers fit all at once.
    verbose_feature_names_out : bool, str or callable, default True
        Whether names of output columns begin with the name of their transformer, or how they are made.

    Attributes
    ----------
    transformers_ : list of (name, fitted transformer, columns)
    output_indices_ : dict of str to slice
        Output columns of each transformer.
    sparse_output_ : bool

    See Also
    --------
    make_column_transformer : The same, with names made of types.

    Examples
    --------
    >>> import dask.dataframe as dd
    >>> import pandas as pd
    >>> from daskml_kit.preprocessing import OneHotEncoder, StandardScaler
    >>> frame = dd.from_pandas(pd.DataFrame({"city": ["Oslo", "Rome"], "wind": [1.0, 3.0]}), npartitions=2)
    >>> both = ColumnTransformer([("one", OneHotEncoder(), ["city"]), ("num", StandardScaler(), ["wind"])])
    >>> both.fit_transform(frame).compute()
    array([[ 1.,  0., -1.],
           [ 0.,  1.,  1.]])
    """

    transforms_rows = False  # columns of a frame may be chosen by name

    @property
    def many_passes(self) -> bool:
        """Return whether one pass over the data is not enough."""
        transformers = [*(transformer for _, transformer, _ in self.transformers), self.remainder]
        return any(isinstance(t, ColumnTransformer) or needs_many_passes(t) for t in transformers)

    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:  # type: ignore[override]
        """Fit all transformers.

        Parameters
        ----------
        X : Dask DataFrame or array, or anything that scikit-learn takes
        y : array, Dask array or Series, optional
            Given to those transformers of daskml_kit that look at it.
        **params
            For transformers in memory, by scikit-learn's metadata routing.

        Returns
        -------
        ColumnTransformer
            Itself.

        Raises
        ------
        DataError
            Where a transformer cannot fit on Dask data, or a block cannot be used; it names which.
        """
        if not is_dask(X):
            return super().fit(X, y, **params)
        self._check_parameters()
        self._refuse(params)
        self._fit_together(X, y)
        return self

    def _fit_and_transform(self, X: Any, y: Any, params: dict[str, Any]) -> Any:
        self._check_parameters()
        self._refuse(params)
        with restored(self):
            crossed = self._fit_together(X, y, cross=True)
            rows = self.transform(X)
            if not crossed:
                return rows
            if not isinstance(rows, da.Array):
                name = next(iter(crossed))
                raise DataError(f"set_output: expected 'default' where rows are cross-fitted, as by {name!r}")
            weights = self.transformer_weights or {}
            places = [(self.output_indices_[name], weights.get(name, 1.0)) for name in crossed]
            options = {"dtype": rows.dtype, "meta": meta_from_array(rows)}
            return rows.map_blocks(_with_columns, *crossed.values(), places=places, **options)

    def _fit_together(self, X: Any, y: Any, *, cross: bool = False) -> dict[str, Any]:
        """Fit all parts; return the rows of those that are cross-fitted, by their names, where they shall be."""
        table = prepare(self, X)
        # made-up rows have no categories, and a selector of types would miss those columns
        typed = make_meta(table) if isinstance(table, dd.DataFrame) else like(None, table)
        parts = resolve(self.transformers, self.remainder, typed)
        needed = _needed(parts, table)
        at = {position: number for number, position in enumerate(needed)}
        direct = [part for part in parts if part.fits and _fits_alone(part.transformer)]
        moved = [part.moved(at) for part in parts]
        crossed = {}
        with open_table(pick(table, needed), keep=self.many_passes or bool(direct)) as engine:
            for part in direct:
                if cross and cross_fits(part.transformer):
                    crossed[part.name] = part.transformer.fit_transform(pick(table, part.positions), y)
                else:
                    part.transformer.fit(pick(engine.collection(), renumber(part.positions, at)), y)
            fitted = {part.name for part in direct}
            steps = self._fit_parts(spec_of_table(table), moved, lambda head: like(head, table), fitted)
            self._fit_tables(engine, steps)
        return crossed

    def _check_parameters(self) -> None:
        check_named("transformers", self.transformers, 3)
        if self.transformer_weights is not None:
            check_mapping("transformer_weights", self.transformer_weights)

    def _fit_steps(self, spec: DataSpec) -> Fit:
        head, _ = yield from with_head(spec)
        self._refuse({})
        parts = resolve(self.transformers, self.remainder, head)
        for part in parts:
            if part.fits and not fits_by_reductions(part.transformer):
                raise DataError(f"transformers: {part.name!r} cannot fit on Dask data inside another ColumnTransformer")
        return (yield from self._fit_parts(spec, parts, lambda head: head))

    def to_sklearn(self) -> Any:
        """Return scikit-learn's ColumnTransformer of scikit-learn's transformers, free of Dask.

        Returns
        -------
        sklearn.compose.ColumnTransformer
            Fitted where this one is.
        """
        if not hasattr(self, "transformers_"):
            return self._twin([transformer for _, transformer, _ in self.transformers], self.remainder)
        fitted = {name: (transformer, columns) for name, transformer, columns in self.transformers_}
        given = [
            (name, transformer if isinstance(transformer, str) else fitted[name][0], fitted[name][1])
            for name, transformer, _ in self.transformers
        ]
        remainder = fitted.get("remainder", (self.remainder,))[0]
        twin = self._freeze(given, self.remainder if isinstance(self.remainder, str) else remainder, self._example)
        twin.sparse_output_ = self.sparse_output_
        return twin

    def _map(self, method: str, X: Any, params: dict[str, Any]) -> Any:
        self._refuse(params)
        return super()._map(method, X, params)

    def _refuse(self, params: dict[str, Any]) -> None:
        if params:
            raise DataError(f"{', '.join(params)}: cannot be routed to transformers on Dask input")
        if self.n_jobs is not None:
            raise DataError(f"n_jobs: expected None on Dask input, whose scheduler decides, got {self.n_jobs!r}")
        if self.verbose:
            raise DataError("verbose: expected False on Dask input, where the transformers fit all at once")

    def _fit_parts(
        self,
        spec: DataSpec,
        parts: Sequence[ColumnStep],
        complete: Callable[[Any], Any],
        fitted: Collection[str] = (),
    ) -> Fit:
        """Fit the other parts together; ``complete`` makes rows of all columns of the first that are read."""
        inner = {p.name: replace(spec, n_features=len(p.all_positions), example=None) for p in parts}
        fits = {
            part.name: seen(of_columns(part.positions), fit_steps(part.transformer, inner[part.name]))
            for part in parts
            if part.fits and part.name not in fitted
        }
        (head, _), *_ = (yield from lockstep({None: with_head(spec), **fits})).values()
        example = complete(head)
        whole = self._freeze([(p.name, p.transformer, p.columns) for p in parts[:-1]], parts[-1].transformer, example)
        density = yield from density_of(parts, head)
        if density is not None:
            whole.sparse_output_ = bool(density < self.sparse_threshold)
        ours = {part.name: part.transformer for part in parts if part.fits}
        whole.transformers_ = [(name, ours.get(name, fitted), columns) for name, fitted, columns in whole.transformers_]
        return self._learned(whole, example)

    def _twin(self, transformers: Sequence[Any], remainder: Any) -> Any:
        """Return scikit-learn's unfitted ColumnTransformer, set up like this one."""
        given = zip(self.transformers, transformers, strict=True)
        plain = [(name, _unfitted(transformer), columns) for (name, _, columns), transformer in given]
        options = {**self.get_params(deep=False), "transformers": plain, "remainder": _unfitted(remainder)}
        twin = sklearn.compose.ColumnTransformer(**options)
        vars(twin).update({name: value for name, value in vars(clone(self)).items() if name not in options})
        return twin

    def _freeze(self, fitted: Sequence[tuple[str, Any, Any]], remainder: Any, example: Any) -> Any:
        """Return scikit-learn's ColumnTransformer around fitted transformers, as if it had fitted them."""
        twin = self._twin([transformer for _, transformer, _ in fitted], remainder)
        options = {name: getattr(twin, name) for name in ("transformers", "remainder", "n_jobs")}
        frozen = [(name, _frozen(transformer), columns) for name, transformer, columns in fitted]
        twin.set_params(transformers=frozen, remainder=_frozen(remainder), n_jobs=None).fit(example)
        twin.set_params(**options)
        twin.transformers_ = [(name, _thawed(part), columns) for name, part, columns in twin.transformers_]
        return twin


def make_column_transformer(*transformers: tuple[Any, Any], **options: Any) -> ColumnTransformer:
    """Return a `ColumnTransformer` whose transformers get their names from their types.

    Parameters
    ----------
    *transformers : tuples of (transformer, columns)
    **options : parameters of `ColumnTransformer`

    Returns
    -------
    ColumnTransformer
        Not fitted.

    See Also
    --------
    ColumnTransformer : The same, with names of one's own.

    Examples
    --------
    >>> from daskml_kit.preprocessing import StandardScaler
    >>> make_column_transformer((StandardScaler(), ["wind"])).transformers
    [('standardscaler', StandardScaler(), ['wind'])]
    """
    named = sklearn.compose.make_column_transformer(*transformers, **options)
    return ColumnTransformer(**named.get_params(deep=False))


def _with_columns(rows: Any, *parts: Any, places: Sequence[tuple[slice, float]]) -> Any:
    """Return rows with some of their columns replaced by others, times a factor."""
    if not is_sparse(rows):
        rows = rows.copy()
        for part, (place, factor) in zip(parts, places, strict=True):
            rows[:, place] = part * factor
        return rows
    columns = rows.tocsc()
    order = sorted(zip(places, parts, strict=True), key=lambda pair: pair[0][0].start)
    pieces, last = [], 0
    for (place, factor), part in order:
        pieces += [columns[:, last : place.start], type(columns)(part * factor)]
        last = place.stop
    return type(rows)(sp.hstack([*pieces, columns[:, last:]], format="csr"))


def _needed(parts: Sequence[ColumnStep], table: Any) -> list[int]:
    """Return the positions of the columns that some part reads to fit; of an array, which has one type, all."""
    if isinstance(table, da.Array):
        return list(range(table.shape[1]))
    read = {position for part in parts if part.fits for position in part.all_positions}
    return sorted(read) or [0]


def _unfitted(transformer: Any) -> Any:
    return transformer if isinstance(transformer, str) else clone(without_dask(transformer))


def _frozen(transformer: Any) -> Any:
    return transformer if isinstance(transformer, str) else FrozenEstimator(without_dask(transformer))


def _thawed(transformer: Any) -> Any:
    return transformer.estimator if isinstance(transformer, FrozenEstimator) else transformer
