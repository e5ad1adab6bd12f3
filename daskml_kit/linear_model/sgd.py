"""Linear classification and regression by stochastic gradient descent."""

from __future__ import annotations

from functools import partial
from typing import Any, Self

import numpy as np
import sklearn.linear_model
from sklearn.utils.class_weight import compute_class_weight

from daskml_kit.base import constructor
from daskml_kit.documentation import with_inherited_docs
from daskml_kit.engines.engine import Engine
from daskml_kit.exceptions import DataError
from daskml_kit.linear_model.sgd_step import ResidualTargets
from daskml_kit.linear_model.sgd_training import LinearProblem, StochasticModel
from daskml_kit.numerics.losses import MARGIN_LOSSES, RESIDUAL_LOSSES, classifier_loss, regressor_loss
from daskml_kit.numerics.targets import Numbers, OneVsRest
from daskml_kit.reductions.summary import DataSummary, position_of
from daskml_kit.typing import Labels
from daskml_kit.validation import check_labels

LOSSES = (*MARGIN_LOSSES, *RESIDUAL_LOSSES)
OWN = {"learning_rate": "auto", "eta0": None, "optimizer": "auto", "batch_size": None, "training": None}
"""Parameters that scikit-learn has not, or with another default."""


@with_inherited_docs
class SGDClassifier(StochasticModel, sklearn.linear_model.SGDClassifier):  # type: ignore[misc]
    r"""Linear classifier, one class against the rest, by stochastic gradients on one machine or a parameter server.

    .. math:: \frac1n \sum_i s_i \, \ell(y_i, x_i^\top w + b) +
        \alpha \left(\rho \|w\|_1 + \tfrac{1 - \rho}{2} \|w\|_2^2\right)

    with scikit-learn's losses and parameters. Workers beside the blocks make a local step for each minibatch; servers
    average them (local SGD). All classes are trained at once. By default steps are Adagrad's on standardized features,
    so that neither scaled data nor a learning rate needs to be given; the objective is that of the features as they
    are.

    Parameters
    ----------
    loss : str, default "hinge"
        "hinge", "log_loss", "modified_huber", "squared_hinge", "perceptron", or a loss of `SGDRegressor`.
    power_t : float, default 0.5
        Of "invscaling".
    class_weight : dict or "balanced", optional
        Factors of the classes' rows; "balanced" is inversely proportional to their numbers of rows.

    Attributes
    ----------
    coef_ : array of shape (1, n_features) or (n_classes, n_features)
        Coefficients; sparse after ``sparsify()``.
    intercept_ : array of shape (1,) or (n_classes,)
        Intercepts.
    classes_ : array of shape (n_classes,)
        The labels, sorted.

    See Also
    --------
    LogisticRegression, LinearSVC : Exact minima, in a few passes over the data.
    SGDRegressor : For targets that are numbers.
    daskml_kit.parameter_server.train : Training of other models.

    References
    ----------
    J. Duchi, E. Hazan & Y. Singer, Adaptive subgradient methods for online learning and stochastic optimization,
    JMLR 12, 2011.
    S. Stich, Local SGD converges fast and communicates little, ICLR 2019.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.random.default_rng(0).normal(100, 3, size=(4000, 2), chunks=1000)
    >>> y = da.where(X[:, 0] > X[:, 1], "left", "right")
    >>> model = SGDClassifier(loss="log_loss", random_state=0).fit(X, y)
    >>> model.score(X, y) > 0.99
    True
    """

    __init__ = constructor(sklearn.linear_model.SGDClassifier, **OWN)
    losses = LOSSES
    default_rate = "optimal"
    passive_aggressive_loss = "hinge"

    def fit(  # type: ignore[override]
        self,
        X: Any,
        y: Any,
        coef_init: Any = None,
        intercept_init: Any = None,
        sample_weight: Any = None,
        *,
        checkpoint: Any = None,
    ) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : Dask array or DataFrame, NumPy array, pandas DataFrame or sparse matrix, of shape (n_samples, n_features)
            Features.
        y : array, Series, list or Dask array of shape (n_samples,)
            Labels of any one type.
        coef_init : array of shape (n_classes, n_features), optional
            The first coefficients.
        intercept_init : array of shape (n_classes,), optional
            The first intercepts.
        sample_weight : array or Dask array of shape (n_samples,), optional
            Weights of the rows.
        checkpoint : path, optional
            A folder that keeps what the last epoch has reached: called again with the same data, also on another
            cluster, an interrupted fit goes on from there.

        Returns
        -------
        SGDClassifier
            Itself.

        Raises
        ------
        DataError
            Where the data cannot be used; it names the argument and the block.
        """
        return self._fit_rows(X, y, sample_weight, coef_init, intercept_init, checkpoint=checkpoint)

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Train for one epoch on some rows, from where the last call ended: coefficients and the optimizer's state.

        Parameters
        ----------
        X, y : see `fit`
            Some rows.
        classes : array, optional
            All labels there will be; the first call needs them.
        sample_weight : array or Dask array of shape (n_samples,), optional
            Weights of the rows.

        Returns
        -------
        SGDClassifier
            Itself.
        """
        if isinstance(self.class_weight, str):
            raise ValueError(
                f"class_weight {self.class_weight!r} is not supported for partial_fit, which does not know how many "
                "rows of each class will come: give a dict"
            )
        return self._fit_rows(X, y, sample_weight, more=True, classes=self._known_classes(classes))

    def _problem(self, engine: Engine, summary: DataSummary, classes: Labels | None) -> LinearProblem:
        found = labels_of(summary)
        if classes is None:
            classes = require_classes(found, summary)
        elif not np.isin(found, classes).all():
            raise DataError(f"y: expected labels among classes, {classes.tolist()}, got {found}")
        self.classes_ = classes
        stored, pair = encode_targets(engine, classes), None
        if self.class_weight is not None:
            weights = compute_class_weight(
                self.class_weight, classes=classes, y=found, sample_weight=summary.label_rows
            )
            # as in scikit-learn, the rest of more than two classes weighs one
            pair = np.array([weights]) if len(classes) == 2 else np.column_stack([np.ones(len(classes)), weights])
        signs = OneVsRest(stored[1:] if len(classes) == 2 else stored, pair)
        target = signs if self.loss in MARGIN_LOSSES else ResidualTargets(signs)
        coef = np.zeros((1 if len(classes) == 2 else len(classes), self.n_features_in_ + 1))
        return LinearProblem(classifier_loss(self.loss, self.epsilon), target, self._precondition(summary), coef)

    def _known_classes(self, classes: Any) -> Labels:
        """Return the labels of this and all later calls."""
        before: Labels | None = getattr(self, "classes_", None)
        if classes is None and before is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        given = before if classes is None else np.unique(np.asarray(classes))
        if given is None or len(given) < 2:
            raise ValueError(f"The number of classes has to be greater than one; got {given}")
        if before is not None and not np.array_equal(before, given):
            raise ValueError(f"`classes={classes!r}` is not the same as on last call to partial_fit, was: {before!r}")
        return given


