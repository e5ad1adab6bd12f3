"""Multi-layer perceptrons: classifier and regressor."""

from __future__ import annotations

from functools import partial
from typing import Any, Self

import numpy as np
import sklearn.neural_network
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import unique_labels
from sklearn.utils.validation import column_or_1d

from daskml_kit.arguments import check_choice
from daskml_kit.base import constructor
from daskml_kit.data.collections import is_dask
from daskml_kit.documentation import with_inherited_docs
from daskml_kit.engines.engine import Engine
from daskml_kit.exceptions import DataError
from daskml_kit.neural_network.mlp_training import MultiLayerPerceptron, is_stochastic
from daskml_kit.neural_network.scores import IndicatorRange, ValidationAccuracy, ValidationR2
from daskml_kit.reductions.summary import DataSummary, position_of
from daskml_kit.typing import Labels
from daskml_kit.validation import check_labels, is_multilabel


@with_inherited_docs
class MLPClassifier(MultiLayerPerceptron, sklearn.neural_network.MLPClassifier):  # type: ignore[misc]
    r"""Multi-layer perceptron classifier: minimizes the log-loss, with scikit-learn's parameters.

    On Dask data under a client, workers are tasks beside the blocks; in memory they are threads. Unless ``training`` is
    given, small networks fetch up to 256 MB from the cluster, as their steps are shorter than a round trip to it;
    ``profile_.where`` tells. The numbers are the same. Targets are labels, or
    of several columns of 0 and 1 (multilabel).

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
        The labels, sorted; with several columns of targets their numbers.

    See Also
    --------
    MLPRegressor : For targets that are numbers.
    daskml_kit.parameter_server.torch_model : Training of PyTorch modules.

    References
    ----------
    D. Kingma & J. Ba, Adam: a method for stochastic optimization, ICLR 2015.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.random.default_rng(0).normal(size=(2000, 4), chunks=(500, 4))
    >>> y = da.where(X[:, 0] * X[:, 1] > 0, "alike", "opposed")
    >>> model = MLPClassifier(hidden_layer_sizes=32, learning_rate_init=0.01, tol=1e-3, random_state=0).fit(X, y)
    >>> model.predict(X[:3]).compute().shape, model.score(X, y) > 0.95
    ((3,), True)
    """

    __init__ = constructor(sklearn.neural_network.MLPClassifier, training=None, n_jobs=None)
    classes_: Labels
    _scorer = ValidationAccuracy

    def fit(  # type: ignore[override]
        self, X: Any, y: Any, sample_weight: Any = None, *, checkpoint: Any = None
    ) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : Dask array or DataFrame, NumPy array, pandas DataFrame or sparse matrix, of shape (n_samples, n_features)
            Features.
        y : array, Series, list or Dask array of shape (n_samples,) or (n_samples, n_labels)
            Labels of any one type, or 0 and 1 in each of several columns.
        sample_weight : array or Dask array of shape (n_samples,), optional
            Weights of the rows.
        checkpoint : path, optional
            A folder that keeps what the last epoch has reached, or each pass of L-BFGS: called again with the same
            data, also on another cluster, an interrupted fit goes on from there.

        Returns
        -------
        MLPClassifier
            Itself.

        Raises
        ------
        DataError
            Where the data cannot be used; it names the argument and the block.
        """
        return self._fit_rows(X, y, sample_weight, labeled=not is_multilabel(y), checkpoint=checkpoint)

    @available_if(is_stochastic)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Self:
        """Train for one epoch on some rows, from where the last call ended.

        Parameters
        ----------
        X, y, sample_weight : see `fit`
            Some rows.
        classes : array, optional
            All labels there will be; the first call needs them.

        Returns
        -------
        MLPClassifier
            Itself.
        """
        known = getattr(self, "classes_", None)
        if classes is None and known is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        wanted = None if classes is None else unique_labels(classes)
        if wanted is not None and known is not None and not np.array_equal(wanted, known):
            raise ValueError(f"`classes={classes!r}` is not the same as on last call to partial_fit, was: {known!r}")
        labeled = not is_multilabel(y)
        return self._fit_rows(X, y, sample_weight, labeled=labeled, goes_on=True, classes=wanted)

    def _made_up_rows(self) -> tuple[Any, ...]:
        zeros = np.zeros((len(self.classes_), self.n_features_in_), self.coefs_[0].dtype)
        several = self.out_activation_ == "logistic" and self.n_outputs_ > 1
        return zeros, np.eye(len(zeros), dtype=int) if several else self.classes_, None, self.classes_

    def _open(self, engine: Engine, summary: DataSummary, known: Any, *, exactly: bool) -> tuple[int, str]:
        if summary.labels is None:
            return self._open_multilabel(engine, len(summary.low), known)
        found = summary.labels
        check_labels(found)
        classes = found if known is None else known
        if set(found) - set(classes) or (exactly and len(found) != len(classes)):
            raise ValueError(f"y: expected {'the' if exactly else 'some of the'} classes {classes}, got {found}")
        if len(classes) < 2:
            raise ValueError(
                f"MLPClassifier needs samples of at least 2 classes in the data, but the data contains only one class: "
                f"{classes[0]!r}"
            )
        engine.relabel(partial(position_of, classes))
        self.classes_ = classes
        return (1, "logistic") if len(classes) == 2 else (len(classes), "softmax")

    def _open_multilabel(self, engine: Engine, n_labels: int, known: Any) -> tuple[int, str]:
        if known is not None and len(known) != n_labels:
            raise ValueError(f"y: expected {len(known)} columns of 0 and 1, got {n_labels}")
        if not engine.answer(IndicatorRange())[0]:
            raise ValueError("y: expected 0 and 1 in each of several columns, got other numbers")
        self.classes_ = np.arange(n_labels)
        return n_labels, "logistic"


def _raveled(y: Any) -> Any:
    """Return one column of targets in memory as a vector, with scikit-learn's warning."""
    if y is None or is_dask(y) or np.asarray(y).ndim != 2 or np.asarray(y).shape[1] != 1:
        return y
    return column_or_1d(y, warn=True)


