"""Regression data: a linear model with noise, and counts."""

from __future__ import annotations

from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import sklearn.datasets

from daskml_kit.arguments import check_flags, naming, random_state_of
from daskml_kit.datasets.generate import Chunks, RandomRows, arrays, check_counts, check_numbers, draw_seed
from daskml_kit.typing import Array

LARGEST_MEAN = 2.0**62  # of a Poisson count that an int64 holds


def make_regression(
    n_samples: int = 100,
    n_features: int = 100,
    n_informative: int = 10,
    n_targets: int = 1,
    bias: Any = 0.0,
    effective_rank: int | None = None,
    tail_strength: float = 0.5,
    noise: float = 0.0,
    shuffle: bool = True,
    coef: bool = False,
    random_state: Any = None,
    chunks: Chunks = None,
) -> tuple[Any, ...]:
    """Generate a linear regression problem, block by block, of the model of `sklearn.datasets.make_regression`.

    The coefficients of the informative features are uniform between 0 and 100. With ``effective_rank``, X is
    ``z / sqrt(n_samples) @ S @ V'``, with scikit-learn's singular profile S and an orthonormal V: the Gaussian rows z
    stand for scikit-learn's orthonormal matrix of all rows, so that X has the same covariance in expectation.

    Parameters
    ----------
    n_samples : int, default=100
        Rows.
    n_features : int, default=100
        Columns of X.
    n_informative : int, default=10
        Features with coefficients that are not zero; at most all.
    n_targets : int, default=1
        Columns of y.
    bias : float or array of shape (n_targets,), default=0.0
        Added to y.
    effective_rank : int, default=None
        About how many singular vectors explain most of X; by default its columns are independent.
    tail_strength : float, default=0.5
        Weight, from 0 to 1, of the fat tail of the singular values, with ``effective_rank``.
    noise : float, default=0.0
        Standard deviation of the noise on y.
    shuffle : bool, default=True
        Mix the features; else the informative ones come first. Rows are alike, and need no mixing.
    coef : bool, default=False
        Return the coefficients, too.
    random_state : int, RandomState instance or None, default=None
        Seed of all that is drawn; the same int gives the same rows.
    chunks : int or tuple of int, default=None
        Rows a block, or the rows of each; by default blocks of about 16 MiB. The rows are the same for any.

    Returns
    -------
    X : dask array of shape (n_samples, n_features), float64
        The features.
    y : dask array of shape (n_samples,) or (n_samples, n_targets), float64
        The targets.
    coef : array of shape (n_features,) or (n_features, n_targets)
        If ``coef``.

    Raises
    ------
    ValueError
        Where an argument is out of range.

    See Also
    --------
    make_counts : Counts that depend on a few features.
    sklearn.datasets.make_regression : The same model in memory.

    Examples
    --------
    >>> X, y, coef = make_regression(n_samples=50, n_features=4, bias=2.0, coef=True, random_state=0)
    >>> bool(abs(X @ coef + 2.0 - y).max().compute() < 1e-9)
    True
    """
    check_counts(1, n_samples=n_samples)
    check_flags(coef=coef)
    state = random_state_of(random_state)
    rank: dict[str, Any] = {"effective_rank": effective_rank, "tail_strength": tail_strength}
    options = {"n_informative": n_informative, "n_targets": n_targets, "noise": noise, "shuffle": shuffle, **rank}
    truth = sklearn.datasets.make_regression(1, n_features, **options, coef=True, random_state=state)[2]
    truth = np.reshape(truth, (n_features, n_targets))
    mixing = None
    if effective_rank is not None:
        size = min(n_samples, n_features)
        mixing = sklearn.datasets.make_low_rank_matrix(size, n_features, **rank, random_state=state)
        mixing /= np.sqrt(n_samples)
    draw = partial(draw_linear, coef=truth, bias=_bias(bias, n_targets), noise=float(noise), mixing=mixing)
    X, y = arrays(RandomRows(draw, n_features + n_targets, n_samples, draw_seed(state)), chunks)
    return (X, y, truth[:, 0] if n_targets == 1 else truth) if coef else (X, y)


