"""Kolmogorov-Smirnov tests whose statistics are exact on data of any size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import scipy.stats

from daskml_kit.arguments import check_choice
from daskml_kit.data.collections import dask_vector, is_dask
from daskml_kit.engines.engine import Engine
from daskml_kit.engines.open import open_engine
from daskml_kit.exceptions import DataError
from daskml_kit.reductions.missing_counts import Presence
from daskml_kit.reductions.quantiles import Brackets, BracketSummary, ordered
from daskml_kit.reductions.reduction import Joint
from daskml_kit.typing import Array

ALTERNATIVES = ("two-sided", "less", "greater")
EXACT_ROWS = 10_000
"""Rows of a sample up to which p-values of two samples are exact, as SciPy's are."""
POINTS = 2**15
"""Values of each sample that a pass gives, between which the next one counts."""
MOST_PASSES, ROUNDING = 40, 1e-12


def ks_2samp(data1: Any, data2: Any, alternative: str = "two-sided", method: str = "auto") -> Any:
    """Test whether two samples have the same continuous distribution.

    The statistic is exact. A pass over both gives points between which the next pass counts; what is left are the
    values where the distributions can be farthest apart, which a third or fourth pass gives. Data of few distinct
    values take one.

    Parameters
    ----------
    data1, data2 : array, Dask array or Series of shape (n_samples,)
        Numbers, none of which is NaN.
    alternative : {"two-sided", "less", "greater"}, default "two-sided"
    method : {"auto", "exact", "asymp"}, default "auto"
        "exact" p-values are of samples of up to 10,000 rows, which "auto" makes them of.

    Returns
    -------
    scipy.stats result
        With ``statistic``, ``pvalue``, ``statistic_location`` and ``statistic_sign``, as of `scipy.stats.ks_2samp`.

    Raises
    ------
    DataError
        Where a sample is empty, or has NaN; it names which.

    See Also
    --------
    kstest : A sample and a distribution.
    chi2_contingency : Independence of labels.

    References
    ----------
    Hodges, "The significance probability of the Smirnov two-sample test", 1958.

    Examples
    --------
    >>> import dask.array as da
    >>> ks_2samp(da.from_array([1.0, 2.0, 3.0], chunks=2), [2.5, 3.5, 4.5, 5.5]).statistic
    np.float64(0.75)
    """
    check_choice("alternative", alternative, ALTERNATIVES)
    check_choice("method", method, ("auto", "exact", "asymp"))
    with _opened(data1, "data1") as first, _opened(data2, "data2") as second:
        larger = max(first.n_rows, second.n_rows)
        if larger <= EXACT_ROWS and method != "asymp":
            values = first.values(), second.values()
            return scipy.stats.ks_2samp(*values, alternative=alternative, method=method)
        if method == "exact":
            raise DataError(f"method: expected 'auto' or 'asymp' of more than {EXACT_ROWS:,} rows, got {larger:,} rows")
        apart = _search(first, _OfSample(second), alternative)
    if alternative == "two-sided":
        m, n = float(first.n_rows), float(second.n_rows)
        p_value = scipy.stats.kstwo.sf(apart.distance, np.round(m * n / (m + n)))
    else:
        m, n = sorted((float(first.n_rows), float(second.n_rows)), reverse=True)
        z = np.sqrt(m * n / (m + n)) * apart.distance
        p_value = np.exp(-2 * z**2 - 2 * z * (m + 2 * n) / np.sqrt(m * n * (m + n)) / 3.0)  # Hodges' equation 5.3
    return apart.result(p_value)


