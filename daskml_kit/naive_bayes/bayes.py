"""Naive Bayes classifiers: Gaussian, and of counts and categories."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import sklearn.naive_bayes

from daskml_kit.arguments import check_number, naming
from daskml_kit.base import DaskEstimator, genuine_class, lazily, restored
from daskml_kit.documentation import with_inherited_docs
from daskml_kit.linear_model.base import require_rows
from daskml_kit.reductions.moments import Moments
from daskml_kit.reductions.per_class import ClassResults, PerClass, Unweighted
from daskml_kit.reductions.reduction import Reduction
from daskml_kit.reductions.sums import CategorySums, CategoryTotals, FeatureSums, Totals
from daskml_kit.solvers.types import DataSpec, Fit
from daskml_kit.typing import Array
from daskml_kit.validation import check_labels


class NaiveBayes(DaskEstimator):
    """Naive Bayes classifier that is fitted in one pass, and goes on learning in memory."""

    many_passes: ClassVar[Any] = False
    _written: ClassVar[tuple[str, ...]] = ()
    """Fitted arrays, or lists of them, that scikit-learn's ``partial_fit`` writes into, also where it then fails."""

    predict_joint_log_proba = lazily("predict_joint_log_proba", "logarithms of the joint probabilities")

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Go on learning from more rows in memory.

        Parameters
        ----------
        X : array, data frame or sparse matrix of shape (n_samples, n_features)
        y : array of shape (n_samples,)
        classes : array, optional
            All labels there will be; the first call needs them.
        sample_weight : array of shape (n_samples,), optional

        Returns
        -------
        estimator
            Itself.
        """
        with restored(self):
            for name in self._written:
                held = getattr(self, name, None)
                if held is not None:
                    setattr(self, name, [part.copy() for part in held] if isinstance(held, list) else held.copy())
            super().partial_fit(X, y, classes, sample_weight)  # type: ignore[misc]
        return self


class GaussianNB(NaiveBayes, sklearn.naive_bayes.GaussianNB):  # type: ignore[misc]
    """Gaussian naive Bayes: each feature is normal within each class, and independent of the others; in one pass.

    Parameters
    ----------
    priors : array of shape (n_classes,), optional
        Probabilities of the classes; by default their shares of the rows.
    var_smoothing : float, default 1e-9
        Share of the largest variance of a feature that is added to all variances.

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
    class_count_, class_prior_ : array of shape (n_classes,)
    theta_, var_ : array of shape (n_classes, n_features)
        Mean and variance of each feature in each class.
    epsilon_ : float
        The variance that was added.
    profile_ : daskml_kit.engines.engine.Profile

    See Also
    --------
    daskml_kit.linear_model.LogisticRegression : Features need not be independent within a class.

    References
    ----------
    Chan, Golub and LeVeque, "Algorithms for computing the sample variance", 1983.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array(np.array([[0.0], [1.0], [8.0], [9.0]]), chunks=(2, 1))
    >>> GaussianNB().fit(X, da.from_array(np.array(["a", "a", "b", "b"]), chunks=2)).predict(X).compute().tolist()
    ['a', 'a', 'b', 'b']
    """

    _written = ("var_",)

    def _fit_steps(self, spec: DataSpec) -> Fit:
        found: ClassResults
        found, whole = yield PerClass(Moments()), Unweighted(Moments())
        count = np.array([float(moments.weight[0]) for moments in found.results])
        require_rows(whole.n_rows, count.sum(), spec.n_features)
        whole.require_finite()
        labels = found.labels if spec.labels is None else spec.labels[found.labels]
        check_labels(labels)
        epsilon = self.var_smoothing * np.float64(whole.variance.max())
        with np.errstate(invalid="ignore"):
            variance = np.array([moments.variance for moments in found.results])
        return {
            "classes_": labels,
            "class_count_": count,
            "class_prior_": count / count.sum() if self.priors is None else self._given_priors(len(labels)),
            "theta_": np.array([moments.mean for moments in found.results]),
            "var_": variance + epsilon,
            "epsilon_": epsilon,
        }

    def _given_priors(self, n_classes: int) -> Array:
        with naming("priors"):
            priors = np.atleast_1d(np.asarray(self.priors, dtype=np.float64))
        if len(priors) != n_classes:
            raise ValueError("Number of priors must match number of classes.")
        if not np.isclose(priors.sum(), 1.0):
            raise ValueError("The sum of the priors should be 1.")
        if (priors < 0).any():
            raise ValueError("Priors must be non-negative.")
        return priors

    def _check_parameters(self) -> None:
        check_number("var_smoothing", self.var_smoothing, low=0)


class DiscreteNB(NaiveBayes):
    """Base of the naive Bayes classifiers of counts: one pass sums the features of each class.

    scikit-learn's class is then fitted to a few weighted rows that have these sums.

    Parameters
    ----------
    alpha : float or array of shape (n_features,), default 1.0
        Count that is added to each feature's.
    force_alpha : bool, default True
        Whether an ``alpha`` below 1e-10 is taken as it is.
    fit_prior : bool, default True
        Whether the classes' probabilities are their shares of the rows, else all equal.
    class_prior : array of shape (n_classes,), optional
        Probabilities of the classes.

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
    class_count_, class_log_prior_ : array of shape (n_classes,)
    profile_ : daskml_kit.engines.engine.Profile
    """

    _written = ("class_count_", "feature_count_", "category_count_")

    def _fit_steps(self, spec: DataSpec) -> Fit:
        found: ClassResults
        found = yield PerClass(self._reduction())
        weight = np.array([totals.weight for totals in found.results])
        require_rows(len(found.results), float(weight.sum()), spec.n_features)
        labels = found.labels if spec.labels is None else spec.labels[found.labels]
        check_labels(labels)
        rows = [self._rows(totals) for totals in found.results]
        genuine = genuine_class(type(self))
        twin = genuine(**{**self._sklearn_parameters(genuine), **self._ready})
        lengths = [len(each) for _, each in rows]
        twin.fit(np.vstack([X for X, _ in rows]), np.repeat(labels, lengths), np.concatenate([w for _, w in rows]))
        fitted = {name: value for name, value in vars(twin).items() if name.endswith("_") and name != "n_features_in_"}
        return {**fitted, "classes_": labels}

    _ready: ClassVar[dict[str, Any]] = {}
    """Parameters of scikit-learn's class that serve the few rows."""

    def _reduction(self) -> Reduction:
        return FeatureSums()

    def _rows(self, totals: Any) -> tuple[Array, Array]:
        """Return rows and weights that have the sums of a class."""
        found: Totals = totals
        return (found.sums / (found.weight or 1.0))[None], np.array([found.weight])

    def _check_parameters(self) -> None:
        own: Any = self
        with naming("alpha"):
            alpha = np.asarray(own.alpha, dtype=np.float64)
        if alpha.ndim == 0:
            check_number("alpha", own.alpha, low=0)
        elif not (alpha >= 0).all():
            raise ValueError(f"alpha: expected numbers of at least 0, got {own.alpha!r}")


