"""Transformers of the same columns, fitted together."""

from __future__ import annotations

from typing import Any, Self

import sklearn.pipeline
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.preprocessing import FunctionTransformer

from daskml_kit.arguments import check_flags, check_mapping, check_named
from daskml_kit.base import DaskTransformer, restored, with_head
from daskml_kit.composition import fit_steps, fits_by_reductions, needs_many_passes, sees_targets, without_dask
from daskml_kit.data.collections import is_dask
from daskml_kit.exceptions import DataError
from daskml_kit.solvers.run import lockstep
from daskml_kit.solvers.types import DataSpec, Fit


class FeatureUnion(DaskTransformer, sklearn.pipeline.FeatureUnion):  # type: ignore[misc]
    """Apply several transformers to the same columns, and put their results side by side.

    On Dask input all transformers fit together, and share their passes; ``transform`` is one task a block. Parameters,
    attributes and methods are those of `sklearn.pipeline.FeatureUnion`. Pipelines are scikit-learn's own, whose steps
    may be any of these.

    Parameters
    ----------
    transformer_list : list of (name, transformer)
        On Dask input transformers of daskml_kit, and what `daskml_kit.compose.ColumnTransformer` takes.
    n_jobs : int, default None
        Must be None on Dask input, where the scheduler decides.
    transformer_weights : dict, default None
        Factors of the results of transformers, by name.
    verbose : bool, default False
        Must be False on Dask input, where transformers fit all at once.
    verbose_feature_names_out : bool, default True
        Whether names of output columns begin with the name of their transformer.

    See Also
    --------
    make_union : The same, with names made of types.
    daskml_kit.compose.ColumnTransformer : Transformers of different columns.

    Examples
    --------
    >>> import dask.array as da
    >>> import numpy as np
    >>> from daskml_kit.preprocessing import MaxAbsScaler, MinMaxScaler
    >>> both = FeatureUnion([("low", MinMaxScaler()), ("all", MaxAbsScaler())])
    >>> both.fit_transform(da.from_array(np.array([[1.0], [2.0]]), chunks=1)).compute()
    array([[0. , 0.5],
           [1. , 1. ]])
    """

    transforms_rows = False  # parts may want the columns of a frame by name

    @property
    def many_passes(self) -> bool:
        """Return whether one pass over the data is not enough."""
        return any(needs_many_passes(part) for _, part in self.transformer_list)

    def to_sklearn(self) -> Any:
        """Return scikit-learn's FeatureUnion of scikit-learn's transformers, free of Dask.

        Returns
        -------
        sklearn.pipeline.FeatureUnion
            Fitted where this one is.
        """
        twin = sklearn.pipeline.FeatureUnion(**without_dask(self.get_params(deep=False)))
        own = {name: value for name, value in vars(clone(self)).items() if name not in self.get_params(deep=False)}
        vars(twin).update(own)  # what set_output has said
        return twin

    def _check_parameters(self) -> None:
        check_named("transformer_list", self.transformer_list, 2)
        if self.transformer_weights is not None:
            check_mapping("transformer_weights", self.transformer_weights)
        check_flags(verbose_feature_names_out=self.verbose_feature_names_out)

    def _fit_any(self, X: Any, y: Any, params: dict[str, Any]) -> Self:
        if not is_dask(X):
            return super()._fit_any(X, y, params)
        self._check_parameters()
        own: Any = self
        with restored(self):
            alone = {name: clone(part).fit(X, y) for name, part in own.transformer_list if sees_targets(part)}
            frozen = {name: FrozenEstimator(part) for name, part in alone.items()}
            own.transformer_list = [(name, frozen.get(name, part)) for name, part in own.transformer_list]
            super()._fit_any(X, y, params)
            own.transformer_list = [(name, alone.get(name, part)) for name, part in own.transformer_list]
        return self

    def _fit_steps(self, spec: DataSpec) -> Fit:
        if self.n_jobs is not None:
            raise DataError(f"n_jobs: expected None on Dask input, whose scheduler decides, got {self.n_jobs!r}")
        if self.verbose:
            raise DataError("verbose: expected False on Dask input, where the transformers fit all at once")
        fits: dict[str, Any] = {}
        for name, given in self.transformer_list:
            if given == "drop":
                continue
            passing = isinstance(given, str) and given == "passthrough"  # fitted, too, as in scikit-learn
            part = FunctionTransformer(feature_names_out="one-to-one") if passing else given
            if not fits_by_reductions(part):
                raise DataError(
                    f"transformer_list: {name!r} ({type(part).__name__}) cannot fit on Dask data; use its counterpart "
                    "of daskml_kit, or wrap it, fitted, in sklearn.frozen.FrozenEstimator"
                )
            fits[name] = fit_steps(clone(part), spec)
        (head, _), *fitted = (yield from lockstep({None: with_head(spec), **fits})).values()
        learned = dict(zip(fits, fitted, strict=True))
        parts = [(name, learned.get(name, part)) for name, part in self.transformer_list]
        return {"transformer_list": parts, "_example": head}


def make_union(*transformers: Any, **options: Any) -> FeatureUnion:
    """Return a `FeatureUnion` whose transformers get their names from their types.

    Parameters
    ----------
    *transformers : transformers
    **options : parameters of `FeatureUnion`

    Returns
    -------
    FeatureUnion
        Not fitted.

    See Also
    --------
    FeatureUnion : The same, with names of one's own.

    Examples
    --------
    >>> from daskml_kit.preprocessing import MinMaxScaler
    >>> make_union(MinMaxScaler()).transformer_list
    [('minmaxscaler', MinMaxScaler())]
    """
    named = sklearn.pipeline.make_union(*transformers, **options)
    return FeatureUnion(**named.get_params(deep=False))