@with_inherited_docs
class MLPRegressor(MultiLayerPerceptron, sklearn.neural_network.MLPRegressor):  # type: ignore[misc]
    r"""Multi-layer perceptron regressor: minimizes the squared error, with scikit-learn's parameters.

    On Dask data under a client, workers are tasks beside the blocks; in memory they are threads. Unless ``training`` is
    given, small networks fetch up to 256 MB from the cluster, as their steps are shorter than a round trip to it;
    ``profile_.where`` tells. The numbers are the same. The losses of
    several outputs are summed, as they are in scikit-learn's gradients, also in ``loss_``, where it has their mean.

    Parameters
    ----------
    loss : {"squared_error", "poisson"}, default "squared_error"
        Half the squared error, or half the Poisson deviance of ``y >= 0`` with a log link.

    See Also
    --------
    MLPClassifier : For labels.
    daskml_kit.parameter_server.torch_model : Training of PyTorch modules.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.random.default_rng(0).normal(size=(2000, 2), chunks=(500, 2))
    >>> model = MLPRegressor(hidden_layer_sizes=32, learning_rate_init=0.01, random_state=0)
    >>> model.fit(X, X[:, 0] * X[:, 1]).score(X, X[:, 0] * X[:, 1]) > 0.95
    True
    """

    __init__ = constructor(sklearn.neural_network.MLPRegressor, training=None, n_jobs=None)
    _scorer = ValidationR2

    def fit(  # type: ignore[override]
        self, X: Any, y: Any, sample_weight: Any = None, *, checkpoint: Any = None
    ) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : Dask array or DataFrame, NumPy array, pandas DataFrame or sparse matrix, of shape (n_samples, n_features)
            Features.
        y : array, Series, frame, list or Dask array of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array or Dask array of shape (n_samples,), optional
            Weights of the rows.
        checkpoint : path, optional
            A folder that keeps what the last epoch has reached, or each pass of L-BFGS: called again with the same
            data, also on another cluster, an interrupted fit goes on from there.

        Returns
        -------
        MLPRegressor
            Itself.

        Raises
        ------
        DataError
            Where the data cannot be used; it names the argument and the block.
        """
        check_choice("loss", self.loss, ("squared_error", "poisson"))
        return self._fit_rows(X, _raveled(y), sample_weight, labeled=False, checkpoint=checkpoint)

    @available_if(is_stochastic)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one epoch on some rows, from where the last call ended.

        Parameters
        ----------
        X, y, sample_weight : see `fit`
            Some rows.

        Returns
        -------
        MLPRegressor
            Itself.
        """
        check_choice("loss", self.loss, ("squared_error", "poisson"))
        return self._fit_rows(X, _raveled(y), sample_weight, labeled=False, goes_on=True)

    def _made_up_rows(self) -> tuple[Any, ...]:
        dtype, shape = self.coefs_[0].dtype, 1 if self.n_outputs_ == 1 else (1, self.n_outputs_)
        return np.zeros((1, self.n_features_in_), dtype), np.zeros(shape, dtype)

    def _open(self, engine: Engine, summary: DataSummary, known: Any, *, exactly: bool) -> tuple[int, str]:
        if self.loss == "poisson" and summary.low.min() < 0:
            raise DataError(f"y: expected no number below 0 with loss='poisson', got {summary.low.min()}")
        return len(summary.low), "identity" if self.loss == "squared_error" else "exp"
