"""Matrix factorization of ratings, and the items with the highest predicted ratings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from daskml_kit.arguments import check_choice, check_number, random_state_of
from daskml_kit.base import check_common, restored
from daskml_kit.data.collections import is_dask
from daskml_kit.engines.engine import Profile
from daskml_kit.engines.open import open_engine
from daskml_kit.exceptions import DataError
from daskml_kit.numerics.factorization import NAMES, FactorizationLoss
from daskml_kit.optim import Update, adagrad, adam, sgd
from daskml_kit.parameter_server.training.config import (
    Training,
    TrainingConfig,
    apart_from_places,
    check_training,
    checked,
)
from daskml_kit.parameter_server.training.coordinator import TrainingResult, train_on
from daskml_kit.parameter_server.training.history import History
from daskml_kit.parameter_server.training.reached import Reached, resumed
from daskml_kit.recommendation.base import RatingModel, Recommendations, check_pairs, first_items
from daskml_kit.recommendation.factor_step import SIDES, CountRatings, RatingCounts, RatingGradientStep, whole_pairs
from daskml_kit.typing import Array

SHORT_STEP = 10**6
"""Numbers of the factors that a minibatch touches, of which a step takes no longer than a round trip to a cluster."""


def left_out(users: Array, exclude: Any, n_items: int) -> Array:
    """Return the pairs to leave out, each by the positions of its user in ``users``."""
    if exclude is None or not len(users):
        return np.empty((0, 2), np.int64)
    pairs = whole_pairs(exclude)
    pairs = pairs[(pairs[:, 1] >= 0) & (pairs[:, 1] < n_items)]
    order = np.argsort(users, kind="stable")
    low, high = (np.searchsorted(users[order], pairs[:, 0], side=side) for side in ("left", "right"))
    times = high - low
    first = np.repeat(low - np.concatenate([[0], np.cumsum(times)[:-1]]), times)
    return np.column_stack([order[first + np.arange(times.sum())], np.repeat(pairs[:, 1], times)])


@dataclass(frozen=True, eq=False)
class RatingPredictor:
    """Predictor of ratings; a user or an item that is not known has no factors and no bias.

    Parameters
    ----------
    params : dict of arrays
        By the names of `FactorizationLoss`.
    mean : float
    """

    params: dict[str, Array]
    mean: float

    def predict(self, X: Any) -> Array:
        """Return the rating of each pair, of shape (n,)."""
        pairs = whole_pairs(X)
        sizes = np.array([len(self.params["user_factors"]), len(self.params["item_factors"])])
        known = (pairs >= 0) & (pairs < sizes)
        both = known.all(axis=1)
        rating = np.full(len(pairs), self.mean, self.params["user_factors"].dtype)
        rating[both] = FactorizationLoss(mean=self.mean).predict(self.params, pairs[both])
        for side, name in enumerate(("user_biases", "item_biases")):
            if name in self.params:
                alone = known[:, side] & ~both
                rating[alone] += self.params[name][pairs[alone, side]]
        return rating


OPTIMIZERS = {"sgd": sgd, "adagrad": adagrad, "adam": adam}


def config_of(model: Any) -> tuple[TrainingConfig, Update]:
    """Return the configuration of the training and the update rule, once the parameters are checked."""
    check_common(model)
    check_number("n_factors", model.n_factors, low=1, integer=True)
    check_number("regularization", model.regularization, low=0)
    check_number("tol", model.tol, low=0)
    check_number("max_iter", model.max_iter, low=1, integer=True)
    for name in ("learning_rate", "init_std"):
        check_number(name, getattr(model, name), low=0, strict=True)
    for side in SIDES:
        if getattr(model, f"n_{side}") is not None:
            check_number(f"n_{side}", getattr(model, f"n_{side}"), low=1, integer=True)
    if model.n_iter_no_change is not None:
        check_number("n_iter_no_change", model.n_iter_no_change, low=1, integer=True)
    check_choice("optimizer", model.optimizer, tuple(OPTIMIZERS))
    config = TrainingConfig(
        training=check_training(model.training),
        epochs=int(model.max_iter),
        batch_size=model.batch_size,
        shuffle=bool(model.shuffle),
        patience=model.n_iter_no_change,
        tol=model.tol,
        verbose=int(model.verbose),
    )
    return checked(config), OPTIMIZERS[model.optimizer](model.learning_rate)


class MatrixFactorization(RatingModel):
    r"""Matrix factorization of ratings with biases, by stochastic gradients.

    A rating is predicted as :math:`\mu + b_u + b_i + p_u^\top q_i`, to minimize

    .. math:: \tfrac12 \sum (r_{ui} - \mu - b_u - b_i - p_u^\top q_i)^2
        + \tfrac{\lambda}{2} (\|p_u\|^2 + \|q_i\|^2 + b_u^2 + b_i^2)

    where :math:`\mu` is the mean rating. A user or an item that had no rating counts nothing: what is left is the mean
    rating and the other's bias. A worker pulls the rows of the tables that its minibatch touches, and pushes
    gradients of these, so that the cost of a step is that of its ratings, however large the tables are.

    Parameters
    ----------
    n_factors : int, default 16
        Length of the factors of a user or an item.
    regularization : float, default 0.02
        :math:`\lambda` above.
    learning_rate : float, default 0.05
        Of the update rule.
    max_iter : int, default 20
        The most epochs.
    biases : bool, default True
        Whether users and items have biases.
    optimizer : {"sgd", "adagrad", "adam"}, default "sgd"
        The rule of the steps, which moves the rows that have a gradient only.
    batch_size : int, default 1000
        Ratings of a minibatch: in a synchronous step of all virtual workers together, else of one worker. A row's
        step is by the mean over its ratings in the minibatch of a virtual worker; those of virtual workers add up.
    n_users, n_items : int, optional
        Numbers are below these; by default found in a first pass.
    init_std : float, default 0.1
        Standard deviation that factors are drawn with.
    tol : float, default 1e-4
        Used with ``n_iter_no_change``.
    n_iter_no_change : int, optional
        Training ends when the mean loss has not become better by ``tol`` in so many epochs; by default it does not.
    training : Synchronous or Asynchronous, default ``Synchronous()``
        Whether workers train in step, with the same bits for any number of them, or each at its own pace.
    shuffle : bool, default True
        Whether ratings are visited in an order drawn anew each epoch, within their blocks.
    random_state : int, RandomState, Generator or None, optional
        Seed of the first factors and of the orders of ratings.
    n_jobs : int, optional
        Threads of a fit that needs no cluster; by default one a processor.
    verbose : int, default 0
        Above 0, a progress bar with loss and ratings a second.

    Attributes
    ----------
    user_factors_, item_factors_ : arrays of shape (n_users_, n_factors) and (n_items_, n_factors)
        SparseRows without a rating are zero.
    user_biases_, item_biases_ : arrays of shape (n_users_,) and (n_items_,)
        Zero without ``biases``.
    mean_ : float
        The mean rating.
    n_users_, n_items_ : int
        Rows of the tables.
    n_iter_ : int
        Epochs.
    history_ : daskml_kit.parameter_server.History
        Losses, pace and staleness of the training.
    profile_ : daskml_kit.engines.engine.Profile
        Passes over the data, and where they were computed: unless ``training`` is given, up to 256 MB are fetched from
        a cluster, as a step is shorter than a round trip to it.

    See Also
    --------
    daskml_kit.datasets.make_ratings : Generates ratings.
    daskml_kit.parameter_server.train : Training of other models.

    References
    ----------
    Y. Koren, R. Bell & C. Volinsky, Matrix factorization techniques for recommender systems, Computer 42 (8), 2009.

    Examples
    --------
    >>> from daskml_kit.datasets import make_ratings
    >>> ratings = make_ratings(n_users=300, n_items=100, n_ratings=10_000, n_factors=2, random_state=0)
    >>> X, y = ratings[["user", "item"]], ratings["rating"]
    >>> model = MatrixFactorization(n_factors=2, max_iter=60, random_state=0).fit(X, y)
    >>> model.score(X, y) > 0.9
    True
    >>> model.recommend([7, 8], k=3).items.shape
    (2, 3)
    """

    user_factors_: Array
    item_factors_: Array
    user_biases_: Array
    item_biases_: Array
    history_: History
    profile_: Profile

    def __init__(
        self,
        n_factors: int = 16,
        *,
        regularization: float = 0.02,
        learning_rate: float = 0.05,
        max_iter: int = 20,
        biases: bool = True,
        optimizer: str = "sgd",
        batch_size: int = 1000,
        n_users: int | None = None,
        n_items: int | None = None,
        init_std: float = 0.1,
        tol: float = 1e-4,
        n_iter_no_change: int | None = None,
        training: Training | None = None,
        shuffle: bool = True,
        random_state: Any = None,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_factors = n_factors
        self.regularization = regularization
        self.learning_rate = learning_rate
        self.max_iter = max_iter
        self.biases = biases
        self.optimizer = optimizer
        self.batch_size = batch_size
        self.n_users = n_users
        self.n_items = n_items
        self.init_std = init_std
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.training = training
        self.shuffle = shuffle
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    def fit(self, X: Any, y: Any, *, checkpoint: Any = None) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : Dask array or DataFrame, NumPy array or pandas DataFrame, of shape (n_ratings, 2)
            The numbers of user and item, whole and from 0.
        y : array, Series or Dask array of shape (n_ratings,)
            The ratings.
        checkpoint : path, optional
            A folder that keeps what the last epoch has reached: called again with the same data, also on another
            cluster, an interrupted fit goes on from there.

        Returns
        -------
        MatrixFactorization
            Itself.

        Raises
        ------
        DataError
            Where the data cannot be used; it names the argument and the block.
        """
        config, rule = config_of(self)
        check_pairs(X)
        if not is_dask(X):
            check_consistent_length(X, y)
        # a step takes a few milliseconds, as a round trip to a cluster does
        short = self.training is None and self.batch_size * self.n_factors <= SHORT_STEP
        setting = {**self.get_params(), "training": apart_from_places(self.training)}
        options = {"n_jobs": self.n_jobs, "checkpoint": checkpoint, "setting": setting, "short_steps": short}
        with open_engine(X if is_dask(X) else whole_pairs(X), y, **options) as engine:
            counts: RatingCounts = engine.answer(CountRatings(self.n_users, self.n_items))[0]
            if not counts.n_rows:
                raise DataError("X: expected at least one rating, got none")
            mean = counts.total / counts.n_rows
            rng = random_state_of(self.random_state)
            params = self._drawn(counts, rng)
            step = RatingGradientStep(FactorizationLoss(self.regularization, mean), bool(self.biases))
            config = config._replace(random_state=int(rng.randint(2**31 - 1)))
            reached, config = resumed(engine, rule, config, Reached(params))
            trained = train_on(engine, step, rule, config, reached)
        with restored(self):
            self._remember(trained, counts, mean)
            self.profile_ = engine.profile
        return self

    def recommend(self, users: Any, k: int = 10, *, exclude: Any = None) -> Recommendations:
        """Return the k items with the highest predicted rating for each of some users, and these ratings.

        Parameters
        ----------
        users : array of int of shape (n,)
            Those that had no rating get the items in the order of their biases.
        k : int, default 10
            Items for each user.
        exclude : array of shape (m, 2), optional
            Pairs of a user and an item that are left out, such as those of `fit`, in memory.

        Returns
        -------
        Recommendations
            ``items`` and ``ratings``, of shape (n, k).
        """
        check_is_fitted(self)
        check_number("k", k, low=1, integer=True)
        if k > self.n_items_:
            raise ValueError(f"k: expected at most the number of items, {self.n_items_}, got {k}")
        wanted = np.asarray(users)
        if wanted.ndim != 1 or (wanted.size and wanted.dtype.kind not in "iu"):
            raise DataError(f"users: expected a vector of whole numbers, got {wanted.dtype} of shape {wanted.shape}")
        known = (wanted >= 0) & (wanted < self.n_users_)
        rows = np.where(known, wanted, 0).astype(np.int64)
        factors, own = self.user_factors_[rows] * known[:, None], self.user_biases_[rows] * known
        first = first_items(factors, self.item_factors_, self.item_biases_, k, left_out(wanted, exclude, self.n_items_))
        return Recommendations(first.items, first.ratings + (self.mean_ + own)[:, None])

    def _factors_of(self, side: str) -> tuple[Array, Array]:
        factors: Array = getattr(self, f"{side[:-1]}_factors_")
        return np.arange(len(factors)), factors

    def _predictor(self) -> RatingPredictor:
        params = {name: getattr(self, f"{name}_") for name in NAMES}
        return RatingPredictor(params, self.mean_)

    def _drawn(self, counts: RatingCounts, rng: np.random.RandomState) -> dict[str, Array]:
        dtype = np.float32 if counts.single else np.float64
        sizes = (len(counts.users), len(counts.items))
        params = {
            name: rng.normal(scale=self.init_std, size=(n, self.n_factors)).astype(dtype, copy=False)
            for name, n in zip(NAMES[:2], sizes, strict=True)
        }
        if self.biases:
            params |= {name: np.zeros(n, dtype) for name, n in zip(NAMES[2:], sizes, strict=True)}
        return params

    def _remember(self, trained: TrainingResult, counts: RatingCounts, mean: float) -> None:
        for i, name in enumerate(NAMES):
            present = (counts.users, counts.items)[i % 2]
            table = trained.params.get(name)
            values = np.zeros(len(present), trained.params[NAMES[0]].dtype) if table is None else table.copy()
            values[~present] = 0
            setattr(self, f"{name}_", values)
        self.mean_, self.history_, self.n_iter_ = mean, trained.history, len(trained.history.epochs)
        self.n_users_, self.n_items_, self.n_features_in_ = len(counts.users), len(counts.items), 2
