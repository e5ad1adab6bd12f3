"""Ratings of items by users, for recommendation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas as pd

from daskml_kit.arguments import check_flags, check_pair, random_state_of
from daskml_kit.datasets.generate import (
    Chunks,
    Groups,
    RandomRows,
    arrays,
    check_counts,
    check_numbers,
    draw_seed,
    frame,
    groups_of,
)
from daskml_kit.numerics.permutation import Permutation
from daskml_kit.typing import Array


def item_counts(n_users: int, n_items: int, n_ratings: int, exponent: float) -> Array:
    """Return how often each item is rated, the most popular first.

    Shares fall as ``1 / rank ** exponent``; none gets more than ``n_users``, and what it leaves goes to the others in
    proportion to theirs.

    Parameters
    ----------
    n_users, n_items, n_ratings : int
        At most ``n_users * n_items`` ratings.
    exponent : float, at least 0

    Returns
    -------
    int64 array of shape (n_items,), which sums to ``n_ratings``

    Examples
    --------
    >>> item_counts(n_users=10, n_items=4, n_ratings=20, exponent=1.0)
    array([10,  5,  3,  2])
    """
    shares = np.arange(1.0, n_items + 1) ** -exponent
    # with the first m items at the most that they can get, the others share what is left
    left = n_ratings - n_users * np.arange(n_items)
    factor = left / np.cumsum(shares[::-1])[::-1]
    full = int(np.argmax(factor * shares <= n_users * (1 + 1e-9)))
    counts: Array = np.minimum((factor[full] * shares + 1e-9).astype(np.int64), n_users)
    counts[:full] = n_users
    while missing := n_ratings - int(counts.sum()):
        counts[np.flatnonzero(counts < n_users)[:missing]] += 1
    return counts


@dataclass(frozen=True, eq=False)
class LowRankModel:
    """Factors of users and items, whose products are the ratings; drawn where they are needed.

    Their products have mean 0 and standard deviation ``spread``.
    """

    n_users: int
    n_items: int
    n_factors: int
    spread: float
    seed: int

    @cached_property
    def factors(self) -> tuple[Array, Array]:
        """Factors, of shape (n_users, n_factors) and (n_items, n_factors)."""
        rng = np.random.default_rng(np.random.SeedSequence(self.seed))
        size = self.n_factors**-0.25
        users = rng.normal(scale=size * self.spread, size=(self.n_users, self.n_factors))
        return users, rng.normal(scale=size, size=(self.n_items, self.n_factors))


def draw_ratings(
    rng: np.random.Generator,
    rows: Array,
    *,
    model: LowRankModel,
    groups: Groups,
    order: Permutation,
    steps: Array,
    starts: Array,
    noise: float,
    middle: float,
    bounds: tuple[float, float],
) -> tuple[Array, ...]:
    """Draw ratings ``middle + user_factors @ item_factors``, with noise, between bounds; each row another pair.

    Parameters
    ----------
    rng : numpy.random.Generator
    rows : int64 array
    model : LowRankModel
    groups : Groups
        The item of each row.
    order : Permutation
        Of the users. Each item goes through it, its own steps apart and from its own start, and meets each user once.
    steps, starts : int64 array of shape (n_items,)
    noise : float
    middle : float
    bounds : pair of float
    """
    if not len(rows):
        return rows, rows, np.empty(0)  # without the factors, which are for workers
    places = groups.places(rows)
    item = groups.at(places)
    turn = places - np.concatenate([[0], groups.ends])[item]
    user = (order.of(turn) * steps[item] + starts[item]) % model.n_users
    users, items = model.factors
    rating = middle + np.einsum("ij,ij->i", users[user], items[item])
    rating += noise * rng.standard_normal(len(rows))
    return user, item, np.clip(rating, *bounds)


def make_ratings(
    n_users: int = 1000,
    n_items: int = 500,
    n_ratings: int = 50_000,
    n_factors: int = 8,
    noise: float = 0.1,
    rating_range: tuple[float, float] | None = (1.0, 5.0),
    popularity: float = 1.0,
    random_state: Any = None,
    chunks: Chunks = None,
    return_factors: bool = False,
) -> Any:
    """Generate ratings of a low-rank model, block by block.

    A rating is ``middle + user_factors[user] @ item_factors[item]`` with normal noise. No user rates an item twice,
    users are drawn uniformly, and the items' numbers of ratings fall as ``1 / rank ** popularity`` (an item that all
    users have rated leaves its share to the others).

    Parameters
    ----------
    n_users : int, default=1000
        Users, numbered from 0.
    n_items : int, default=500
        Items, numbered from 0.
    n_ratings : int, default=50_000
        Rows, at most one for each pair of a user and an item.
    n_factors : int, default=8
        Rank of the model.
    noise : float, default=0.1
        Standard deviation of the noise, in units of the ratings.
    rating_range : pair of float, default=(1.0, 5.0)
        Bounds of the ratings: their middle is the mean, they lie two standard deviations from it, and what is outside
        is clipped. With None the mean is 0, the standard deviation 1, and nothing is clipped.
    popularity : float, default=1.0
        Exponent of the items' popularity: 0 makes them alike, 1 is Zipf's law.
    random_state : int, RandomState instance or None, default=None
        Seed of all that is drawn; the same int gives the same rows.
    chunks : int or tuple of int, default=None
        Rows a partition, or the rows of each; by default partitions of about 16 MiB. The rows are the same for any.
    return_factors : bool, default=False
        Return the factors, too.

    Returns
    -------
    ratings : dask DataFrame
        The columns ``user`` and ``item``, int64 from 0, and ``rating``, float64.
    user_factors : array of shape (n_users, n_factors)
        If ``return_factors``.
    item_factors : array of shape (n_items, n_factors)
        If ``return_factors``.

    Raises
    ------
    ValueError
        Where an argument is out of range, or there are more ratings than pairs.

    See Also
    --------
    daskml_kit.recommendation.MatrixFactorization : The model that finds such factors.

    Examples
    --------
    >>> ratings = make_ratings(n_users=50, n_items=20, n_ratings=400, random_state=0)
    >>> ratings.dtypes.to_dict()
    {'user': dtype('int64'), 'item': dtype('int64'), 'rating': dtype('float64')}
    >>> int(ratings.compute().duplicated(["user", "item"]).sum())
    0
    """
    check_counts(1, n_users=n_users, n_items=n_items, n_ratings=n_ratings, n_factors=n_factors)
    check_numbers(0, noise=noise, popularity=popularity)
    if n_ratings > n_users * n_items:
        raise ValueError(f"n_ratings: expected at most {n_users * n_items}, one for each pair, got {n_ratings}")
    bounds, middle, spread = (-np.inf, np.inf), 0.0, 1.0
    check_flags(return_factors=return_factors)
    if rating_range is not None:
        check_pair("rating_range", rating_range)
        bounds = low, high = float(rating_range[0]), float(rating_range[1])
        if not -np.inf < low < high < np.inf:
            raise ValueError(f"rating_range: expected finite bounds, the lower first, got {rating_range!r}")
        middle, spread = float(np.mean(bounds)), float(np.ptp(bounds) / 4)
    state = random_state_of(random_state)
    counts = item_counts(n_users, n_items, n_ratings, popularity)[state.permutation(n_items)]
    model = LowRankModel(n_users, n_items, n_factors, spread, draw_seed(state))
    draw = partial(
        draw_ratings,
        model=model,
        groups=groups_of(counts, draw_seed(state)),
        order=Permutation(n_users, draw_seed(state)),
        steps=_steps(n_users, n_items, state),
        starts=state.randint(n_users, size=n_items, dtype=np.int64),
        noise=float(noise),
        middle=middle,
        bounds=bounds,
    )
    ratings = frame(triples, arrays(RandomRows(draw, 3 + n_factors, n_ratings, draw_seed(state)), chunks))
    # of a copy of the model: what it keeps would travel with each task
    return (ratings, *replace(model).factors) if return_factors else ratings


def triples(parts: list[Array], start: int) -> pd.DataFrame:
    """Return users, items and ratings as a frame whose index begins at ``start``."""
    user, item, rating = parts
    index = pd.RangeIndex(start, start + len(user))
    return pd.DataFrame({"user": user, "item": item, "rating": rating}, index=index)


def _steps(n_users: int, n_items: int, state: np.random.RandomState) -> Array:
    """Return, for each item, a random number that shares no factor with ``n_users``, so that its multiples meet all."""
    steps = state.randint(1, n_users + 1, size=n_items, dtype=np.int64)
    while len(shared := np.flatnonzero(np.gcd(steps, n_users) > 1)):
        steps[shared] = state.randint(1, n_users + 1, size=len(shared), dtype=np.int64)
    return steps
