"""The best model of a search, and its methods over Dask blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dask
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from daskml_kit.engines.blocks import is_dask
from daskml_kit.engines.rows import align_rows
from daskml_kit.example import like
from daskml_kit.model_selection.adaptive.sources import joined
from daskml_kit.model_selection.adaptive.visits import judge
from daskml_kit.twin import map_rows
from daskml_kit.validation import check_features


def has(method: str) -> Callable[[Any], bool]:
    """Return the check that the best model, or before a fit the estimator, has a method."""

    def check(search: Any) -> bool:
        return hasattr(getattr(search, "best_estimator_", search.estimator), method)

    return check


class BestModel:
    """Mixin of searches: what comes after ``fit`` is the best model's, lazily on Dask input."""

    best_estimator_: Any
    scorer_: Any
    predict_meta: Any
    predict_proba_meta: Any
    transform_meta: Any

    @property
    def classes_(self) -> Any:
        """The classes of the best model."""
        return self._fitted().classes_

    @property
    def n_features_in_(self) -> int:
        """The number of features of the best model."""
        return int(self._fitted().n_features_in_)

    @property
    def feature_names_in_(self) -> Any:
        """The names of the features of the best model, where it was trained on data frames."""
        return self._fitted().feature_names_in_

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "best_estimator_")

    def to_sklearn(self) -> Any:
        """Return the best model, a scikit-learn estimator free of Dask."""
        check_is_fitted(self)
        return self.best_estimator_

    @available_if(has("predict"))  # type: ignore[untyped-decorator]
    def predict(self, X: Any) -> Any:
        """Predict with the best model."""
        return self._best("predict", X, self.predict_meta)

    @available_if(has("predict_proba"))  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> Any:
        """Return the probabilities of the classes."""
        return self._best("predict_proba", X, self.predict_proba_meta)

    @available_if(has("predict_log_proba"))  # type: ignore[untyped-decorator]
    def predict_log_proba(self, X: Any) -> Any:
        """Return the logarithms of the probabilities of the classes."""
        return self._best("predict_log_proba", X, self.predict_proba_meta)

    @available_if(has("decision_function"))  # type: ignore[untyped-decorator]
    def decision_function(self, X: Any) -> Any:
        """Return the values by which the best model decides."""
        return self._best("decision_function", X, None)

    @available_if(has("transform"))  # type: ignore[untyped-decorator]
    def transform(self, X: Any) -> Any:
        """Transform with the best model."""
        return self._best("transform", X, self.transform_meta)

    @available_if(has("inverse_transform"))  # type: ignore[untyped-decorator]
    def inverse_transform(self, X: Any) -> Any:
        """Undo `transform` of data in memory."""
        return self.to_sklearn().inverse_transform(X)

    def score(self, X: Any, y: Any = None) -> float:
        """Return the best model's score by ``scoring``; of Dask data, which one worker has to have room for."""
        model = self.to_sklearn()
        given = {name: part for name, part in (("X", X), ("y", y)) if part is not None}
        if not any(map(is_dask, given.values())):
            return judge(model, tuple(given.values()), self.scorer_)[0]
        blocks = list(zip(*(column.blocks for column in align_rows(given).columns), strict=True))
        (score,) = dask.compute(dask.delayed(_score)(model, blocks, self.scorer_))
        return float(score)

    def _best(self, method: str, X: Any, meta: Any) -> Any:
        model = self.to_sklearn()
        if not is_dask(X):
            return getattr(model, method)(X)
        if hasattr(model, "n_features_in_"):
            check_features(model, X)
        return map_rows(model, method, X, getattr(model, method)(like(None, X))[:0] if meta is None else meta)

    def _fitted(self) -> Any:
        if not self.__sklearn_is_fitted__():
            raise AttributeError(f"{type(self).__name__} is not fitted yet")
        return self.best_estimator_


def _score(model: Any, blocks: Any, scorer: Any) -> float:
    return judge(model, joined(blocks), scorer)[0]