def kstest(rvs: Any, cdf: Any, args: tuple[Any, ...] = (), alternative: str = "two-sided", method: str = "auto") -> Any:
    """Test whether a sample has a given distribution, or the same as another sample.

    The statistic is exact; for passes see `ks_2samp`.

    Parameters
    ----------
    rvs : array, Dask array or Series of shape (n_samples,)
        Numbers, none of which is NaN.
    cdf : str, callable, array, Dask array or Series
        A continuous distribution of `scipy.stats` by its name, a cumulative distribution function of arrays, or another
        sample.
    args : tuple, default ()
        Parameters of the distribution.
    alternative : {"two-sided", "less", "greater"}, default "two-sided"
    method : {"auto", "exact", "approx", "asymp"}, default "auto"
        Of the p-value; "approx" is for a distribution, twice the one-sided probability.

    Returns
    -------
    scipy.stats result
        With ``statistic``, ``pvalue``, ``statistic_location`` and ``statistic_sign``, as of `scipy.stats.kstest`.

    Raises
    ------
    DataError
        Where a sample is empty, or has NaN; it names which.

    See Also
    --------
    ks_2samp : Two samples.

    Examples
    --------
    >>> import dask.array as da
    >>> kstest(da.from_array([0.1, 0.4, 0.7], chunks=2), "uniform").statistic.round(4)
    np.float64(0.3)
    """
    if not isinstance(cdf, str) and not callable(cdf):
        return ks_2samp(rvs, cdf, alternative, method)
    check_choice("alternative", alternative, ALTERNATIVES)
    check_choice("method", method, ("auto", "exact", "approx", "asymp"))
    function = _function(cdf)
    with _opened(rvs, "rvs") as sample:
        apart = _search(sample, _OfDistribution(lambda x: np.asarray(function(x, *args), np.float64)), alternative)
    n = sample.n_rows
    if alternative != "two-sided":
        p_value = scipy.stats.ksone.sf(apart.distance, n)
    elif method == "asymp":
        p_value = scipy.stats.kstwobign.sf(apart.distance * np.sqrt(n))
    else:
        p_value = 2 * scipy.stats.ksone.sf(apart.distance, n) if method == "approx" else None
        p_value = scipy.stats.kstwo.sf(apart.distance, n) if p_value is None else p_value
    return apart.result(p_value)


def _function(cdf: Any) -> Callable[..., Any]:
    if callable(cdf):
        return cdf  # type: ignore[no-any-return]
    distribution = getattr(scipy.stats, cdf, None)
    if not isinstance(distribution, scipy.stats.rv_continuous):
        raise ValueError(f"cdf: expected a continuous distribution of scipy.stats or a function, got {cdf!r}")
    return distribution.cdf  # type: ignore[no-any-return]


class _Apart(NamedTuple):
    """The largest distance of two distributions, where it is, and its sign."""

    distance: float
    location: float
    sign: int

    def result(self, p_value: Any) -> Any:
        kind = type(scipy.stats.ks_2samp([0.0], [1.0]))
        rest = {"statistic_location": np.float64(self.location), "statistic_sign": np.int8(self.sign)}
        return kind(np.float64(self.distance), np.float64(np.clip(p_value, 0, 1)), **rest)


class _Sample:
    """Numbers of any size, about which brackets are asked."""

    whole: BracketSummary

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        (whole,), seen = (answer[0] for answer in engine.answer(Joint((Brackets(None, POINTS), Presence(np.nan)))))
        self.n_rows, self.whole = int(seen.n_rows), whole
        if not self.n_rows:
            raise DataError(f"{name}: expected at least one number, got an empty sample")
        if self.whole.n_seen < self.n_rows:
            raise DataError(
                f"{name}: expected numbers, got NaN in {self.n_rows - self.whole.n_seen} of {self.n_rows} rows"
            )

    def within(self, brackets: Array) -> BracketSummary:
        found: BracketSummary
        if brackets[0, 0] == -np.inf and brackets[0, 1] == np.inf:
            return self.whole
        ((found,),) = self._engine.answer(Brackets([brackets], POINTS))
        return ordered(found)

    def values(self) -> Array:
        """Return all values, of few."""
        whole = self.whole
        if whole.error:
            ((whole,),) = self._engine.answer(Brackets(None, 2 * EXACT_ROWS))
        return np.repeat(whole.values, whole.weights.astype(int))


@contextmanager
def _opened(values: Any, name: str) -> Iterator[_Sample]:
    array = dask_vector(values, name) if is_dask(values) else np.asarray(values)
    if array.ndim != 1 or array.dtype.kind not in "fiub":
        raise DataError(f"{name}: expected a vector of numbers, got {array.ndim} dimension(s) of {array.dtype}")
    with open_engine(array[:, None].astype(np.float64), many_passes=True) as engine:
        yield _Sample(engine, name)


