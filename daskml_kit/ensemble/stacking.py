"""Stacked generalization: a final estimator that learns from what others predict for rows they have not seen."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import sklearn.ensemble
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import RidgeCV
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from daskml_kit.arguments import check_choice, check_inner
from daskml_kit.base import genuine_class
from daskml_kit.blockwise import map_rows
from daskml_kit.composition import without_dask
from daskml_kit.data.collections import is_dask
from daskml_kit.ensemble.base import FitInputs, NamedEnsemble
from daskml_kit.ensemble.members import (
    AUTO,
    FittedColumns,
    MemberPredictions,
    check_weights,
    fit_members,
    members_of,
    method_of,
)
from daskml_kit.exceptions import DataError
from daskml_kit.linear_model import LogisticRegression
from daskml_kit.model_selection.search.best_estimator import refit_on_all
from daskml_kit.model_selection.search.cross_val_predict import predict_test_rows
from daskml_kit.model_selection.search.evaluate import folds_of
from daskml_kit.model_selection.splits.folds import Folds
from daskml_kit.typing import Labels
from daskml_kit.validation import check_features, plain_strings


class Stacking(NamedEnsemble):
    """Base of the stacks."""

    final_estimator: Any
    cv: Any
    stack_method: str
    passthrough: bool
    stack_method_: list[str]
    final_estimator_: Any

    @available_if(lambda self: hasattr(super(), "predict"))  # type: ignore[untyped-decorator]
    def predict(self, X: Any, **predict_params: Any) -> Any:
        """Return the predictions of the final estimator: at once in memory, lazily on Dask input.

        Parameters
        ----------
        X : Dask array or DataFrame, NumPy array, pandas DataFrame or sparse matrix, of shape (n_samples, n_features)
        **predict_params
            For the final estimator's ``predict``, such as ``return_std``; not possible on Dask input.

        Returns
        -------
        array or Dask array of shape (n_samples,)
            Predictions.
        """
        if not predict_params:
            return super().predict(X)
        if is_dask(X):
            raise ValueError(f"predict: {', '.join(predict_params)} not possible on Dask input")
        return self.to_sklearn().predict(X, **predict_params)

    def to_sklearn(self) -> Any:
        """Return the scikit-learn stack with the same parameters and fitted state, nothing of ours in it.

        Returns
        -------
        estimator
            Its estimators are scikit-learn's, too, and its ``cv``; in place of `Folds` there is their number.
        """
        twin = super().to_sklearn()
        if hasattr(self, "final_estimator_"):
            twin.final_estimator_ = without_dask(self.final_estimator_)
        return twin

    def _sklearn_parameters(self, genuine: type[Any]) -> dict[str, Any]:
        given = super()._sklearn_parameters(genuine)
        return {**given, "final_estimator": without_dask(self.final_estimator), "cv": self._cv()}

    def _cv(self) -> Any:
        return len(self.cv.splits) if isinstance(self.cv, Folds) else without_dask(self.cv)

    def _apply(self, method: str, X: Any, meta: Any = None) -> Any:
        check_is_fitted(self)
        if method != "transform" or not is_dask(X):
            return super()._apply(method, X, meta)
        X = plain_strings(X)
        check_features(self, X)
        with suppress(DataError):  # of estimators that refuse made-up rows, by which the type of the result is told
            return super()._apply(method, X, meta)
        columns = self._columns(self.estimators_, self.stack_method_, getattr(self, "classes_", None))
        return map_rows(columns, method, X, columns.empty(X))

    def _columns(self, members: list[Any], methods: list[str], labels: Labels | None) -> MemberPredictions:
        n_classes = None if labels is None else len(labels)
        return MemberPredictions.of(members, methods, n_classes, self.passthrough)

    def _check_parameters(self) -> None:
        check_choice("stack_method", self.stack_method, ("auto", *AUTO))
        kind, suits = ("classifier", is_classifier) if is_classifier(self) else ("regressor", is_regressor)
        if self.final_estimator is not None:
            check_inner("final_estimator", self.final_estimator, "fit")
        if self.final_estimator is not None and not suits(self.final_estimator):
            raise ValueError(f"'final_estimator' parameter should be a {kind}. Got {self.final_estimator!r}")
        if self._is_prefit():
            for member in members_of(self).values():
                check_is_fitted(member)

    def _is_prefit(self) -> bool:
        return isinstance(self.cv, str) and self.cv == "prefit"

    def _fitted(self, given: FitInputs) -> dict[str, Any]:
        X, target, labels, params = given
        members = members_of(self)
        methods = [method_of(name, member, self.stack_method) for name, member in members.items()]
        default = LogisticRegression() if is_classifier(self) else RidgeCV()
        final = default if self.final_estimator is None else clone(self.final_estimator)
        if params:
            check_weights({**members, "final_estimator": final})
        if self._is_prefit():
            whole = list(members.values())
            columns = self._columns(whole, methods, labels)
            rows = map_rows(columns, "transform", X, columns.empty(X))
        else:
            folds = folds_of(self.cv, self, X, target)
            whole, of_splits = fit_members(self, list(members.values()), X, target, folds, params)
            columns = self._columns(whole, methods, labels)
            unseen = [self._columns(split, methods, labels) for split in of_splits]
            rows = predict_test_rows(unseen, folds, X, "transform", empty=columns.empty(X))
        final = refit_on_all(final, rows, target, params)
        found = self._told(dict(zip(members, columns.widths(X), strict=True)), labels, final)
        return {**found, **self._named(whole), "stack_method_": methods, "final_estimator_": final}

    def _told(self, widths: dict[str, int], labels: Labels | None, final: Any) -> dict[str, Any]:
        """Return the attributes that scikit-learn's stack finds out of stand-ins for its estimators."""
        stand_ins = [(name, FittedColumns(width)) for name, width in widths.items()]
        stack = genuine_class(type(self))(stand_ins, FrozenEstimator(final), cv="prefit")
        y = np.zeros(3) if labels is None else np.repeat(labels, 3)
        stack.fit(np.zeros((len(y), 1)), y)
        return {name: value for name, value in vars(stack).items() if name not in stack.get_params(deep=False)}


