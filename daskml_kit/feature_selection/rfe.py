"""Recursive feature elimination."""

from __future__ import annotations

import warnings
from numbers import Integral
from typing import Any

import numpy as np
import sklearn.feature_selection

from daskml_kit.arguments import check_number
from daskml_kit.data.collections import is_dask
from daskml_kit.feature_selection.elimination import Eliminated, eliminate, importance_of, step_of
from daskml_kit.feature_selection.gram_fits import fit_on, scatters_of
from daskml_kit.feature_selection.model_selector import ModelSelector
from daskml_kit.model_selection.search.best_estimator import score_on
from daskml_kit.validation import Inputs


class Eliminator(ModelSelector):
    """Selector whose model predicts from the features that are left."""

    def score(self, X: Any, y: Any, **params: Any) -> float:  # type: ignore[override]
        """Return the score of the model on the selected features.

        Parameters
        ----------
        X : Dask array or DataFrame, or anything that scikit-learn takes, of shape (n_samples, n_features)
        y : array or Dask array of shape (n_samples,) or (n_samples, n_outputs)
        **params
            For the score; only with data in memory.

        Returns
        -------
        float
            Score.
        """
        own: Any = self
        if not is_dask(X) and not is_dask(y):
            return float(self.to_sklearn().score(X, y, **params))
        if params:
            raise ValueError(f"score: {', '.join(params)} not supported on Dask input")
        return float(score_on(own.estimator_, self.transform(X), y, getattr(self, "scoring", None)))


class RFE(Eliminator, sklearn.feature_selection.RFE):  # type: ignore[misc]
    """Fit a model, drop the features of least importance, and so on, until as few are left as are wanted.

    With `Ridge`, `LinearRegression`, `ElasticNet` or `Lasso` of daskml_kit all fits take one pass over the data.
    Other models of daskml_kit are fitted on lazily selected columns, scikit-learn's only in memory.

    Parameters
    ----------
    estimator : estimator
        With ``coef_`` or ``feature_importances_``.
    n_features_to_select : int or float, default None
        Number or share of the features that are left; by default half.
    step : int or float, default 1
        Number or share of the features that are dropped at a time.
    verbose : int, default 0
        Above 0, print the passes.
    importance_getter : "auto", str or callable, default "auto"
        Where the importance of features is in the fitted model.

    Attributes
    ----------
    support_ : bool array of shape (n_features,)
        Features that are left.
    ranking_ : int array of shape (n_features,)
        1 for those; the later one was dropped, the lower its rank.
    n_features_ : int
    estimator_ : estimator
        The model on the features that are left.

    See Also
    --------
    RFECV : Finds the number by cross-validation.

    References
    ----------
    Guyon, Weston, Barnhill and Vapnik, "Gene selection for cancer classification using support vector machines",
    Machine Learning 46, 2002.

    Examples
    --------
    >>> import dask.array as da
    >>> from daskml_kit.linear_model import Ridge
    >>> X = da.random.default_rng(0).normal(size=(100, 4), chunks=(25, 4))
    >>> RFE(Ridge(), n_features_to_select=2).fit(X, X[:, 0] - 3 * X[:, 2] + 0.1 * X[:, 3]).ranking_
    array([1, 3, 1, 2])
    """

    _taken = ("sample_weight",)

    def fit(self, X: Any, y: Any, **fit_params: Any) -> Any:  # type: ignore[override]
        """Eliminate features.

        Parameters
        ----------
        X : Dask array or DataFrame, NumPy array, pandas DataFrame or sparse matrix, of shape (n_samples, n_features)
        y : array or Dask array of shape (n_samples,) or (n_samples, n_outputs)
        **fit_params
            For the model's ``fit``: ``sample_weight``, in memory any.

        Returns
        -------
        RFE
            Itself.

        Raises
        ------
        DataError
            Where the data cannot be used, or are on Dask and the model takes none.
        ValueError
            Where a parameter is wrong.
        """
        return self._fit_model_selector(X, y, fit_params)

    def _check_parameters(self) -> None:
        check_step(self.step)
        importance_of(self.importance_getter)
        wanted = self.n_features_to_select
        if wanted is not None:
            whole = isinstance(wanted, Integral)
            check_number("n_features_to_select", wanted, low=1 if whole else 0, high=np.inf if whole else 1)

    def _wanted(self, n_features: int) -> int:
        wanted = self.n_features_to_select
        if wanted is None:
            return n_features // 2
        if not isinstance(wanted, Integral):
            return int(n_features * wanted)
        if int(wanted) > n_features:
            warnings.warn(
                f"Found n_features_to_select={wanted} > n_features={n_features}. There will be no feature selection "
                "and all features will be kept.",
                UserWarning,
                stacklevel=6,
            )
        return int(wanted)

    def _select_by_gram(self, inputs: Inputs, groups: Any) -> dict[str, Any]:
        found = scatters_of(inputs, None)
        n = found.spec.n_features
        return left(
            eliminate(
                n,
                self._wanted(n),
                step_of(self.step, n),
                lambda features: fit_on(self.estimator, found.whole, features, found.spec),
                importance_of(self.importance_getter),
            )
        ) | {"profile_": found.profile}

    def _select_lazily(self, inputs: Inputs, groups: Any) -> dict[str, Any]:
        n = inputs.X.shape[1]
        return left(
            eliminate(
                n,
                self._wanted(n),
                step_of(self.step, n),
                lambda features: self._fitted_on(*inputs[:2], features, inputs.sample_weight),
                importance_of(self.importance_getter),
            )
        )


def left(found: Eliminated) -> dict[str, Any]:
    """Return the fitted attributes of an elimination."""
    return {
        "support_": found.support,
        "ranking_": found.ranking,
        "n_features_": found.support.sum(),
        "estimator_": found.model,
    }


def check_step(step: Any) -> None:
    """Raise unless ``step`` is a whole number or a share."""
    if isinstance(step, Integral):
        check_number("step", step, low=1, integer=True)
    else:
        check_number("step", step, low=0, high=1)
        if not 0 < step < 1:
            raise ValueError(f"step: expected a whole number of at least 1, or a share between 0 and 1, got {step!r}")