@with_inherited_docs
class MultinomialNB(DiscreteNB, sklearn.naive_bayes.MultinomialNB):  # type: ignore[misc]
    """Multinomial naive Bayes: counts of words, say, whose shares differ between classes; in one pass.

    Attributes
    ----------
    feature_count_, feature_log_prob_ : array of shape (n_classes, n_features)

    See Also
    --------
    ComplementNB : For classes of unlike sizes.
    daskml_kit.linear_model.LogisticRegression : Features need not be independent within a class.

    References
    ----------
    Manning, Raghavan and Schütze, "Introduction to information retrieval", 2008, chapter 13.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array(np.array([[3, 0], [2, 1], [0, 4], [1, 5]]), chunks=(2, 2))
    >>> MultinomialNB().fit(X, da.from_array(np.array(["a", "a", "b", "b"]), chunks=2)).predict(X).compute().tolist()
    ['a', 'a', 'b', 'b']
    """


@with_inherited_docs
class ComplementNB(DiscreteNB, sklearn.naive_bayes.ComplementNB):  # type: ignore[misc]
    """Complement naive Bayes: each class is described by the counts of all others; in one pass.

    Parameters
    ----------
    fit_prior : bool, default True
        Used only where there is one class.
    class_prior : array of shape (n_classes,), optional
        Not used by the prediction, as in scikit-learn.
    norm : bool, default False
        Whether weights are normalized a second time.

    Attributes
    ----------
    feature_count_, feature_log_prob_ : array of shape (n_classes, n_features)
    feature_all_ : array of shape (n_features,)

    See Also
    --------
    MultinomialNB : Each class by its own counts.

    References
    ----------
    Rennie, Shih, Teevan and Karger, "Tackling the poor assumptions of naive Bayes text classifiers", ICML 2003.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array(np.array([[3, 0], [2, 1], [0, 4], [1, 5]]), chunks=(2, 2))
    >>> ComplementNB().fit(X, da.from_array(np.array([0, 0, 1, 1]), chunks=2)).predict(X).compute().tolist()
    [0, 0, 1, 1]
    """


