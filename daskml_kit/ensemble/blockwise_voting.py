"""Voting ensembles: a model for each block of rows, fitted where the block lies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import dask
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, RegressorMixin, clone
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from daskml_kit.arguments import check_choice, check_inner
from daskml_kit.base import restored
from daskml_kit.blockwise import map_rows
from daskml_kit.data.align import align_rows
from daskml_kit.data.collections import is_dask, n_rows
from daskml_kit.engines.runtime import computing
from daskml_kit.exceptions import DataError
from daskml_kit.metrics import accuracy_score, r2_score
from daskml_kit.model_selection.search.fit_and_score import fit_estimator
from daskml_kit.model_selection.splits.folds import compute_tasks
from daskml_kit.typing import Array
from daskml_kit.validation import check_features, plain_strings, remember_features


class BlockwiseVoting(MetaEstimatorMixin, BaseEstimator):  # type: ignore[misc]
    """Base of the voting ensembles."""

    estimator: Any
    estimators_: list[Any]

    def fit(self, X: Any, y: Any, sample_weight: Any = None, **fit_params: Any) -> Self:
        """Fit a clone of the estimator to each block, all at the same time.

        Parameters
        ----------
        X : Dask array or DataFrame, or array, data frame or sparse matrix, of shape (n_samples, n_features)
            Data in memory is one block.
        y : array, Series or Dask array of shape (n_samples,)
        sample_weight : array or Dask array of shape (n_samples,), optional
        **fit_params
            For the ``fit`` of each model. ``classes`` are those of the classifier, where it is not given any.

        Returns
        -------
        estimator
            Itself.

        Raises
        ------
        DataError
            Where a model cannot be fitted to its block; it names the block.
        """
        check_inner("estimator", self.estimator, "fit")
        given = {"X": X, "y": y, "sample_weight": sample_weight}
        columns = align_rows({name: value for name, value in given.items() if value is not None}).columns
        fit = dask.delayed(fit_block, pure=False)
        tasks = [
            fit(self.estimator, at, fit_params, **{column.name: column.blocks[at] for column in columns})
            for at in range(len(columns[0].blocks))
        ]
        with restored(self):
            self.estimators_ = [model for model in compute_tasks(tasks) if model is not None]
            if not self.estimators_:
                raise DataError("X: expected at least one row, got none")
            remember_features(self, X)
            self._finish(fit_params.get("classes"))
        return self

    def predict(self, X: Any) -> Any:
        """Return the predictions of all models together: at once in memory, lazily on Dask input.

        Parameters
        ----------
        X : Dask array or DataFrame, NumPy array, pandas DataFrame or sparse matrix, of shape (n_samples, n_features)

        Returns
        -------
        array or Dask array of shape (n_samples,)
            Predictions.
        """
        return self._apply("predict", X)

    def _apply(self, method: str, X: Any) -> Any:
        check_is_fitted(self, "estimators_")
        jury = self._jury()
        if not is_dask(X):
            return getattr(jury, method)(X)
        check_features(self, X)
        classes = np.zeros(0) if jury.classes_ is None else jury.classes_
        return map_rows(
            jury, method, plain_strings(X), classes[:0] if method == "predict" else np.empty((0, len(classes)))
        )

    def _jury(self) -> Jury:
        return Jury(self.estimators_, None, "hard")

    def _finish(self, classes: Any) -> None:
        """Set what is known of all models together, of which ``fit`` may have been given the classes."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = get_tags(self.estimator).input_tags.sparse if self.estimator is not None else False
        return tags


