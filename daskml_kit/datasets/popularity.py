"""How many ratings each item gets: a long tail."""

from __future__ import annotations

import numpy as np

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