def draw_linear(
    rng: np.random.Generator, rows: Array, *, coef: Array, bias: Array, noise: float, mixing: Array | None
) -> tuple[Array, ...]:
    """Draw rows ``X = z @ mixing`` with standard normal z, and ``y = X @ coef + bias`` with noise.

    Parameters
    ----------
    rng : numpy.random.Generator
    rows : int64 array
    coef : array of shape (n_features, n_targets)
    bias : array of shape () or (n_targets,)
    noise : float
    mixing : array of shape (rank, n_features), optional
        The identity by default.
    """
    n_features, n_targets = coef.shape
    z = rng.standard_normal((len(rows), n_features if mixing is None else len(mixing)))
    X = z if mixing is None else z @ mixing
    y = X @ coef + bias
    if noise > 0:
        y += noise * rng.standard_normal(y.shape)
    return X, y[:, 0] if n_targets == 1 else y


def _bias(bias: Any, n_targets: int) -> Array:
    with naming("bias"):
        values = np.array(bias, dtype=np.float64)
    if values.shape not in ((), (1,), (n_targets,)) or not np.isfinite(values).all():
        raise ValueError(f"bias: expected a finite number, or one for each of {n_targets} targets, got {bias!r}")
    return values


def make_counts(
    n_samples: int = 1000,
    n_features: int = 100,
    n_informative: int = 2,
    scale: float = 1.0,
    chunks: Chunks = None,
    random_state: Any = None,
) -> tuple[da.Array, da.Array]:
    """Generate counts that depend on a few features, block by block.

    ``y ~ Poisson(exp(X @ coef))`` with standard normal X, and coefficients that are uniform between ``-scale`` and 0
    for ``n_informative`` features, and 0 for the others.

    Parameters
    ----------
    n_samples : int, default=1000
        Rows.
    n_features : int, default=100
        Columns of X.
    n_informative : int, default=2
        Features that the counts depend on.
    scale : float, default=1.0
        Size of the coefficients.
    chunks : int or tuple of int, default=None
        Rows a block, or the rows of each; by default blocks of about 16 MiB. The rows are the same for any.
    random_state : int, RandomState instance or None, default=None
        Seed of all that is drawn; the same int gives the same rows.

    Returns
    -------
    X : dask array of shape (n_samples, n_features), float64
        The features.
    y : dask array of shape (n_samples,), int64
        The counts.

    Raises
    ------
    ValueError
        Where an argument is out of range; when computed, where ``scale`` makes counts too large for an int64.

    See Also
    --------
    make_regression : A linear model with normal noise.

    Examples
    --------
    >>> X, y = make_counts(n_samples=1000, n_features=5, random_state=0)
    >>> y.compute().min()
    np.int64(0)
    """
    check_counts(1, n_samples=n_samples, n_features=n_features)
    check_counts(0, n_informative=n_informative)
    check_numbers(0, scale=scale)
    if n_informative > n_features:
        raise ValueError(f"n_informative: expected at most n_features={n_features}, got {n_informative}")
    state = random_state_of(random_state)
    coef = np.zeros(n_features)
    informative = state.choice(n_features, n_informative, replace=False)
    coef[informative] = (state.uniform(size=n_informative) - 1) * scale
    X, y = arrays(RandomRows(partial(draw_counts, coef=coef), n_features, n_samples, draw_seed(state)), chunks)
    return X, y


def draw_counts(rng: np.random.Generator, rows: Array, *, coef: Array) -> tuple[Array, ...]:
    """Draw standard normal rows, and counts of mean exp(X @ coef)."""
    X = rng.standard_normal((len(rows), len(coef)))
    logarithm = X @ coef
    if (logarithm > np.log(LARGEST_MEAN)).any():
        raise ValueError(f"scale: too large, a count of mean exp({logarithm.max():.1f}) does not fit in an int64")
    return X, rng.poisson(np.exp(logarithm))
