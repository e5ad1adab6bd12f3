"""Selection of the features that are important to a model."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import sklearn.feature_selection
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from daskml_kit.arguments import check_inner, check_number
from daskml_kit.base import DaskEstimator, check_common, fitting, restored
from daskml_kit.data.collections import is_dask
from daskml_kit.feature_selection.base import FeatureSelector
from daskml_kit.feature_selection.rfe import importance_of
from daskml_kit.model_selection.search.best_estimator import refit_on_all


class SelectFromModel(FeatureSelector, sklearn.feature_selection.SelectFromModel):  # type: ignore[misc]
    """Fit a model, and select the features whose importance to it is above a threshold.

    Models of daskml_kit are fitted where the data lie; for scikit-learn's the blocks are joined, on a worker if there
    is a cluster.

    Parameters
    ----------
    estimator : estimator
        With ``coef_`` or ``feature_importances_``.
    threshold : float or str, default None
        Least importance, or "mean", "median" or a multiple such as "1.25*mean"; by default the mean, or with an l1
        penalty 1e-5.
    prefit : bool, default False
        Whether the model is fitted already.
    norm_order : int, inf or -inf, default 1
        Norm of the coefficients of several outputs.
    max_features : int or callable, default None
        Most features that are selected; a function is given X.
    importance_getter : "auto", str or callable, default "auto"
        Where the importance of features is in the fitted model.

    Attributes
    ----------
    estimator_ : estimator
        The fitted model.
    n_features_in_ : int
    threshold_ : float
    max_features_ : int

    See Also
    --------
    RFE : Fits again after each few features.

    Examples
    --------
    >>> import dask.array as da
    >>> from daskml_kit.linear_model import Lasso
    >>> X = da.random.default_rng(0).normal(size=(100, 4), chunks=(25, 4))
    >>> SelectFromModel(Lasso(alpha=0.1)).fit(X, X[:, 0] - 3 * X[:, 2]).get_support()
    array([ True, False,  True, False])
    """

    def fit(self, X: Any, y: Any = None, **fit_params: Any) -> Any:  # type: ignore[override]
        """Fit the model.

        Parameters
        ----------
        X : Dask array or DataFrame, NumPy array, pandas DataFrame or sparse matrix, of shape (n_samples, n_features)
        y : array or Dask array of shape (n_samples,), optional
        **fit_params
            For the model's ``fit``.

        Returns
        -------
        SelectFromModel
            Itself.

        Raises
        ------
        DataError
            Where the data cannot be used.
        """
        if not is_dask(X) and not is_dask(y):
            with restored(self):
                super(DaskEstimator, self).fit(X, y, **fit_params)
            return self
        check_inner("estimator", self.estimator, "fit")
        check_common(self)
        self._check_parameters()
        with fitting(self):
            most = self.max_features(X) if callable(self.max_features) else self.max_features
            if most is not None:
                check_number("max_features", most, low=0, integer=True)
                self.max_features_ = most
            if self.prefit:
                check_is_fitted(self.estimator)
                self.estimator_ = deepcopy(self.estimator)
            else:
                self.estimator_ = refit_on_all(clone(self.estimator), X, y, fit_params)
            if hasattr(self.estimator_, "feature_names_in_"):
                self.feature_names_in_ = self.estimator_.feature_names_in_
            importance_of(self.importance_getter)(self.estimator_)
            self.get_support()  # refuses a threshold that it does not understand
        return self

    @property
    def n_features_in_(self) -> int:
        """Number of features that the model was fitted on."""
        model = self.estimator if self.prefit and not hasattr(self, "estimator_") else self.estimator_
        return int(model.n_features_in_)

    def __sklearn_is_fitted__(self) -> bool:
        """Return whether `transform` can be called: with ``prefit`` the model needs to be fitted, and not this."""
        return self.prefit or hasattr(self, "estimator_")

    def _check_parameters(self) -> None:
        importance_of(self.importance_getter)
        if self.threshold is not None and not isinstance(self.threshold, str):
            check_number("threshold", self.threshold, low=-np.inf, infinite=True)
        order = -self.norm_order if isinstance(self.norm_order, int) and self.norm_order < 0 else self.norm_order
        if order not in (np.inf, -np.inf):
            check_number("norm_order", order, low=1, integer=True)