def labels_of(summary: DataSummary) -> Labels:
    """Return the labels of the data, which the summary must have been asked for."""
    if summary.labels is None:
        raise TypeError("the summary was not asked for labels")
    return summary.labels


def require_classes(labels: Labels, summary: DataSummary) -> Labels:
    """Return the labels of the data.

    Raises
    ------
    ValueError
        Where there is one class only, or the target is continuous.
    """
    check_labels(labels)
    weighted = labels if summary.label_weight is None else labels[summary.label_weight > 0]
    if len(weighted) < 2:
        raise ValueError(
            "SGDClassifier needs samples of at least 2 classes in the data, with positive weight, but the data "
            f"contains only one class: {weighted[0]!r}"
        )
    return labels


def encode_targets(engine: Engine, labels: Labels) -> Labels:
    """Make the targets cheap to compare inside a pass; return the labels as the blocks now have them.

    Numbers stay as they are; other labels, strings for one, become their position among the labels, once.
    """
    if labels.dtype.kind in "fiub":
        return labels
    engine.relabel(partial(position_of, labels))
    return np.arange(len(labels))


TARGET = Numbers(np.zeros(1, np.int64))


@with_inherited_docs
class SGDRegressor(StochasticModel, sklearn.linear_model.SGDRegressor):  # type: ignore[misc]
    r"""Linear regression by stochastic gradients, on one machine or a parameter server, with scikit-learn's losses.

    .. math:: \frac1n \sum_i s_i \, \ell(y_i, x_i^\top w + b) +
        \alpha \left(\rho \|w\|_1 + \tfrac{1 - \rho}{2} \|w\|_2^2\right)

    Training is described at `SGDClassifier`.

    Parameters
    ----------
    loss : {"squared_error", "huber", "epsilon_insensitive", "squared_epsilon_insensitive"}, default "squared_error"
        The loss of a row.
    power_t : float, default 0.25
        Of "invscaling".

    Attributes
    ----------
    coef_ : array of shape (n_features,)
        Coefficients; sparse after ``sparsify()``.
    intercept_ : array of shape (1,)
        The intercept.

    See Also
    --------
    Ridge, ElasticNet, HuberRegressor : Exact minima, in a few passes over the data.
    SGDClassifier : For labels.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.random.default_rng(0).normal(5, 3, size=(4000, 2), chunks=1000)
    >>> model = SGDRegressor(random_state=0).fit(X, X @ np.array([1.0, -2.0]) + 7)
    >>> model.coef_.round(1), model.intercept_.round(1)
    (array([ 1., -2.]), array([7.]))
    """

    __init__ = constructor(sklearn.linear_model.SGDRegressor, **OWN, n_jobs=None)
    losses = tuple(RESIDUAL_LOSSES)
    default_rate = "invscaling"
    passive_aggressive_loss = "epsilon_insensitive"

    def fit(  # type: ignore[override]
        self,
        X: Any,
        y: Any,
        coef_init: Any = None,
        intercept_init: Any = None,
        sample_weight: Any = None,
        *,
        checkpoint: Any = None,
    ) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : Dask array or DataFrame, NumPy array, pandas DataFrame or sparse matrix, of shape (n_samples, n_features)
            Features.
        y : array, Series, list or Dask array of shape (n_samples,)
            Targets.
        coef_init : array of shape (n_features,), optional
            The first coefficients.
        intercept_init : array of shape (1,), optional
            The first intercept.
        sample_weight : array or Dask array of shape (n_samples,), optional
            Weights of the rows.
        checkpoint : path, optional
            A folder that keeps what the last epoch has reached: called again with the same data, also on another
            cluster, an interrupted fit goes on from there.

        Returns
        -------
        SGDRegressor
            Itself.

        Raises
        ------
        DataError
            Where the data cannot be used; it names the argument and the block.
        """
        return self._fit_rows(X, y, sample_weight, coef_init, intercept_init, checkpoint=checkpoint)

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one epoch on some rows, from where the last call ended: coefficients and the optimizer's state.

        Parameters
        ----------
        X, y, sample_weight : see `fit`
            Some rows.

        Returns
        -------
        SGDRegressor
            Itself.
        """
        return self._fit_rows(X, y, sample_weight, more=True)

    def _problem(self, engine: Engine, summary: DataSummary, classes: None) -> LinearProblem:
        y, weight = np.asarray(summary.sample_y, np.float64), summary.sample_weight
        mean = float(weight @ y / weight.sum()) if self.fit_intercept else 0.0
        spread = float(np.sqrt(weight @ (y - mean) ** 2 / weight.sum()))
        preconditioner = self._precondition(summary, spread or 1.0)
        coef = np.zeros((1, self.n_features_in_ + 1))
        coef[0, -1] = mean if self._rule_name != "sgd" else 0.0
        return LinearProblem(regressor_loss(self.loss, self.epsilon), TARGET, preconditioner, coef)
