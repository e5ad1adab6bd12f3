"""Different transformers for different columns, fitted together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, Self

import dask.array as da
import sklearn.compose
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from daskml_kit.blockwise import Blockwise, prepare
from daskml_kit.compose.density import density_of
from daskml_kit.compose.parts import Part, pick, renumber, resolve
from daskml_kit.engines.blocks import is_dask
from daskml_kit.engines.tables import Tables
from daskml_kit.errors import DataError
from daskml_kit.example import like
from daskml_kit.queries.tables import Head, Select
from daskml_kit.study import Study, can_study, drive, needs_many_passes, seen, study_of, to_sklearn, together


class ColumnTransformer(Blockwise, sklearn.compose.ColumnTransformer):  # type: ignore[misc]
    """Apply transformers to columns, and put their results side by side.

    On Dask input all transformers fit together: one pass answers the first questions of all of them, the next pass the
    second, and so on. Where more than one pass is needed and the columns fit in memory, the source is read once.
    ``transform`` is one task a block. Parameters, attributes and methods are those of
    `sklearn.compose.ColumnTransformer`.

    Parameters
    ----------
    transformers : list of (name, transformer, columns)
        On Dask input the transformers of daskml_kit, those of scikit-learn that learn nothing, such as `Normalizer`,
        fitted ones in a `FrozenEstimator`, and Pipelines and FeatureUnions of all these.
    remainder : 'drop', 'passthrough' or transformer, default='drop'
    sparse_threshold : float, default=0.3
        The result is CSR where a transformer's is and no more than this share of all numbers is stored.
    n_jobs : int, default=None
        Must be None on Dask input, where the scheduler decides.
    transformer_weights : dict, default=None
    verbose : bool, default=False
        Must be False on Dask input, where transformers fit all at once.
    verbose_feature_names_out : bool, str or callable, default=True
    force_int_remainder_cols : default='deprecated'

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

    genuine: ClassVar[type[Any]] = sklearn.compose.ColumnTransformer

    @property
    def many_passes(self) -> bool:
        """Whether one pass over the data is not enough."""
        transformers = [*(transformer for _, transformer, _ in self.transformers), self.remainder]
        return any(isinstance(t, ColumnTransformer) or needs_many_passes(t) for t in transformers)

    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:
        """Fit all transformers.

        Parameters
        ----------
        X : Dask DataFrame or array, or anything that scikit-learn takes
        y : array, Dask array or Series, optional
            Given to those transformers of daskml_kit that look at it.

        Raises
        ------
        DataError
            Where a transformer cannot fit on Dask data, or a block cannot be used; it names which.
        """
        if not is_dask(X):
            return super().fit(X, y, **params)
        self._refuse(params)
        table = prepare(self, X)
        parts = resolve(self.transformers, self.remainder, like(None, table))
        needed = _needed(parts, table)
        at = {position: number for number, position in enumerate(needed)}
        direct = [part for part in parts if part.fits and not can_study(part.transformer)]
        tables = Tables(pick(table, needed), keep=self.many_passes or bool(direct))
        for part in direct:
            part.transformer.fit(pick(tables.collection(), renumber(part.positions, at)), y)
        drive(self._study([part.moved(at) for part in parts], lambda head: like(head, table)), tables)
        return self

    def study(self) -> Study:
        """Ask the questions of all transformers, as part of the study of another."""
        (head,) = yield (Head(),)
        self._refuse({})
        parts = resolve(self.transformers, self.remainder, head)
        for part in parts:
            if part.fits and not can_study(part.transformer):
                raise DataError(f"transformers: {part.name!r} cannot fit on Dask data inside another ColumnTransformer")
        yield from self._study(parts, lambda head: head)

    def to_sklearn(self) -> Any:
        """Return scikit-learn's ColumnTransformer of scikit-learn's transformers, free of Dask."""
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

    def _study(self, parts: Sequence[Part], complete: Callable[[Any], Any]) -> Study:
        """Fit the parts, and take over the whole; ``complete`` makes rows of all columns of the first that are read."""
        heads: list[Any] = []
        studies = [
            seen(partial(Select, positions=part.positions), study_of(part.transformer))
            for part in parts
            if part.fits and can_study(part.transformer)
        ]
        yield from together([_keep_head(heads), *studies])
        example = complete(heads[0])
        whole = self._freeze([(p.name, p.transformer, p.columns) for p in parts[:-1]], parts[-1].transformer, example)
        density = yield from density_of(parts, heads[0])
        if density is not None:
            whole.sparse_output_ = bool(density < self.sparse_threshold)
        ours = {part.name: part.transformer for part in parts if part.fits}
        whole.transformers_ = [(name, ours.get(name, fitted), columns) for name, fitted, columns in whole.transformers_]
        self._adopt(whole, example)

    def _twin(self, transformers: Sequence[Any], remainder: Any) -> Any:
        """Return scikit-learn's unfitted ColumnTransformer, set up like this one."""
        given = zip(self.transformers, transformers, strict=True)
        plain = [(name, _unfitted(transformer), columns) for (name, _, columns), transformer in given]
        options = {**self.get_params(deep=False), "transformers": plain, "remainder": _unfitted(remainder)}
        twin = self.genuine(**options)
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

    Examples
    --------
    >>> from daskml_kit.preprocessing import StandardScaler
    >>> make_column_transformer((StandardScaler(), ["wind"])).transformers
    [('standardscaler', StandardScaler(), ['wind'])]
    """
    named = sklearn.compose.make_column_transformer(*transformers, **options)
    return ColumnTransformer(**named.get_params(deep=False))


def _keep_head(heads: list[Any]) -> Study:
    (head,) = yield (Head(),)
    heads.append(head)


def _needed(parts: Sequence[Part], table: Any) -> list[int]:
    """Return the positions of the columns that some part reads to fit; of an array, which has one type, all."""
    if isinstance(table, da.Array):
        return list(range(table.shape[1]))
    read = {position for part in parts if part.fits for position in part.all_positions}
    return sorted(read) or [0]


def _unfitted(transformer: Any) -> Any:
    return transformer if isinstance(transformer, str) else clone(to_sklearn(transformer))


def _frozen(transformer: Any) -> Any:
    return transformer if isinstance(transformer, str) else FrozenEstimator(to_sklearn(transformer))


def _thawed(transformer: Any) -> Any:
    return transformer.estimator if isinstance(transformer, FrozenEstimator) else transformer
