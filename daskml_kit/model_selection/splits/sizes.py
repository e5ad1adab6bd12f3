"""How many rows a training and a test set have."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from typing import NamedTuple, TypeAlias, TypeGuard

Size: TypeAlias = float | int | None


class Sizes(NamedTuple):
    """Rows, or groups, of the two sides of a split; together at most all."""

    train: int
    test: int


def split_sizes(n: int, test_size: Size, train_size: Size, default: float, unit: str = "samples") -> Sizes:
    """Return the sizes of both sides of n rows as scikit-learn counts them: test rounds up, train down.

    Parameters
    ----------
    n : int
    test_size, train_size : float in (0, 1), int or None
        A share or a number; None is what the other leaves.
    default : float
        The share of the test set where both are None.
    unit : str
        What errors call the n.

    Raises
    ------
    ValueError
        Where a size is out of range, both together are more than n, or nothing is left to train on.

    Examples
    --------
    >>> split_sizes(10, 0.25, None, 0.1)
    Sizes(train=7, test=3)
    """
    if test_size is None and train_size is None:
        test_size = default
    for name, size in (("test_size", test_size), ("train_size", train_size)):
        _check(name, size, n, unit)
    if _is_share(test_size) and _is_share(train_size) and train_size + test_size > 1:
        raise ValueError(
            f"The sum of test_size and train_size = {train_size + test_size}, should be in the (0, 1) range. "
            "Reduce test_size and/or train_size."
        )
    test = None if test_size is None else _count(test_size, n, math.ceil)
    train = None if train_size is None else _count(train_size, n, math.floor)
    sizes = Sizes(n - (test or 0) if train is None else train, n - (train or 0) if test is None else test)
    if sum(sizes) > n:
        raise ValueError(
            f"The sum of train_size and test_size = {sum(sizes)}, should be smaller than the number of {unit} {n}. "
            "Reduce test_size and/or train_size."
        )
    if sizes.train == 0:
        raise ValueError(
            f"With n_{unit}={n}, test_size={test_size} and train_size={train_size}, the resulting train set will be "
            "empty. Adjust any of the aforementioned parameters."
        )
    return sizes


def _check(name: str, size: Size, n: int, unit: str) -> None:
    if size is None:
        return
    if isinstance(size, bool) or not isinstance(size, numbers.Real):
        raise ValueError(f"Invalid value for {name}: {size!r}")
    if not 0 < size < (1 if _is_share(size) else n):
        raise ValueError(
            f"{name}={size} should be either positive and smaller than the number of {unit} {n} "
            "or a float in the (0, 1) range"
        )


def _is_share(size: Size) -> TypeGuard[float]:
    return size is not None and not isinstance(size, numbers.Integral)


def _count(size: float, n: int, rounded: Callable[[float], int]) -> int:
    return rounded(size * n) if _is_share(size) else int(size)
