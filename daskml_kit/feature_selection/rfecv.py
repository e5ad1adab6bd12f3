"""Recursive feature elimination with cross-validation."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import sklearn.feature_selection

from daskml_kit.arguments import check_number
from daskml_kit.feature_selection.elimination import Step, eliminate, importance_of, step_of
from daskml_kit.feature_selection.gram_fits import fit_on, gram_scorer, scatters_of, score_from
from daskml_kit.feature_selection.model_selector import columns_of
from daskml_kit.feature_selection.rfe import Eliminator, check_step, left
from daskml_kit.model_selection.search.best_estimator import score_on
from daskml_kit.model_selection.search.evaluate import folds_of
from daskml_kit.validation import Inputs


class RFECV(Eliminator, sklearn.feature_selection.RFECV):  # type: ignore[misc]
    """Eliminate features as `RFE` does, as many as is best by cross-validation.

    With `Ridge`, `LinearRegression`, `ElasticNet` or `Lasso` of daskml_kit, and a score that is one of squared errors,
    all fits and scores on all splits take one pass over the data. Other models of daskml_kit are fitted on lazily
    selected columns, scikit-learn's only in memory.

    Parameters
    ----------
    estimator : estimator
        With ``coef_`` or ``feature_importances_``.
    step : int or float, default 1
        Number or share of the features that are dropped at a time.
    min_features_to_select : int, default 1
    cv : int, splitter or iterable, default None
        Splits; None are five folds.
    scoring : str or callable, default None
        Score; by default accuracy or R².
    verbose : int, default 0
        Above 0, print the passes.
    n_jobs : int, default None
        Splits at a time, in memory with models that need one pass each.
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
    cv_results_ : dict of arrays
        Scores, their means and deviations, ranks and features of each split, by ``n_features``.

    See Also
    --------
    RFE : The number is given.

    References
    ----------
    Guyon, Weston, Barnhill and Vapnik, "Gene selection for cancer classification using support vector machines",
    Machine Learning 46, 2002.

    Examples
    --------
    >>> import dask.array as da
    >>> from daskml_kit.linear_model import Ridge
    >>> X = da.random.default_rng(0).normal(size=(100, 4), chunks=(25, 4))
    >>> RFECV(Ridge()).fit(X, X[:, 0] - 3 * X[:, 2]).support_
    array([ True, False,  True, False])
    """

    _taken = ("groups",)

    def fit(self, X: Any, y: Any, **params: Any) -> Any:  # type: ignore[override]
        """Eliminate features on each split, and then on all rows, down to the best number.

        Parameters
        ----------
        X : Dask array or DataFrame, NumPy array, pandas DataFrame or sparse matrix, of shape (n_samples, n_features)
        y : array or Dask array of shape (n_samples,) or (n_samples, n_outputs)
        **params
            ``groups`` of the rows, for the splitter.

        Returns
        -------
        RFECV
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
        check_step(self.step)
        importance_of(self.importance_getter)
        check_number("min_features_to_select", self.min_features_to_select, low=1, integer=True)

    def _select_by_gram(self, inputs: Inputs, groups: Any) -> dict[str, Any]:
        found = scatters_of(inputs, folds_of(self.cv, self.estimator, inputs.X, inputs.y, groups))
        scorer = gram_scorer(self.scoring, self.estimator)
        n = found.spec.n_features
        if scorer is None:
            raise TypeError("a score that Gram matrices do not give")
        steps = [
            self._eliminate(
                n,
                self._least(n),
                lambda features, rows=split.train: fit_on(self.estimator, rows, features, found.spec),
                lambda model, features, rows=split.test: score_from(scorer, model, rows, features, n),
            ).steps
            for split in found.splits
        ]
        best = best_number(steps)
        whole = self._eliminate(n, best, lambda features: fit_on(self.estimator, found.whole, features, found.spec))
        return left(whole) | {"cv_results_": results_of(steps), "profile_": found.profile}

    def _select_lazily(self, inputs: Inputs, groups: Any) -> dict[str, Any]:
        folds = folds_of(self.cv, self.estimator, inputs.X, inputs.y, groups)
        n = inputs.X.shape[1]
        steps = []
        for number in range(len(folds.splits)):
            X_train, X_test, y_train, y_test = folds.take(number, inputs.X, inputs.y)
            steps.append(
                self._eliminate(
                    n,
                    self._least(n),
                    lambda features, X=X_train, y=y_train: self._fitted_on(X, y, features),
                    lambda model, features, X=X_test, y=y_test: score_on(
                        model, columns_of(X, features), y, self.scoring
                    ),
                ).steps
            )
        whole = self._eliminate(n, best_number(steps), lambda features: self._fitted_on(inputs.X, inputs.y, features))
        return left(whole) | {"cv_results_": results_of(steps)}

    def _eliminate(self, n_features: int, wanted: int, fit: Any, score: Any = None) -> Any:
        step, importance = step_of(self.step, n_features), importance_of(self.importance_getter)
        return eliminate(n_features, wanted, step, fit, importance, score)

    def _least(self, n_features: int) -> int:
        least = int(self.min_features_to_select)
        if least > n_features:
            warnings.warn(
                f"Found min_features_to_select={least} > n_features={n_features}. There will be no feature selection "
                "and all features will be kept.",
                UserWarning,
                stacklevel=6,
            )
        return min(least, n_features)


def best_number(splits: list[list[Step]]) -> int:
    """Return the number of features with the best score on all splits together, of equal ones the least."""
    total = np.sum([[step.score for step in steps] for steps in splits], axis=0)[::-1]
    return [step.n_features for step in splits[0]][::-1][int(np.argmax(total))]


def results_of(splits: list[list[Step]]) -> dict[str, Any]:
    """Return the steps on each split as scikit-learn's ``cv_results_``, the fewest features first."""
    scores = np.array([[step.score for step in steps[::-1]] for steps in splits])
    return {
        "mean_test_score": scores.mean(axis=0),
        "std_test_score": scores.std(axis=0),
        **{f"split{i}_test_score": own for i, own in enumerate(scores)},
        **{f"split{i}_ranking": np.array([s.ranking for s in steps[::-1]]) for i, steps in enumerate(splits)},
        **{f"split{i}_support": np.array([s.support for s in steps[::-1]]) for i, steps in enumerate(splits)},
        "n_features": np.array([step.n_features for step in splits[0][::-1]]),
    }
