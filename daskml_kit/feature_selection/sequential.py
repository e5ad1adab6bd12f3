"""Sequential feature selection."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import Any

import numpy as np
import sklearn.feature_selection

from daskml_kit.arguments import check_choice, check_number
from daskml_kit.feature_selection.gram_fits import gram_scorer, mean_score, scatters_of
from daskml_kit.feature_selection.model_selector import ModelSelector, columns_of
from daskml_kit.model_selection.search.cross_validation import cross_val_score
from daskml_kit.model_selection.search.evaluate import folds_of
from daskml_kit.typing import Array
from daskml_kit.validation import Inputs


class SequentialFeatureSelector(ModelSelector, sklearn.feature_selection.SequentialFeatureSelector):  # type: ignore[misc]
    """Add, or drop, one feature after the other, each time the best by cross-validation.

    With `Ridge`, `LinearRegression`, `ElasticNet` or `Lasso` of daskml_kit, and a score that is one of squared errors,
    all fits and scores on all splits take one pass over the data. Other models of daskml_kit are fitted on lazily
    selected columns, scikit-learn's only in memory.

    Parameters
    ----------
    estimator : estimator
    n_features_to_select : "auto", int or float, default "auto"
        Number or share of the features; "auto" is half of them, or with ``tol`` as many as pay.
    tol : float, default None
        With "auto", the least gain in score of a further step.
    direction : {"forward", "backward"}, default "forward"
        Whether features are added or dropped.
    scoring : str or callable, default None
        Score; by default accuracy or R².
    cv : int, splitter or iterable, default 5
    n_jobs : int, default None
        Threads of fits in memory.

    Attributes
    ----------
    n_features_to_select_ : int
    support_ : bool array of shape (n_features,)
        Selected features.

    See Also
    --------
    RFECV : Needs far fewer fits, and importances.

    References
    ----------
    Ferri, Pudil, Hatef and Kittler, "Comparative study of techniques for large-scale feature selection", 1994.

    Examples
    --------
    >>> import dask.array as da
    >>> from daskml_kit.linear_model import Ridge
    >>> X = da.random.default_rng(0).normal(size=(100, 4), chunks=(25, 4))
    >>> model = SequentialFeatureSelector(Ridge(), n_features_to_select=2)
    >>> model.fit(X, X[:, 0] - 3 * X[:, 2]).get_support()
    array([ True, False,  True, False])
    """

    def fit(self, X: Any, y: Any = None, **params: Any) -> Any:  # type: ignore[override]
        """Select features.

        Parameters
        ----------
        X : Dask array or DataFrame, NumPy array, pandas DataFrame or sparse matrix, of shape (n_samples, n_features)
        y : array or Dask array of shape (n_samples,) or (n_samples, n_outputs), optional
        **params
            For fits, scores and splits in memory, by scikit-learn's metadata routing.

        Returns
        -------
        SequentialFeatureSelector
            Itself.

        Raises
        ------
        DataError
            Where the data cannot be used, or are on Dask and the model takes none.
        ValueError
            Where a parameter is wrong.
        """
        return self._fit_model_selector(X, y, params)

    def _by_gram(self) -> bool:
        return super()._by_gram() and gram_scorer(self.scoring, self.estimator) is not None

    def _check_parameters(self) -> None:
        check_choice("direction", self.direction, ("forward", "backward"))
        wanted = self.n_features_to_select
        if isinstance(wanted, str):
            check_choice("n_features_to_select", wanted, ("auto",))
        elif isinstance(wanted, Integral):
            check_number("n_features_to_select", wanted, low=1, integer=True)
        else:
            check_number("n_features_to_select", wanted, low=0, high=1)
        if self.tol is not None:
            check_number("tol", self.tol, low=-np.inf)
            if self.tol < 0 and self.direction == "forward":
                raise ValueError("tol must be strictly positive when doing forward selection")

    def _select_by_gram(self, inputs: Inputs, groups: Any) -> dict[str, Any]:
        folds = folds_of(self.cv, self.estimator, inputs.X, inputs.y)
        scorer, found = gram_scorer(self.scoring, self.estimator), scatters_of(inputs, folds)
        if scorer is None:
            raise TypeError("a score that Gram matrices do not give")
        fitted = self._select(
            found.spec.n_features,
            lambda features: mean_score(self.estimator, scorer, found, features, found.splits),
        )
        return fitted | {"profile_": found.profile}

    def _select_lazily(self, inputs: Inputs, groups: Any) -> dict[str, Any]:
        folds = folds_of(self.cv, self.estimator, inputs.X, inputs.y)

        def score(features: Array) -> float:
            X = columns_of(inputs.X, features)
            return float(cross_val_score(self.estimator, X, inputs.y, cv=folds, scoring=self.scoring).mean())

        return self._select(inputs.X.shape[1], score)

    def _select(self, n_features: int, score: Callable[[Array], float]) -> dict[str, Any]:
        wanted, backward = self._wanted(n_features), self.direction == "backward"
        by_gain = self.tol is not None and self.n_features_to_select == "auto"
        chosen = np.zeros(n_features, dtype=bool)  # those that were added, or dropped
        last = -np.inf
        for _ in range(n_features - wanted if backward else wanted):
            scores = {}
            for at in np.flatnonzero(~chosen):
                tried = chosen.copy()
                tried[at] = True
                scores[at] = score(np.flatnonzero(~tried if backward else tried))
            best = max(scores, key=scores.__getitem__)
            if by_gain and scores[best] - last < self.tol:
                break
            last = scores[best]
            chosen[best] = True
        support = ~chosen if backward else chosen
        return {"support_": support, "n_features_to_select_": support.sum()}

    def _wanted(self, n_features: int) -> int:
        wanted = self.n_features_to_select
        if wanted == "auto":
            steps = n_features // 2 if self.tol is None else n_features - 1
            return steps if self.direction == "forward" else n_features - steps
        if not isinstance(wanted, Integral):
            return int(n_features * wanted)
        if int(wanted) >= n_features:
            raise ValueError("n_features_to_select must be < n_features.")
        return int(wanted)
