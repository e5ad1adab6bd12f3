"""Alternating least squares, of explicit ratings and of implicit feedback."""

from __future__ import annotations

from typing import Any, Self

import dask
import dask.array as da
import numpy as np
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from daskml_kit.arguments import check_choice, check_number, random_state_of
from daskml_kit.base import check_common, fitting
from daskml_kit.data.collections import dask_vector, is_dask
from daskml_kit.engines.engine import Profile
from daskml_kit.engines.runtime import check_n_jobs
from daskml_kit.exceptions import DataError
from daskml_kit.numerics.factor_rows import RidgeSetting
from daskml_kit.recommendation.alternation import alternate
from daskml_kit.recommendation.base import RatingModel, Recommendations, check_pairs
from daskml_kit.recommendation.factor_model import FactorModel, SeenPairs, recommend_block, seen_pairs
from daskml_kit.recommendation.open_ratings import open_ratings
from daskml_kit.recommendation.rating_tables import Feedback, RatingTotals, Side
from daskml_kit.typing import Array

CHOLESKY_FACTORS = 32
"""Factors up to which solver="auto" factors the normal equations: it costs the square of their number a rating."""


class ALS(RatingModel):
    r"""Matrix factorization by alternating least squares, of explicit ratings or of implicit feedback.

    Explicit ratings (ALS-WR) are predicted as :math:`x_u^\top y_i`, to minimize over the ratings there are

    .. math:: \sum_{(u, i)} (r_{ui} - x_u^\top y_i)^2
        + \lambda \Bigl(\sum_u n_u \|x_u\|^2 + \sum_i n_i \|y_i\|^2\Bigr)

    where :math:`n_u` and :math:`n_i` count the ratings of a user and of an item. With ``implicit=True`` (Hu, Koren and
    Volinsky) a rating tells how sure a preference is, and all pairs count, those without a rating as not preferred:

    .. math:: \sum_{u, i} c_{ui} (p_{ui} - x_u^\top y_i)^2
        + \lambda \Bigl(\sum_u \|x_u\|^2 + \sum_i \|y_i\|^2\Bigr)

    with the confidence :math:`c_{ui} = 1 + \alpha |r_{ui}|` and the preference :math:`p_{ui} = [r_{ui} > 0]`. Given the
    factors of the one side, those of each row of the other are a ridge regression of their own.

    Ratings are brought together by user and by item once. On a cluster they lie on its workers from then on, and a
    shard of them receives the factors that it needs from where they were computed. The same ratings give the same bits
    for any number of workers.

    Parameters
    ----------
    n_factors : int, default 10
        Length of the factors of a user or an item; the rank.
    regularization : float, default 0.1
        :math:`\lambda` above.
    implicit : bool, default False
        Whether ratings are implicit feedback, such as numbers of views.
    alpha : float, default 1.0
        :math:`\alpha` above; only used with ``implicit=True``.
    max_iter : int, default 10
        The most iterations, each of users and of items.
    tol : float, default 0.0
        The fit ends when an iteration makes the objective better by less than this share of it; 0 makes all.
    solver : {"auto", "cholesky", "cg"}, default "auto"
        Of the regressions: exactly by Cholesky, or ``cg_steps`` of conjugate gradients from the factors before, whose
        cost does not grow with the square of ``n_factors``. "auto" takes these above 32 factors.
    cg_steps : int, default 3
        Steps of conjugate gradients.
    nonnegative : bool, default False
        Whether all factors are at least 0: the regressions are then exactly by coordinate descent, whatever
        ``n_factors``, and ``solver`` is left "auto".
    cold_start : {"mean", "nan"}, default "mean"
        Prediction where a user or an item had no rating in `fit`: the mean rating (0 of implicit feedback), or NaN.
    random_state : int, RandomState, Generator or None, optional
        Seed of the first factors, of users, or of items where feedback is implicit: the side that is last.
    n_jobs : int, optional
        Threads of a fit that needs no cluster; by default one a processor.
    verbose : int, default 0
        Above 0, a bar of the passes, two an iteration.

    Attributes
    ----------
    users_, items_ : arrays of shape (n_users,) and (n_items,)
        The ids, ascending.
    user_factors_, item_factors_ : arrays of shape (n_users, n_factors) and (n_items, n_factors)
        In the order of the ids; of float32 where the ratings are.
    mean_ : float
        The mean rating.
    objective_ : array of shape (n_iter_,)
        What is minimized, after each iteration.
    n_iter_ : int
        Iterations.
    n_features_in_ : int
        2: users and items.
    profile_ : daskml_kit.engines.engine.Profile
        Passes over the ratings, two an iteration, and where they were computed: ratings up to 16 MB in threads of this
        process.

    See Also
    --------
    MatrixFactorization : Stochastic gradients, with biases.
    daskml_kit.metrics.ndcg_at_k : Quality of recommendations.
    leave_last_n_out : Split of ratings for that.

    Notes
    -----
    The parameters are Spark MLlib's ``rank``, ``regParam``, ``implicitPrefs``, ``alpha``, ``maxIter``, ``nonnegative``,
    ``seed`` and ``coldStartStrategy`` ("drop" of which is left to the caller).

    A pair that comes several times in explicit ratings has several; of implicit feedback the sum counts.

    References
    ----------
    Y. Zhou, D. Wilkinson, R. Schreiber & R. Pan, Large-scale parallel collaborative filtering for the Netflix prize,
    AAIM 2008.

    Y. Hu, Y. Koren & C. Volinsky, Collaborative filtering for implicit feedback datasets, ICDM 2008.

    G. Takács, I. Pilászy & D. Tikk, Applications of the conjugate gradient method for implicit feedback collaborative
    filtering, RecSys 2011.

    Examples
    --------
    >>> from daskml_kit.datasets import make_ratings
    >>> ratings = make_ratings(n_users=300, n_items=100, n_ratings=10_000, n_factors=2, random_state=0)
    >>> X, y = ratings[["user", "item"]], ratings["rating"]
    >>> model = ALS(n_factors=3, regularization=0.01, random_state=0).fit(X, y)
    >>> model.score(X, y) > 0.9
    True
    >>> model.recommend([7, 8], k=3, exclude=X).items.shape
    (2, 3)
    """

    users_: Array
    items_: Array
    user_factors_: Array
    item_factors_: Array
    objective_: Array
    profile_: Profile

    def __init__(
        self,
        n_factors: int = 10,
        *,
        regularization: float = 0.1,
        implicit: bool = False,
        alpha: float = 1.0,
        max_iter: int = 10,
        tol: float = 0.0,
        solver: str = "auto",
        cg_steps: int = 3,
        nonnegative: bool = False,
        cold_start: str = "mean",
        random_state: Any = None,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_factors = n_factors
        self.regularization = regularization
        self.implicit = implicit
        self.alpha = alpha
        self.max_iter = max_iter
        self.tol = tol
        self.solver = solver
        self.cg_steps = cg_steps
        self.nonnegative = nonnegative
        self.cold_start = cold_start
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : Dask DataFrame or array, pandas DataFrame or NumPy array, of shape (n_ratings, 2)
            The ids of user and item: numbers, strings, or other hashable values that have an order, none missing.
        y : array, Series or Dask array of shape (n_ratings,), optional
            The ratings; only implicit feedback may be without, where each pair then counts 1.

        Returns
        -------
        ALS
            Itself.

        Raises
        ------
        DataError
            Where the data cannot be used; it names the argument and the block.
        """
        self._check_parameters()
        check_pairs(X)
        if y is None and not self.implicit:
            raise DataError("y: expected the ratings, got None; without any, feedback is implicit=True")
        if y is not None and not is_dask(X) and not is_dask(y):
            check_consistent_length(X, y)
        with fitting(self):
            with open_ratings(X, y, Feedback(self.implicit, self.alpha), self.n_jobs) as (totals, alternation):
                ridge = self._ridge()
                # as Spark MLlib and implicit do: after as many iterations the test error is about theirs
                last: Side = "items" if self.implicit else "users"
                found = alternate(alternation, last, self._drawn(totals, last), ridge, self.max_iter, self.tol)
            self.users_, self.items_ = totals.users.values.to_numpy(), totals.items.values.to_numpy()
            self.user_factors_, self.item_factors_ = found.factors["users"], found.factors["items"]
            self.mean_ = totals.total / totals.n_ratings
            self.objective_, self.n_iter_ = found.objective, len(found.objective)
            self.profile_, self.n_features_in_ = alternation.profile, 2
        return self

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the coefficient of determination of explicit ratings, a float also on Dask input.

        Parameters
        ----------
        X : array, Dask array or frame of shape (n, 2)
            Ids of users and items.
        y : array, Series or Dask array of shape (n,)
            Their ratings.
        sample_weight : array of shape (n,), optional
            Weights of the ratings.

        Returns
        -------
        float
            At most 1.

        Raises
        ------
        ValueError
            Where the feedback is implicit: recommendations have scores of their own.
        """
        if self.implicit:
            raise ValueError(
                "score: implicit=True has no coefficient of determination; judge what is recommended by "
                "daskml_kit.metrics.ndcg_at_k, recall_at_k, precision_at_k or mean_average_precision_at_k"
            )
        return super().score(X, y, sample_weight)

    def recommend(self, users: Any, k: int = 10, *, exclude: Any = None) -> Recommendations:
        """Return the k items with the highest predicted rating for each of some users, and these ratings.

        Scores are computed for tiles of users, never of all users and items at a time.

        Parameters
        ----------
        users : array or Series of shape (n,), or Dask array or Series
            Ids. For Dask input the results are lazy, block by block.
        k : int, default 10
            Items for each user.
        exclude : array or frame of shape (m, 2), optional
            Pairs of a user and an item that are left out, such as those of `fit`. Where ``users`` are in memory it may
            be on Dask: of each block only the pairs of these users are fetched.

        Returns
        -------
        Recommendations
            ``items`` and ``ratings``, of shape (n, k). Where fewer than k are left, and for users that `fit` has not
            seen, the rating is NaN, and the item None (-1 for integers, NaN for floats).
        """
        check_is_fitted(self)
        check_number("k", k, low=1, integer=True)
        if k > len(self.items_):
            raise ValueError(f"k: expected at most the number of items, {len(self.items_)}, got {k}")
        if is_dask(users):
            if is_dask(exclude):
                raise DataError("exclude: expected pairs in memory for users on Dask, got a Dask collection")
            return self._lazily_recommended(users, k, exclude)
        wanted = np.asarray(users)
        if wanted.ndim != 1:
            raise DataError(f"users: expected a vector of ids, got shape {wanted.shape}")
        return self._predictor().recommend(wanted, int(k), self._seen(wanted, exclude))

    def _lazily_recommended(self, users: Any, k: int, exclude: Any) -> Recommendations:
        if users.ndim != 1:
            raise DataError(f"users: expected a vector of ids, got {users.ndim} dimensions")
        array = dask_vector(users, "users")
        model = dask.delayed(self._predictor(), pure=True)
        seen = dask.delayed(None if exclude is None else self._seen(None, exclude), pure=True)
        call = dask.delayed(recommend_block, pure=True)
        blocks = zip(np.ravel(array.to_delayed()), array.chunks[0], strict=True)
        found = [(call(model, block, k, seen), length) for block, length in blocks]
        dtypes = (self.items_.dtype, self.user_factors_.dtype)
        parts = [
            da.concatenate(
                [da.from_delayed(one[i], (n, k), dtypes[i]) for one, n in found], allow_unknown_chunksizes=True
            )
            for i in (0, 1)
        ]
        return Recommendations(*parts)

    def _seen(self, wanted: Array | None, exclude: Any) -> SeenPairs | None:
        return None if exclude is None else seen_pairs(wanted, exclude, self.items_)

    def _factors_of(self, side: str) -> tuple[Array, Array]:
        return getattr(self, f"{side}_"), getattr(self, f"{side[:-1]}_factors_")

    def _predictor(self) -> FactorModel:
        unknown = np.nan if self.cold_start == "nan" else 0.0 if self.implicit else self.mean_
        return FactorModel(self.users_, self.items_, self.user_factors_, self.item_factors_, unknown)

    def _ridge(self) -> RidgeSetting:
        few = self.solver == "auto" and self.n_factors <= CHOLESKY_FACTORS
        exact = self.nonnegative or self.solver == "cholesky" or few
        gram = np.zeros((self.n_factors, self.n_factors)) if self.implicit else None
        steps = 0 if exact else int(self.cg_steps)
        return RidgeSetting(float(self.regularization), not self.implicit, gram, steps, bool(self.nonnegative))

    def _drawn(self, totals: RatingTotals, side: Side) -> Array:
        rng = random_state_of(self.random_state)
        drawn = rng.normal(scale=self.n_factors**-0.5, size=(len(getattr(totals, side).values), self.n_factors))
        drawn = np.abs(drawn) if self.nonnegative else drawn
        return drawn.astype(np.float32 if totals.single else np.float64, copy=False)

    def _check_parameters(self) -> None:
        check_common(self)
        check_n_jobs(self.n_jobs)
        for name in ("n_factors", "max_iter", "cg_steps"):
            check_number(name, getattr(self, name), low=1, integer=True)
        for name in ("regularization", "alpha", "tol"):
            check_number(name, getattr(self, name), low=0)
        check_choice("solver", self.solver, ("auto", "cholesky", "cg"))
        if self.nonnegative and self.solver != "auto":
            raise ValueError(f"solver: expected 'auto' with nonnegative=True, got {self.solver!r}")
        check_choice("cold_start", self.cold_start, ("mean", "nan"))
