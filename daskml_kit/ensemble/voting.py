"""Voting of named estimators, all of which are fitted on all rows."""

from __future__ import annotations

from typing import Any

import sklearn.ensemble
from sklearn.base import is_classifier
from sklearn.preprocessing import LabelEncoder

from daskml_kit.arguments import check_choice, check_numbers
from daskml_kit.data.collections import is_dask
from daskml_kit.ensemble.base import FitInputs, NamedEnsemble
from daskml_kit.ensemble.members import check_weights, fit_members, members_of


class Voting(NamedEnsemble):
    """Base of the votings."""

    weights: Any

    def _check_parameters(self) -> None:
        if self.weights is not None and len(check_numbers("weights", self.weights)) != len(self.estimators):
            raise ValueError(f"weights: expected one for each of {len(self.estimators)} estimators, got {self.weights}")

    def _fitted(self, given: FitInputs) -> dict[str, Any]:
        members = members_of(self)
        if given.params:
            check_weights(members)
        fitted = fit_members(self, list(members.values()), given.X, given.y, None, given.params)
        if given.labels is None:
            return self._named(fitted.whole)
        encoder = LabelEncoder().fit(given.labels)
        return {**self._named(fitted.whole), "le_": encoder, "classes_": encoder.classes_}


class VotingClassifier(Voting, sklearn.ensemble.VotingClassifier):  # type: ignore[misc]
    """Classifier that lets others vote.

    On Dask data the estimators of ours are fitted together, in the same passes; others on the workers. It predicts
    lazily.

    Parameters
    ----------
    estimators : list of (str, estimator)
        "drop" in place of an estimator leaves it out.
    voting : {"hard", "soft"}, default "hard"
        Whether the label that most estimators predict wins, or that of the largest mean probability.
    weights : array of shape (n_estimators,), optional
        Of the estimators' votes or probabilities.
    n_jobs : int, optional
        Threads where there is no cluster.
    flatten_transform : bool, default True
        Whether ``transform`` of a soft voting puts the probabilities side by side; on Dask data they are.
    verbose : bool, default False
        Whether to print how the fits run.

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
    estimators_ : list of estimators
        Fitted; labels are for them their positions in ``classes_``.
    named_estimators_ : Bunch
    le_ : LabelEncoder
    n_features_in_ : int
    feature_names_in_ : array of shape (n_features_in_,)
        Where X has names.

    See Also
    --------
    StackingClassifier : Learns whom to believe.
    BlockwiseVotingClassifier : A model for each block, which vote.

    References
    ----------
    Kittler and others, "On combining classifiers", IEEE PAMI 20 (1998).

    Examples
    --------
    >>> import dask.array as da
    >>> from daskml_kit.linear_model import LogisticRegression
    >>> from daskml_kit.naive_bayes import GaussianNB
    >>> X = da.random.default_rng(0).normal(size=(900, 2), chunks=(300, 2))
    >>> model = VotingClassifier([("bayes", GaussianNB()), ("logistic", LogisticRegression())], voting="soft")
    >>> model.fit(X, X[:, 0] > 0).predict(X)
    dask.array<daskml-predict, shape=(900,), dtype=bool, chunksize=(300,), chunktype=numpy.ndarray>
    """

    voting: str
    flatten_transform: bool

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_choice("voting", self.voting, ("hard", "soft"))
        for name, member in members_of(self).items():
            if not is_classifier(member):
                raise ValueError(f"estimators: The estimator {name} should be a classifier.")

    def _apply(self, method: str, X: Any, meta: Any = None) -> Any:
        if method == "transform" and self.voting == "soft" and not self.flatten_transform and is_dask(X):
            raise ValueError("flatten_transform: expected True on Dask input, got False")
        return super()._apply(method, X, meta)


class VotingRegressor(Voting, sklearn.ensemble.VotingRegressor):  # type: ignore[misc]
    """Regressor whose prediction is the mean of those of others.

    Fits run as those of `VotingClassifier` do.

    Parameters
    ----------
    estimators : list of (str, estimator)
        "drop" in place of an estimator leaves it out.
    weights : array of shape (n_estimators,), optional
        Of the estimators' predictions.
    n_jobs : int, optional
        Threads where there is no cluster.
    verbose : bool, default False
        Whether to print how the fits run.

    Attributes
    ----------
    estimators_ : list of estimators
    named_estimators_ : Bunch
    n_features_in_ : int
    feature_names_in_ : array of shape (n_features_in_,)
        Where X has names.

    See Also
    --------
    StackingRegressor : Learns whom to believe.
    BlockwiseVotingRegressor : The mean of a model for each block.

    References
    ----------
    Breiman, "Bagging predictors", Machine Learning 24 (1996).

    Examples
    --------
    >>> import dask.array as da
    >>> from daskml_kit.linear_model import Lasso, Ridge
    >>> X = da.random.default_rng(0).normal(size=(900, 2), chunks=(300, 2))
    >>> VotingRegressor([("ridge", Ridge()), ("lasso", Lasso(0.01))]).fit(X, X[:, 0]).score(X, X[:, 0]) > 0.99
    True
    """