class BlockwiseVotingClassifier(ClassifierMixin, BlockwiseVoting):  # type: ignore[misc]
    """Classifier that lets a model for each block vote.

    Parameters
    ----------
    estimator : estimator
        Any classifier of scikit-learn's kind.
    voting : {"hard", "soft"}, default "hard"
        Whether the label that most models predict wins, the first of equals, or that of the largest mean probability.
    classes : array, optional
        All labels; by default those that the blocks have. A model that has not seen a label gives it no chance.

    Attributes
    ----------
    estimators_ : list of estimators
        One for each block that has rows.
    classes_ : array of shape (n_classes,)
    n_features_in_ : int

    See Also
    --------
    daskml_kit.wrappers.Incremental : One model for all blocks.

    References
    ----------
    The names and parameters are those of ``dask_ml.ensemble``.

    Examples
    --------
    >>> import dask.array as da
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> X = da.random.default_rng(0).normal(size=(900, 2), chunks=(300, 2))
    >>> model = BlockwiseVotingClassifier(DecisionTreeClassifier(random_state=0)).fit(X, X[:, 0] > 0)
    >>> len(model.estimators_), model.score(X, X[:, 0] > 0) > 0.95
    (3, True)
    """

    def __init__(self, estimator: Any = None, voting: str = "hard", classes: Any = None) -> None:
        self.estimator = estimator
        self.voting = voting
        self.classes = classes

    @available_if(lambda self: self.voting == "soft")  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> Any:
        """Return the mean of the models' probabilities: at once in memory, lazily on Dask input.

        Parameters
        ----------
        X : as in `fit`

        Returns
        -------
        array or Dask array of shape (n_samples, n_classes)
            Probabilities.
        """
        return self._apply("predict_proba", X)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy.

        Parameters
        ----------
        X, y, sample_weight : as in `fit`

        Returns
        -------
        float
            The share of rows that are predicted right.
        """
        return float(accuracy_score(y, self.predict(X), sample_weight=sample_weight))

    def _jury(self) -> Jury:
        return Jury(self.estimators_, self.classes_, self.voting)

    def _finish(self, classes: Any) -> None:
        check_choice("voting", self.voting, ("hard", "soft"))
        seen = np.unique(np.concatenate([model.classes_ for model in self.estimators_]))
        classes = classes if self.classes is None else self.classes
        self.classes_ = seen if classes is None else np.unique(np.asarray(classes))
        if not np.isin(seen, self.classes_).all():
            raise ValueError(f"classes: expected all labels of y, {seen.tolist()}, got {self.classes_.tolist()}")


class BlockwiseVotingRegressor(RegressorMixin, BlockwiseVoting):  # type: ignore[misc]
    """Regressor whose prediction is the mean of those of a model for each block.

    Parameters
    ----------
    estimator : estimator
        Any regressor of scikit-learn's kind.

    Attributes
    ----------
    estimators_ : list of estimators
        One for each block that has rows.
    n_features_in_ : int

    See Also
    --------
    BlockwiseVotingClassifier : For labels.

    References
    ----------
    The names and parameters are those of ``dask_ml.ensemble``.

    Examples
    --------
    >>> import dask.array as da
    >>> from sklearn.linear_model import Ridge
    >>> X = da.random.default_rng(0).normal(size=(900, 2), chunks=(300, 2))
    >>> BlockwiseVotingRegressor(Ridge()).fit(X, X[:, 0]).score(X, X[:, 0]) > 0.99
    True
    """

    def __init__(self, estimator: Any = None) -> None:
        self.estimator = estimator

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the coefficient of determination.

        Parameters
        ----------
        X, y, sample_weight : as in `fit`

        Returns
        -------
        float
            R², at most 1.
        """
        return float(r2_score(y, self.predict(X), sample_weight=sample_weight))


class Jury:
    """Fitted models that predict together, in memory."""

    def __init__(self, models: list[Any], classes: Any, voting: str) -> None:
        self.models, self.classes_, self.voting = models, classes, voting

    def predict(self, X: Any) -> Array:
        """Return the winning labels, or the mean."""
        if self.classes_ is None:
            return np.asarray(np.mean([model.predict(X) for model in self.models], axis=0))
        if self.voting == "soft":
            return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])
        votes: Array = np.zeros((n_rows(X), len(self.classes_)), np.int64)
        for model in self.models:
            votes[np.arange(len(votes)), np.searchsorted(self.classes_, model.predict(X))] += 1
        return np.asarray(self.classes_[votes.argmax(axis=1)])

    def predict_proba(self, X: Any) -> Array:
        """Return the mean probability of each label."""
        total: Array = np.zeros((n_rows(X), len(self.classes_)))
        for model in self.models:
            total[:, np.searchsorted(self.classes_, model.classes_)] += model.predict_proba(X)
        return total / len(self.models)


def fit_block(estimator: Any, block: int, params: Mapping[str, Any], X: Any, y: Any, sample_weight: Any = None) -> Any:
    """Return a clone that is fitted to a block; None where it has no rows."""
    if not n_rows(X):
        return None
    weights = {} if sample_weight is None else {"sample_weight": sample_weight}
    try:
        with computing():
            return fit_estimator(clone(estimator), X, y, **weights, **params)
    except ValueError as error:
        raise DataError(f"{error} (in block {block})") from error
