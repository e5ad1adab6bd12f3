"""Meta-estimators: a model of scikit-learn's kind that predicts on Dask data, or that trains on it block by block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any, Self

import dask
import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from daskml_kit.arguments import check_inner, check_number, random_state_of
from daskml_kit.base import check_common, forget, restored
from daskml_kit.composition import without_dask
from daskml_kit.data.align import align_rows
from daskml_kit.data.collections import is_dask, n_rows
from daskml_kit.engines.chain import chain
from daskml_kit.engines.runtime import computing
from daskml_kit.model_selection.search.best_estimator import BestEstimatorMethods, refit_on_all, score_joined, score_on
from daskml_kit.model_selection.search.scoring import SINGLE, scorers_of
from daskml_kit.model_selection.splits.folds import labels_of
from daskml_kit.model_selection.splits.shuffle_split import train_test_split
from daskml_kit.validation import plain_strings


class ParallelPostFit(BestEstimatorMethods, MetaEstimatorMixin, BaseEstimator):  # type: ignore[misc]
    """Model that is trained on data in memory and then predicts on Dask data, lazily on each block.

    The model is one node of the graph: each worker receives it once, whatever the number of blocks.

    Parameters
    ----------
    estimator : estimator
        Any scikit-learn estimator; one that is fitted already may predict at once.
    scoring : str or callable, optional
        Score of `score`; by default the estimator's own.
    predict_meta, predict_proba_meta, transform_meta : array or DataFrame, optional
        Empty results that tell the type of what the methods return on Dask input, where this cannot be found out by
        calling them on a few rows.

    Attributes
    ----------
    estimator_ : estimator
        A clone of ``estimator``, fitted. Its own attributes (``coef_``, ``classes_``, ...) are this one's, too.

    See Also
    --------
    Incremental : Trains block by block, too.
    daskml_kit.linear_model : Models that are trained on all of the data.

    References
    ----------
    The names and parameters are those of ``dask_ml.wrappers``.

    Examples
    --------
    >>> import dask.array as da
    >>> from sklearn.ensemble import GradientBoostingClassifier
    >>> rows = np.random.default_rng(0).normal(size=(200, 3))
    >>> model = ParallelPostFit(GradientBoostingClassifier(random_state=0)).fit(rows, rows[:, 0] > 0)
    >>> model.predict(da.from_array(rows, chunks=(50, 3)))
    dask.array<daskml-predict, shape=(200,), dtype=bool, chunksize=(50,), chunktype=numpy.ndarray>
    """

    def __init__(
        self,
        estimator: Any = None,
        scoring: Any = None,
        predict_meta: Any = None,
        predict_proba_meta: Any = None,
        transform_meta: Any = None,
    ) -> None:
        self.estimator = estimator
        self.scoring = scoring
        self.predict_meta = predict_meta
        self.predict_proba_meta = predict_proba_meta
        self.transform_meta = transform_meta

    def fit(self, X: Any, y: Any = None, **fit_params: Any) -> Self:
        """Fit a clone of the estimator to data that fits in the memory of one machine.

        Parameters
        ----------
        X : array, data frame, sparse matrix, Dask array or DataFrame of shape (n_samples, n_features)
            The blocks of Dask data are joined, on a worker where there is a cluster.
        y : array, Series or Dask array of shape (n_samples,), optional
        **fit_params
            For the estimator's ``fit``.

        Returns
        -------
        ParallelPostFit
            Itself.
        """
        check_inner("estimator", self.estimator, "fit")
        with restored(self):
            self.estimator_ = refit_on_all(clone(self.estimator), X, y, fit_params)
        return self

    @available_if(lambda self: hasattr(self.estimator, "partial_fit"))  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any = None, **fit_params: Any) -> Self:
        """Go on training on rows in memory, as adaptive searches do with one block after another.

        Parameters
        ----------
        X, y, **fit_params : see `fit`
            For the estimator's ``partial_fit``, on which it depends whether this method is there.

        Returns
        -------
        ParallelPostFit
            Itself.

        Raises
        ------
        TypeError
            Where ``X`` is a Dask collection: `Incremental` trains on these.
        """
        if is_dask(X) or is_dask(y):
            raise TypeError(f"X: expected rows in memory, got {type(X).__name__}; Incremental trains on Dask data")
        with restored(self):
            model = self._continued()
            self.estimator_ = model.partial_fit(X, **({} if y is None else {"y": y}), **fit_params)
        return self

    def _continued(self) -> Any:
        """Return a copy of the fitted model to go on with, or an unfitted one; a failure changes neither."""
        return deepcopy(self.estimator_) if "estimator_" in vars(self) else clone(self.estimator)

    def score(self, X: Any, y: Any = None) -> float:
        """Return the score of the model by ``scoring``.

        Parameters
        ----------
        X : as in `fit`
            Rows. Scores that are sums over rows take one pass over the blocks; others need them joined.
        y : as in `fit`, optional

        Returns
        -------
        float
            Score, higher is better.
        """
        check_is_fitted(self)
        return self._score_of(self.best_estimator_, X, y)

    def _score_of(self, model: Any, X: Any, y: Any) -> float:
        if is_dask(X) or is_dask(y):
            return score_on(model, plain_strings(X), y, self.scoring)
        return score_joined(scorers_of(model, {SINGLE: self.scoring})[SINGLE], model, X, y)

    def to_sklearn(self) -> Any:
        """Return the fitted model, free of Dask.

        Returns
        -------
        estimator
            ``estimator_``, or ``estimator`` where this was fitted beforehand.
        """
        check_is_fitted(self)
        return without_dask(self.best_estimator_)

    @property
    def best_estimator_(self) -> Any:
        """The fitted model: ``estimator_``, or ``estimator`` where this was fitted beforehand."""
        return vars(self).get("estimator_", vars(self)["estimator"])

    def __getattr__(self, name: str) -> Any:
        if name.endswith("_") and not name.startswith("_") and name != "estimator_" and "estimator" in vars(self):
            return getattr(self.best_estimator_, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __sklearn_is_fitted__(self) -> bool:
        try:
            check_is_fitted(self.best_estimator_)
        except NotFittedError:
            return False
        return True

    def __sklearn_tags__(self) -> Any:
        tags, inner = super().__sklearn_tags__(), get_tags(self.estimator)
        tags.estimator_type, tags.classifier_tags = inner.estimator_type, inner.classifier_tags
        tags.regressor_tags, tags.transformer_tags = inner.regressor_tags, inner.transformer_tags
        tags.target_tags, tags.input_tags = inner.target_tags, inner.input_tags
        return tags


class Incremental(ParallelPostFit):
    """Model that learns by ``partial_fit``, trained on Dask data one block after another, where the blocks lie.

    The model moves, the blocks do not. No more than a few blocks are in memory that are not persisted. A worker that
    is lost delays the training and changes nothing, where ``partial_fit`` is deterministic.

    Parameters
    ----------
    estimator : estimator
        Any estimator with ``partial_fit``.
    scoring : str or callable, optional
        Score of `score`; by default the estimator's own.
    shuffle_blocks : bool, default True
        Whether blocks are visited in an order drawn anew each time.
    random_state : int, RandomState or None, optional
        Seed of these orders.
    assume_equal_chunks : bool, default True
        Taken as in dask-ml; lengths are compared where a block is visited, whatever this says.
    predict_meta, predict_proba_meta, transform_meta : array or DataFrame, optional
        See `ParallelPostFit`.
    max_iter : int, default 1
        Epochs of `fit`, at most.
    early_stopping : bool, default False
        Whether `fit` draws rows, of each class, that do not train but validate, and ends when the score on them no
        longer improves. The model with the best of these scores is kept.
    validation_fraction : float, default 0.1
        Part of the rows that validates; weights do not count in their score.
    n_iter_no_change : int, default 5
        Epochs without an improvement after which it ends.
    tol : float, default 1e-3
        Difference of scores that is an improvement.

    Attributes
    ----------
    n_iter_ : int
        Epochs of a fit with early stopping.
    validation_scores_ : list of float
        After each epoch of it.
    best_validation_score_ : float
        The largest of these.
    estimator_ : estimator
        A clone of ``estimator``, trained. Its own attributes (``coef_``, ``classes_``, ...) are this one's, too.

    See Also
    --------
    daskml_kit.model_selection.HyperbandSearchCV : Trains many such models, the better ones longer.
    daskml_kit.linear_model.SGDClassifier : Trains on all blocks at once.

    References
    ----------
    The names and parameters are those of ``dask_ml.wrappers``.

    Examples
    --------
    >>> import dask.array as da
    >>> from sklearn.linear_model import SGDClassifier
    >>> X = da.random.default_rng(0).normal(size=(1000, 2), chunks=(100, 2))
    >>> model = Incremental(SGDClassifier(random_state=0), random_state=0).fit(X, X[:, 0] > 0)
    >>> model.score(X, X[:, 0] > 0) > 0.95
    True
    """

    def __init__(
        self,
        estimator: Any = None,
        scoring: Any = None,
        shuffle_blocks: bool = True,
        random_state: Any = None,
        assume_equal_chunks: bool = True,
        predict_meta: Any = None,
        predict_proba_meta: Any = None,
        transform_meta: Any = None,
        max_iter: int = 1,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        tol: float = 1e-3,
    ) -> None:
        super().__init__(estimator, scoring, predict_meta, predict_proba_meta, transform_meta)
        self.shuffle_blocks = shuffle_blocks
        self.random_state = random_state
        self.assume_equal_chunks = assume_equal_chunks
        self.max_iter = max_iter
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol

    def fit(self, X: Any, y: Any = None, **fit_params: Any) -> Self:
        """Train a clone of the estimator on all blocks, ``max_iter`` times or until validation rows say enough.

        Parameters
        ----------
        X : Dask array or DataFrame, or array, data frame or sparse matrix, of shape (n_samples, n_features)
            Data in memory is one block.
        y : array, Series or Dask array of shape (n_samples,), optional
        **fit_params
            For the estimator's ``partial_fit``: ``sample_weight`` is cut into blocks as X is; ``classes`` are found by
            a pass over y where they are not given.

        Returns
        -------
        Incremental
            Itself.

        Raises
        ------
        DataError
            Where the lengths of X, y and weights differ.
        """
        check_number("max_iter", self.max_iter, low=1, integer=True)
        check_inner("estimator", self.estimator, "partial_fit")
        check_common(self)
        check_number("n_iter_no_change", self.n_iter_no_change, low=1, integer=True)
        check_number("tol", self.tol, low=0)
        check_number("validation_fraction", self.validation_fraction, low=0, below=1, strict=True)
        with restored(self):
            forget(self)
            draw = random_state_of(self.random_state)
            if self.early_stopping:
                for name, value in self._stopped_early(X, y, fit_params, draw).items():
                    setattr(self, name, value)
            else:
                self.estimator_ = self._trained(clone(self.estimator), X, y, fit_params, self.max_iter, draw)
        return self

    @available_if(lambda self: hasattr(self.estimator, "partial_fit"))  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any = None, **fit_params: Any) -> Self:
        """Go on training, once on each block.

        Parameters
        ----------
        X, y, **fit_params : see `fit`

        Returns
        -------
        Incremental
            Itself.
        """
        check_inner("estimator", self.estimator, "partial_fit")
        with restored(self):
            model = self._continued()
            self.estimator_ = self._trained(model, X, y, fit_params, 1, random_state_of(self.random_state))
        return self

    def _stopped_early(
        self, X: Any, y: Any, fit_params: Mapping[str, Any], draw: np.random.RandomState
    ) -> dict[str, Any]:
        """Return the fitted attributes of a training that validation rows end."""
        given, seed = given_rows(X, y, fit_params.get("sample_weight")), draw.randint(2**31 - 1)
        train, test = validation_split(self.estimator, given, self.validation_fraction, seed)
        params = {**fit_params, **{name: train[name] for name in train if name == "sample_weight"}}
        test = dask.persist(test)[0]
        model, scores, best, best_model, stale = clone(self.estimator), list[float](), -np.inf, None, 0
        while len(scores) < self.max_iter and stale < self.n_iter_no_change:
            model = self._trained(model, train["X"], train.get("y"), params, 1, draw)
            scores.append(self._score_of(model, test["X"], test.get("y")))
            stale = 0 if scores[-1] > best + self.tol else stale + 1
            if best_model is None or scores[-1] > best:
                best, best_model = scores[-1], deepcopy(model)
        return {
            "estimator_": best_model,
            "n_iter_": len(scores),
            "validation_scores_": scores,
            "best_validation_score_": best,
        }

    def _trained(
        self,
        model: Any,
        X: Any,
        y: Any,
        fit_params: Mapping[str, Any],
        epochs: int,
        draw: np.random.RandomState,
    ) -> Any:
        given = given_rows(X, y, fit_params.get("sample_weight"))
        params = {name: value for name, value in fit_params.items() if name != "sample_weight"}
        if is_classifier(model) and "classes" not in params and not hasattr(model, "classes_"):
            params["classes"] = labels_of(y)
        if not any(map(is_dask, given.values())):
            for _ in range(epochs):
                model.partial_fit(**given, **params)
            return model
        columns = align_rows(given).columns
        blocks = [{column.name: column.blocks[at] for column in columns} for at in range(len(columns[0].blocks))]
        visits = (blocks[at] for at in self._order(len(blocks), epochs, draw))
        return chain(train_on_block, model, visits, params)

    def _order(self, n_blocks: int, epochs: int, draw: np.random.RandomState) -> Iterator[int]:
        for _ in range(epochs):
            yield from draw.permutation(n_blocks) if self.shuffle_blocks else range(n_blocks)


def given_rows(X: Any, y: Any, sample_weight: Any) -> dict[str, Any]:
    """Return those of the arguments of a fit, by name, that are given."""
    given = {"X": X, "y": y, "sample_weight": sample_weight}
    return {name: value for name, value in given.items() if value is not None}


def validation_split(
    estimator: Any, given: Mapping[str, Any], fraction: float, random_state: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the rows that train an estimator, and those that validate it: of a classifier a part of each class."""
    stratify = given.get("y") if is_classifier(estimator) else None
    options = {"test_size": fraction, "random_state": random_state, "stratify": stratify}
    parts = train_test_split(*given.values(), **options)
    train, test = (dict(zip(given, parts[side::2], strict=True)) for side in (0, 1))
    return train, test


def train_on_block(model: Any, parts: Mapping[str, Any], params: Mapping[str, Any]) -> Any:
    """Return a copy of a model, trained on a block."""
    model = deepcopy(model)
    if n_rows(parts["X"]):  # scikit-learn refuses to train on no rows
        with computing():
            model.partial_fit(**parts, **params)
    return model