class _OfSample:
    """Distribution of another sample."""

    def __init__(self, sample: _Sample) -> None:
        self._sample = sample

    def look(self, brackets: Array) -> None:
        self._found = self._sample.within(brackets)
        self.exact, self.points = not self._found.error, self._found.values
        self._brackets = brackets

    def ends(self) -> tuple[Array, Array]:
        """Return the shares below each bracket, and up to its end."""
        n, found = self._sample.n_rows, self._found
        return found.below / n, (found.below + found.within) / n

    def at(self, points: Array) -> tuple[Array, Array]:
        """Return the shares up to points, for either sign."""
        upto = _upto(self._found, self._brackets, points) / self._sample.n_rows
        return upto, upto


class _OfDistribution:
    """Distribution that is given by a function."""

    exact, points = True, np.empty(0)

    def __init__(self, function: Callable[[Array], Array]) -> None:
        self._function = function

    def look(self, brackets: Array) -> None:
        self._brackets = brackets

    def ends(self) -> tuple[Array, Array]:
        low, high = self._function(self._brackets[:, 0]), self._function(self._brackets[:, 1])
        return low, high

    def at(self, points: Array) -> tuple[Array, Array]:
        values = self._function(points)
        return values, values


def _search(sample: _Sample, other: Any, alternative: str) -> _Apart:
    """Return where a sample's distribution is farthest above (sign 1) or below (-1) another."""
    brackets, n = np.array([[-np.inf, np.inf]]), sample.n_rows
    for _ in range(MOST_PASSES):
        here = sample.within(brackets)
        other.look(brackets)
        points = np.unique(np.concatenate([here.values, other.points]))
        if not here.error and other.exact:
            return _farthest(here, brackets, points, n, other, alternative)
        below, upto = here.below / n, (here.below + here.within) / n
        others_below, others_upto = other.ends()
        most_above, most_below = upto - others_below, others_upto - below
        ends = [upto - others_upto, below - others_below]
        above, under = (max(float((sign * end).max()) for end in ends) for sign in (1, -1))
        least = {"greater": above, "less": under, "two-sided": max(above, under)}[alternative] - ROUNDING
        kept = np.zeros(len(brackets), bool)
        if alternative != "less":
            kept |= most_above >= least
        if alternative != "greater":
            kept |= most_below >= least
        brackets = _divided(brackets[kept], points)
    raise DataError("the data differ from one pass to the next; make them deterministic, or persist them")


def _farthest(here: BracketSummary, brackets: Array, points: Array, n: int, other: Any, alternative: str) -> _Apart:
    """Return the largest distance at points of which all is known."""
    upto = _upto(here, brackets, points)
    others_above, others_below = other.at(points)
    before = upto
    if isinstance(other, _OfDistribution):  # a step of the sample's is farthest below just before it
        before = upto - here.weights
    above, below = upto / n - others_above, others_below - before / n
    at_above, at_below = int(np.argmax(above)), int(np.argmax(below))
    most_below = max(float(below[at_below]), 0.0) if isinstance(other, _OfSample) else float(below[at_below])
    plus, minus = _Apart(float(above[at_above]), points[at_above], 1), _Apart(most_below, points[at_below], -1)
    if alternative != "two-sided":
        return minus if alternative == "less" else plus
    of_sample = isinstance(other, _OfSample)
    return minus if minus.distance > plus.distance or (not of_sample and minus.distance == plus.distance) else plus


def _upto(found: BracketSummary, brackets: Array, points: Array) -> Array:
    """Return how many values there are up to each point."""
    bracket = np.searchsorted(brackets[:, 0], points, side="right") - 1
    sums = np.append(0, np.cumsum(found.weights))[np.searchsorted(found.values, points, side="right")]
    before = np.cumsum(found.within) - found.within
    return np.asarray(found.below[bracket] + sums - before[bracket])


def _divided(brackets: Array, points: Array) -> Array:
    """Return the brackets divided after each point that they hold; they are apart."""
    bracket = np.searchsorted(brackets[:, 0], points, side="right") - 1
    inside = (bracket >= 0) & (points < brackets[bracket, 1])
    cuts = points[inside]
    low = np.sort(np.concatenate([brackets[:, 0], np.nextafter(cuts, np.inf)]))
    high = np.sort(np.concatenate([brackets[:, 1], cuts]))
    return np.column_stack([low, high])