class StackingClassifier(Stacking, sklearn.ensemble.StackingClassifier):  # type: ignore[misc]
    """Classifier that learns from the predictions of others, each for rows that it has not seen.

    On Dask data the estimators of ours are fitted together, on all rows and on those of each fold in the same passes;
    X is not copied. Other estimators are fitted on the workers, as in a search. The predictions are lazy columns in
    the blocks of X, which the final estimator learns from where it is one of ours; for others they are joined.

    Parameters
    ----------
    estimators : list of (str, estimator)
        "drop" in place of an estimator leaves it out.
    final_estimator : estimator, optional
        By default `daskml_kit.linear_model.LogisticRegression`.
    cv : int, splitter, iterable of (train, test), Folds, "prefit" or None, default None
        Splits that test each row once; an integer is the number of stratified folds, None is 5. With "prefit" the
        estimators are taken as they are, and the final one learns from what they predict for all rows.
    stack_method : {"auto", "predict_proba", "decision_function", "predict"}, default "auto"
        Method of the estimators that is asked; "auto" is the first of these that each has.
    n_jobs : int, optional
        Threads where there is no cluster.
    passthrough : bool, default False
        Whether the final estimator learns from X, too.
    verbose : int, default 0
        Above 0, print how the fits run.

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
    estimators_ : list of estimators
        Fitted on all rows; labels are for them their positions in ``classes_``.
    named_estimators_ : Bunch
    final_estimator_ : estimator
    stack_method_ : list of str
    n_features_in_ : int
    feature_names_in_ : array of shape (n_features_in_,)
        Where X has names.

    See Also
    --------
    StackingRegressor : For numbers.
    BlockwiseVotingClassifier : A model for each block, which vote.

    References
    ----------
    Wolpert, "Stacked generalization", Neural Networks 5 (1992).

    Examples
    --------
    >>> import dask.array as da
    >>> from daskml_kit.linear_model import RidgeClassifier
    >>> from daskml_kit.naive_bayes import GaussianNB
    >>> X = da.random.default_rng(0).normal(size=(900, 2), chunks=(300, 2))
    >>> model = StackingClassifier([("bayes", GaussianNB()), ("ridge", RidgeClassifier())])
    >>> model.fit(X, X[:, 0] > 0).score(X, X[:, 0] > 0) > 0.95
    True
    """


class StackingRegressor(Stacking, sklearn.ensemble.StackingRegressor):  # type: ignore[misc]
    """Regressor that learns from the predictions of others, each for rows that it has not seen.

    Fits run as those of `StackingClassifier` do.

    Parameters
    ----------
    estimators : list of (str, estimator)
        "drop" in place of an estimator leaves it out.
    final_estimator : estimator, optional
        By default `sklearn.linear_model.RidgeCV`.
    cv : int, splitter, iterable of (train, test), Folds, "prefit" or None, default None
        Splits that test each row once; an integer is the number of folds, None is 5. With "prefit" the estimators are
        taken as they are, and the final one learns from what they predict for all rows.
    n_jobs : int, optional
        Threads where there is no cluster.
    passthrough : bool, default False
        Whether the final estimator learns from X, too.
    verbose : int, default 0
        Above 0, print how the fits run.

    Attributes
    ----------
    estimators_ : list of estimators
        Fitted on all rows.
    named_estimators_ : Bunch
    final_estimator_ : estimator
    stack_method_ : list of str
    n_features_in_ : int
    feature_names_in_ : array of shape (n_features_in_,)
        Where X has names.

    See Also
    --------
    StackingClassifier : For labels.
    BlockwiseVotingRegressor : The mean of a model for each block.

    References
    ----------
    Wolpert, "Stacked generalization", Neural Networks 5 (1992). Breiman, "Stacked regressions", Machine Learning 24
    (1996).

    Examples
    --------
    >>> import dask.array as da
    >>> from daskml_kit.linear_model import Lasso, Ridge
    >>> X = da.random.default_rng(0).normal(size=(900, 2), chunks=(300, 2))
    >>> StackingRegressor([("ridge", Ridge()), ("lasso", Lasso())]).fit(X, X[:, 0]).score(X, X[:, 0]) > 0.99
    True
    """
