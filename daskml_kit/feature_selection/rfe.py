"""Recursive feature elimination, also with cross-validation: features of least importance go first."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from numbers import Integral
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import sklearn.feature_selection

from daskml_kit.arguments import check_number
from daskml_kit.data.collections import is_dask
from daskml_kit.documentation import with_inherited_docs
from daskml_kit.feature_selection.gram_fits import fit_on, gram_scorer, scatters_of, score_from
from daskml_kit.feature_selection.model_selector import ModelSelector, columns_of
from daskml_kit.model_selection.search.best_estimator import score_on
from daskml_kit.model_selection.search.evaluate import folds_of
from daskml_kit.typing import Array
from daskml_kit.validation import Inputs


class Step(NamedTuple):
    """A model on so many features in an elimination: its score, and which there are and how those gone are ranked."""

    n_features: int
    score: float
    support: Array
    ranking: Array


class Eliminated(NamedTuple):
    """End of an elimination: the features left, the ranks of all, the model on those left, and the steps."""

    support: Array
    ranking: Array
    model: Any
    steps: list[Step]


def eliminate(
    n_features: int,
    wanted: int,
    step: int,
    fit: Callable[[Array], Any],
    importance: Callable[[Any], Array],
    score: Callable[[Any, Array], float] | None = None,
) -> Eliminated:
    """Fit, drop the ``step`` features of least importance, and so on until no more than ``wanted`` are left.

    Parameters
    ----------
    n_features, wanted, step : int
    fit : callable
        Returns a model fitted on the features at given positions.
    importance : callable
        Returns the importance of each feature of a model.
    score : callable, optional
        Returns the score of a model on the features at given positions.

    Examples
    --------
    >>> eliminate(4, 2, 1, lambda features: features, lambda model: -model).ranking.tolist()
    [1, 1, 2, 3]
    """
    support, ranking = np.ones(n_features, dtype=bool), np.ones(n_features, dtype=int)
    steps: list[Step] = []
    while True:
        features = np.flatnonzero(support)
        model = fit(features)
        if score is not None:
            steps.append(Step(len(features), score(model, features), support.copy(), ranking.copy()))
        if len(features) <= wanted:
            return Eliminated(support, ranking, model, steps)
        order = np.argsort(importance(model), kind="stable")
        support[features[order[: min(step, len(features) - wanted)]]] = False
        ranking[~support] += 1


def importance_of(getter: Any) -> Callable[[Any], Array]:
    """Return the function that gives the importance of each feature of a model: squares, of all outputs together.

    Parameters
    ----------
    getter : "auto", str or callable
        "auto" is ``coef_``, or ``feature_importances_`` where there is none; else the path of an attribute, or a
        function of the model.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> importance_of("auto")(SimpleNamespace(coef_=np.array([[1.0, -2.0], [3.0, 0.0]])))
    array([10.,  4.])
    """

    if not callable(getter) and not isinstance(getter, str):
        raise ValueError(f"importance_getter: expected 'auto', the name of an attribute or a function, got {getter!r}")

    def importance(model: Any) -> Array:
        if callable(getter):
            found = getter(model)
        elif getter != "auto":
            try:
                found = attrgetter(getter)(model)
            except AttributeError as error:
                raise ValueError(f"importance_getter: {error}") from error
        elif hasattr(model, "coef_"):
            found = model.coef_
        elif hasattr(model, "feature_importances_"):
            found = model.feature_importances_
        else:
            raise ValueError(
                f"importance_getter: {type(model).__name__} has neither coef_ nor feature_importances_; name an "
                "attribute, or give a function"
            )
        squares = np.square(np.asarray(found, dtype=np.float64))
        return np.asarray(squares if squares.ndim == 1 else squares.sum(axis=0))

    return importance


def step_of(step: Any, n_features: int) -> int:
    """Return how many features are dropped at a time; a share is one of all features.

    Examples
    --------
    >>> step_of(2, 10), step_of(0.25, 10)
    (2, 2)
    """
    return int(max(1, step * n_features)) if 0.0 < step < 1.0 else int(step)


class Eliminator(ModelSelector):
    """Selector whose model predicts from the features that are left.

    Parameters
    ----------
    estimator : estimator
        With ``coef_`` or ``feature_importances_``.
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
    """

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


@with_inherited_docs
class RFE(Eliminator, sklearn.feature_selection.RFE):  # type: ignore[misc]
    """Fit a model, drop the features of least importance, and so on, until as few are left as are wanted.

    With `Ridge`, `LinearRegression`, `ElasticNet` or `Lasso` of daskml_kit all fits take one pass over the data.
    Other models of daskml_kit are fitted on lazily selected columns, scikit-learn's only in memory.

    Parameters
    ----------
    n_features_to_select : int or float, default None
        Number or share of the features that are left; by default half.

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


@with_inherited_docs
class RFECV(Eliminator, sklearn.feature_selection.RFECV):  # type: ignore[misc]
    """Eliminate features as `RFE` does, as many as is best by cross-validation.

    With `Ridge`, `LinearRegression`, `ElasticNet` or `Lasso` of daskml_kit, and a score that is one of squared errors,
    all fits and scores on all splits take one pass over the data. Other models of daskml_kit are fitted on lazily
    selected columns, scikit-learn's only in memory.

    Parameters
    ----------
    min_features_to_select : int, default 1
    cv : int, splitter or iterable, default None
        Splits; None are five folds.
    scoring : str or callable, default None
        Score; by default accuracy or R².
    n_jobs : int, default None
        Splits at a time, in memory with models that need one pass each.

    Attributes
    ----------
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
