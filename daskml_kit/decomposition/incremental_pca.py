"""Principal component analysis of one batch of rows after another."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any, NamedTuple, Self

import scipy.sparse as sp
import sklearn.decomposition

from daskml_kit.arguments import check_choice, check_number
from daskml_kit.base import DaskEstimator, check_common, constructor, fitting, forget, without_names
from daskml_kit.data.block import Block, as_block, check_finite
from daskml_kit.data.collections import dask_matrix, is_dask, join
from daskml_kit.engines.chain import chain
from daskml_kit.engines.runtime import computing
from daskml_kit.exceptions import DataError
from daskml_kit.typing import Matrix
from daskml_kit.validation import check_features, check_fit

SOLVERS = ("auto", "full", "tsqr", "randomized")
BATCH_ROWS = 5
"""Rows of a batch for each feature, where neither a number of rows nor blocks tell."""


class IncrementalPCA(DaskEstimator, sklearn.decomposition.IncrementalPCA):  # type: ignore[misc]
    """Principal component analysis of one batch of rows after another, of which no more are held than one.

    The batches of Dask data are its blocks, in their order; the components are those of scikit-learn for these batches.
    `PCA` gives exact components, in one pass, whatever the order.

    Parameters
    ----------
    n_components : int, optional
        By default as many as features, or as rows of the first batch where it has fewer.
    whiten : bool, default False
        Whether `transform` gives components of variance 1.
    copy : bool, default True
        Dask data is never written to, whatever this says.
    batch_size : int, optional
        Rows of a batch, cut from the rows in their order as scikit-learn does, whatever the blocks. By default a block
        of Dask data, joined with its neighbor where it has fewer rows than components; in memory 5 rows a feature.
    svd_solver : {"auto", "full", "tsqr", "randomized"}, default "auto"
        Of dask-ml: all give the exact decomposition of each batch here.
    iterated_power : int or "auto", default 0
        Of dask-ml: not used, as no decomposition is a random one.
    random_state : int, RandomState or None, optional
        Of dask-ml: not used.

    Attributes
    ----------
    components_ : array of shape (n_components, n_features)
    explained_variance_, explained_variance_ratio_, singular_values_ : array of shape (n_components,)
    mean_, var_ : array of shape (n_features,)
    noise_variance_ : float
    n_components_, n_samples_seen_, batch_size_ : int

    See Also
    --------
    PCA : Exact components in one pass.

    References
    ----------
    Ross, Lim, Lin and Yang, "Incremental learning for robust visual tracking", 2008.

    Examples
    --------
    >>> import dask.array as da
    >>> import numpy as np
    >>> X = da.from_array(np.array([[0.0, 0.0], [1.0, 2.0], [2.0, 4.0], [3.0, 6.0]]), chunks=(2, 2))
    >>> IncrementalPCA(1).fit(X).components_.round(3)
    array([[0.447, 0.894]])
    """

    __init__ = constructor(sklearn.decomposition.IncrementalPCA, svd_solver="auto", iterated_power=0, random_state=None)

    def fit(self, X: Any, y: Any = None) -> Self:  # type: ignore[override]
        """Find the components of X, batch by batch.

        Parameters
        ----------
        X : Dask array or DataFrame, NumPy array, pandas DataFrame or sparse matrix, of shape (n_samples, n_features)
        y : ignored

        Returns
        -------
        IncrementalPCA
            Itself.

        Raises
        ------
        DataError
            Where the data cannot be used; it names the block.
        """
        check_common(self)
        self._check_parameters()
        with fitting(self):
            if not is_dask(X):
                super(DaskEstimator, self).fit(X)
                return self
            forget(self)
            check_fit(self, X)
            return self._learn(X)

    def partial_fit(self, X: Any, y: Any = None, check_input: bool = True) -> Self:
        """Go on with more rows.

        Parameters
        ----------
        X : Dask array or DataFrame, or array or pandas DataFrame of shape (n_samples, n_features)
            Rows in memory are one batch, those on Dask the batches that `fit` makes of them.
        y : ignored
        check_input : bool, default True
            Whether rows in memory are checked.

        Returns
        -------
        IncrementalPCA
            Itself.
        """
        check_common(self)
        self._check_parameters()
        with fitting(self):
            if not is_dask(X):
                super().partial_fit(X, check_input=check_input)
                return self
            if hasattr(self, "components_"):
                check_features(self, X)
            else:
                check_fit(self, X)
            return self._learn(X)

    def _learn(self, X: Any) -> Self:
        width = int(self.n_features_in_)
        blocks = dask_matrix(X).to_delayed().ravel()
        visits = ({"X": block, "index": index} for index, block in enumerate(blocks))
        model = without_names(self.to_sklearn())
        least = max(self.n_components or 1, 1)
        learner: Learner = chain(learn, Learner(model, None), visits, width, self.batch_size, least)
        if learner.rows is None:
            raise DataError(f"Found array with 0 sample(s) (shape=(0, {width})) while a minimum of 1 is required.")
        learned = learn_batch(learner.model, learner.rows)
        parameters = self.get_params(deep=False)
        fitted = {name: value for name, value in vars(learned).items() if name not in parameters}
        self._keep({**fitted, "batch_size_": self.batch_size or BATCH_ROWS * width})
        return self

    def _check_parameters(self) -> None:
        own: Any = self
        if own.n_components is not None:
            check_number("n_components", own.n_components, low=1, integer=True)
        if own.batch_size is not None:
            check_number("batch_size", own.batch_size, low=1, integer=True)
        check_choice("svd_solver", own.svd_solver, SOLVERS)
        if own.iterated_power != "auto":
            check_number("iterated_power", own.iterated_power, low=0, integer=True)


class Learner(NamedTuple):
    """A model, and rows that are not of a whole batch yet."""

    model: Any
    rows: Block | None


def learn(learner: Learner, parts: Any, width: int, batch_size: int | None, least: int) -> Learner:
    """Return the learner after one more block; the batch that may be the last is left."""
    block = as_block(parts["X"], index=parts["index"], n_features=width)
    if not block.n_rows:
        return learner
    check_finite(block)
    model, held = deepcopy(learner.model), learner.rows
    *batches, rest = _batches(None if held is None else held.X, block.X, batch_size, least)
    for batch in batches:
        learn_batch(model, block._replace(X=batch))
    return Learner(model, block._replace(X=rest))


def learn_batch(model: Any, batch: Block) -> Any:
    """Go on with one batch; return the model."""
    try:
        with computing():
            return model.partial_fit(batch.X.toarray() if sp.issparse(batch.X) else batch.X)
    except ValueError as error:
        raise DataError(f"{error} (in block {batch.index})") from error


def _batches(held: Matrix | None, X: Matrix, batch_size: int | None, least: int) -> Iterator[Matrix]:
    """Yield batches that are whole, and in the end the rows that are left, ``least`` of them where there are so many.

    Examples
    --------
    >>> import numpy as np
    >>> [batch.ravel().tolist() for batch in _batches(np.zeros((1, 1)), np.ones((4, 1)), 2, 1)]
    [[0.0, 1.0], [1.0, 1.0], [1.0]]
    >>> [len(batch) for batch in _batches(np.zeros((3, 1)), np.ones((4, 1)), None, 2)]
    [3, 4]
    """
    if held is not None and batch_size is None and min(held.shape[0], X.shape[0]) >= least:
        yield held
        held = None
    rows = X if held is None else join([held, X])
    if batch_size is not None:
        while rows.shape[0] >= batch_size + least:
            yield rows[:batch_size]
            rows = rows[batch_size:]
    yield rows