@with_inherited_docs
class BernoulliNB(DiscreteNB, sklearn.naive_bayes.BernoulliNB):  # type: ignore[misc]
    """Bernoulli naive Bayes: features that are there or not; in one pass.

    Parameters
    ----------
    binarize : float or None, default 0.0
        A feature is there where it is larger; None takes the features as they are.

    Attributes
    ----------
    feature_count_, feature_log_prob_ : array of shape (n_classes, n_features)

    See Also
    --------
    CategoricalNB : Features of more than two values.

    References
    ----------
    McCallum and Nigam, "A comparison of event models for naive Bayes text classification", 1998.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array(np.array([[1, 0], [1, 1], [0, 1], [0, 1]]), chunks=(2, 2))
    >>> BernoulliNB().fit(X, da.from_array(np.array([0, 0, 1, 1]), chunks=2)).predict(X).compute().tolist()
    [0, 0, 1, 1]
    """

    _ready: ClassVar[dict[str, Any]] = {"binarize": None}

    def _reduction(self) -> Reduction:
        return FeatureSums(above=self.binarize)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self.binarize is not None:
            check_number("binarize", self.binarize, low=-np.inf)


@with_inherited_docs
class CategoricalNB(DiscreteNB, sklearn.naive_bayes.CategoricalNB):  # type: ignore[misc]
    """Categorical naive Bayes: features that are categories 0, 1, 2, ..., as of an ordinal encoder; in one pass.

    Parameters
    ----------
    alpha : float, default 1.0
        Count that is added to each category's.
    min_categories : int or array of shape (n_features,), optional
        Least number of categories of each feature, where the data may not have all.

    Attributes
    ----------
    category_count_, feature_log_prob_ : list of arrays of shape (n_classes, n_categories of a feature)
    n_categories_ : array of shape (n_features,)

    See Also
    --------
    BernoulliNB : Features of two values.

    References
    ----------
    Hastie, Tibshirani and Friedman, "The elements of statistical learning", 2009, section 6.6.3.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array(np.array([[1, 0], [1, 1], [2, 1], [2, 1]]), chunks=(2, 2))
    >>> CategoricalNB().fit(X, da.from_array(np.array([0, 0, 1, 1]), chunks=2)).predict(X).compute().tolist()
    [0, 0, 1, 1]
    """

    def _reduction(self) -> Reduction:
        return CategorySums()

    def _rows(self, totals: Any) -> tuple[Array, Array]:
        """Return weighted rows, cut wherever one of the features goes from a category to the next."""
        found: CategoryTotals = totals
        ends = [np.cumsum(counts) for counts in found.counts]
        cuts = np.unique(np.concatenate([[0.0, found.weight], *ends]))
        middles = (cuts[:-1] + cuts[1:]) / 2
        last = [len(counts) - 1 for counts in found.counts]
        columns = [np.minimum(np.searchsorted(end, middles), most) for end, most in zip(ends, last, strict=True)]
        highest = np.array(last)  # a category of no weight counts, too
        return np.vstack([np.column_stack(columns), highest]), np.append(np.diff(cuts), 0.0)
