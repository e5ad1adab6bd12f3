"""Base class of ensembles of named estimators: what they share of fits on Dask data and of their conversion."""

from __future__ import annotations

import numbers
from typing import Any, NamedTuple, Self

import dask
import dask.array as da
from sklearn.base import is_classifier
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted

from daskml_kit.base import DaskEstimator, check_common, fitting, forget, restored
from daskml_kit.composition import without_dask
from daskml_kit.data.collections import is_dask
from daskml_kit.ensemble.members import check_members, members_of, target_of
from daskml_kit.model_selection.search.best_estimator import apply_lazily
from daskml_kit.model_selection.search.evaluate import routing_enabled
from daskml_kit.typing import Labels
from daskml_kit.validation import plain_strings


class FitInputs(NamedTuple):
    """Rows, target as a lazy vector, the labels that it numbers, if any, and parameters for the members' ``fit``."""

    X: Any
    y: Any
    labels: Labels | None
    params: dict[str, Any]


class NamedEnsemble(DaskEstimator):
    """Base of the ensembles of named estimators: data in memory is scikit-learn's own affair."""

    estimators: list[tuple[str, Any]]
    estimators_: list[Any]

    def fit(self, X: Any, y: Any, **fit_params: Any) -> Self:  # type: ignore[override]
        """Fit the estimators.

        Parameters
        ----------
        X : Dask array or DataFrame, NumPy array, pandas DataFrame or sparse matrix, of shape (n_samples, n_features)
        y : array, Series or Dask array of shape (n_samples,)
        **fit_params
            ``sample_weight``, an array or Dask array of shape (n_samples,), for all estimators.

        Returns
        -------
        estimator
            Itself.

        Raises
        ------
        DataError
            Where the data cannot be used; it names the argument and the block.
        """
        if is_dask(X):
            with fitting(self):
                check_common(self)
                check_members(self)
                self._check_parameters()
                self._keep(self._fitted(self._inputs(X, y, fit_params)))
            return self
        y, fit_params = dask.compute(y, fit_params)
        with restored(self):
            forget(self)
            super(DaskEstimator, self).fit(X, y, **fit_params)  # type: ignore[misc]
        return self

    def _fitted(self, given: FitInputs) -> dict[str, Any]:
        """Fit on Dask data, and return the fitted attributes."""
        raise NotImplementedError

    def _inputs(self, X: Any, y: Any, fit_params: dict[str, Any]) -> FitInputs:
        if routing_enabled():
            raise ValueError("fit: metadata routing is not possible on Dask data: sample_weight goes to all estimators")
        params = {name: value for name, value in fit_params.items() if value is not None}
        if strange := [name for name in params if name != "sample_weight"]:
            raise TypeError(f"fit: expected no other parameters than sample_weight, got {', '.join(strange)}")
        if y is None:
            raise ValueError(f"This {type(self).__name__} estimator requires y to be passed, but the target y is None.")
        X = plain_strings(X)
        target, labels = target_of(X, y, labeled=is_classifier(self))
        if isinstance(params.get("sample_weight"), numbers.Real):
            params["sample_weight"] = da.full(target.shape, float(params["sample_weight"]), chunks=target.chunks)
        return FitInputs(X, target, labels, params)

    def _named(self, members: list[Any]) -> dict[str, Any]:
        """Return the fitted attributes that tell of the members, in the order of `members_of`."""
        by_name = dict(zip(members_of(self), members, strict=True))
        names = next((m.feature_names_in_ for m in members if hasattr(m, "feature_names_in_")), None)
        return {
            "estimators_": members,
            "named_estimators_": Bunch(**{name: by_name.get(name, "drop") for name, _ in self.estimators}),
            **({} if names is None else {"feature_names_in_": names}),
        }

    def to_sklearn(self) -> Any:
        """Return the scikit-learn ensemble with the same parameters and fitted state, nothing of ours in it.

        Returns
        -------
        estimator
            Its estimators are scikit-learn's, too.
        """
        twin = super().to_sklearn()
        if hasattr(self, "estimators_"):
            twin.estimators_ = list(map(without_dask, self.estimators_))
            plain = dict(zip(map(id, self.estimators_), twin.estimators_, strict=True))
            named: Any = vars(self)["named_estimators_"]
            twin.named_estimators_ = Bunch(**{name: plain.get(id(member), member) for name, member in named.items()})
        return twin

    def _sklearn_parameters(self, genuine: type[Any]) -> dict[str, Any]:
        return {**super()._sklearn_parameters(genuine), "estimators": without_dask(self.estimators)}

    def _apply(self, method: str, X: Any, meta: Any = None) -> Any:
        check_is_fitted(self)
        return apply_lazily(self.to_sklearn(), method, X, meta)

    def _keep(self, fitted: dict[str, Any]) -> None:
        forget(self)
        super()._keep(fitted)
