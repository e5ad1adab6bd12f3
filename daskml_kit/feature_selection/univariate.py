"""Selection of features by their scores or variances, each by itself."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import numpy as np
import sklearn.feature_selection

from daskml_kit.arguments import check_choice, check_number, naming
from daskml_kit.base import constructor
from daskml_kit.data.collections import is_dask
from daskml_kit.documentation import with_inherited_docs
from daskml_kit.exceptions import NotShared
from daskml_kit.feature_selection.base import SharedSelector
from daskml_kit.feature_selection.score_functions import BINNED, STEPS, f_classif, steps_of
from daskml_kit.linear_model.base import require_rows
from daskml_kit.reductions.frames import AsNumbers
from daskml_kit.reductions.moments import Moments
from daskml_kit.reductions.sums import Extremes
from daskml_kit.solvers.types import DataSpec, Fit


class UnivariateSelector(SharedSelector):
    """Selector of features by the scores of a function, in one pass, or two where features are binned.

    Parameters
    ----------
    score_func : callable, default f_classif
        `chi2`, `f_classif`, `f_regression` or `r_regression`, of ours or scikit-learn's, or of ours
        `mutual_info_classif` or `mutual_info_regression`; in memory any other.

    Attributes
    ----------
    scores_ : array of shape (n_features,)
    pvalues_ : array of shape (n_features,), or None
    profile_ : daskml_kit.engines.engine.Profile
    """

    score_func: Any

    @property
    def many_passes(self) -> bool:
        """Return whether one pass may not be enough."""
        function = self.score_func.func if isinstance(self.score_func, partial) else self.score_func
        return getattr(function, "__name__", "") in BINNED

    @property
    def fits_apart_in_memory(self) -> bool:
        """Return whether features in memory are scored as scikit-learn does, without bins."""
        return self.many_passes

    def fit(self, X: Any, y: Any = None) -> Any:  # type: ignore[override]
        """Find the scores of the features, and so which to select.

        Parameters
        ----------
        X : Dask array or DataFrame, NumPy array, pandas DataFrame or sparse matrix, of shape (n_samples, n_features)
        y : array or Dask array of shape (n_samples,)

        Returns
        -------
        selector
            Itself.

        Raises
        ------
        DataError
            Where the data cannot be used; it names the argument and the block.
        ValueError
            Where a parameter is wrong, or Dask data is scored by a function that needs all rows in memory.
        """
        known = steps_of(self.score_func) is not None
        if y is None and known:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
        if (is_dask(X) or is_dask(y)) and callable(self.score_func) and not known:
            raise ValueError(self._refusal())
        return super().fit(X, y)

    def _refusal(self) -> str:
        name = getattr(self.score_func, "__name__", self.score_func)
        other = f" of scikit-learn, which needs all rows; use daskml_kit's {name}" if name in BINNED else ""
        known = ", ".join(STEPS)
        return f"score_func: expected one of {known} on Dask data, which are sums over rows, got {name!r}{other}"

    def _fit_steps(self, spec: DataSpec) -> Fit:
        steps = steps_of(self.score_func)
        if steps is None:
            raise NotShared(self._refusal())
        found = yield from steps()
        scores, p_values = found if isinstance(found, tuple) else (found, None)
        self._warn(spec.n_features)
        return {"scores_": scores, "pvalues_": p_values}

    def _sklearn_parameters(self, genuine: type[Any]) -> dict[str, Any]:
        """Return the parameters with scikit-learn's function in place of ours."""
        return {**super()._sklearn_parameters(genuine), "score_func": _theirs(self.score_func)}

    def _warn(self, n_features: int) -> None:
        """Warn where more is asked for than there is."""

    def _check_parameters(self) -> None:
        if not callable(self.score_func):
            raise ValueError(f"score_func: expected a function, got {self.score_func!r}")
        self._check_limit()

    def _check_limit(self) -> None:
        """Raise where the parameter that says how many features are selected is wrong."""
        own: Any = self
        check_number("alpha", own.alpha, low=0, high=1)


def _theirs(function: Any) -> Any:
    """Return scikit-learn's function of the same name as one of ours; another as it is."""
    if isinstance(function, partial):
        inner = _theirs(function.func)
        options = {name: value for name, value in function.keywords.items() if name != "n_bins"}
        return function if inner is function.func else partial(inner, *function.args, **options)
    ours = getattr(function, "__name__", None) in STEPS and function.__module__.startswith("daskml_kit.")
    return getattr(sklearn.feature_selection, function.__name__) if ours else function


@with_inherited_docs
class SelectKBest(UnivariateSelector, sklearn.feature_selection.SelectKBest):  # type: ignore[misc]
    """Select the features with the highest scores; one pass.

    Parameters
    ----------
    k : int or "all", default 10
        Number of features.

    See Also
    --------
    SelectPercentile : A share of the features.

    Examples
    --------
    >>> import dask.array as da
    >>> import numpy as np
    >>> X = da.from_array(np.array([[1.0, 5.0], [2.0, 3.0], [4.0, 4.0], [5.0, 5.0]]), chunks=(2, 2))
    >>> y = da.from_array(np.array([0, 0, 1, 1]), chunks=2)
    >>> SelectKBest(k=1).fit(X, y).get_support()
    array([ True, False])
    """

    __init__ = constructor(sklearn.feature_selection.SelectKBest, score_func=f_classif)

    def _warn(self, n_features: int) -> None:
        if not isinstance(self.k, str) and self.k > n_features:
            warnings.warn(
                f"k={self.k} is greater than n_features={n_features}. All the features will be returned.",
                UserWarning,
                stacklevel=4,
            )

    def _check_limit(self) -> None:
        if self.k != "all":
            check_number("k", self.k, low=0, integer=True)


@with_inherited_docs
class SelectPercentile(UnivariateSelector, sklearn.feature_selection.SelectPercentile):  # type: ignore[misc]
    """Select a share of the features, those with the highest scores; one pass.

    Parameters
    ----------
    percentile : int, default 10
        Share of the features, in percent.

    See Also
    --------
    SelectKBest : A number of features.

    Examples
    --------
    >>> import dask.array as da
    >>> import numpy as np
    >>> X = da.from_array(np.array([[1.0, 5.0], [2.0, 3.0], [4.0, 4.0], [5.0, 5.0]]), chunks=(2, 2))
    >>> y = da.from_array(np.array([0, 0, 1, 1]), chunks=2)
    >>> SelectPercentile(percentile=50).fit(X, y).get_support()
    array([ True, False])
    """

    __init__ = constructor(sklearn.feature_selection.SelectPercentile, score_func=f_classif)

    def _check_limit(self) -> None:
        check_number("percentile", self.percentile, low=0, high=100)


@with_inherited_docs
class SelectFpr(UnivariateSelector, sklearn.feature_selection.SelectFpr):  # type: ignore[misc]
    """Select the features whose p-value is below a level; one pass.

    Parameters
    ----------
    alpha : float, default 0.05
        Largest share of features that are selected by chance.

    See Also
    --------
    SelectFdr : Bounds the share of false ones among those selected.

    Examples
    --------
    >>> import dask.array as da
    >>> import numpy as np
    >>> X = da.from_array(np.array([[1.0, 5.0], [2.0, 3.0], [4.0, 4.0], [5.0, 5.0]]), chunks=(2, 2))
    >>> y = da.from_array(np.array([0, 0, 1, 1]), chunks=2)
    >>> SelectFpr(alpha=0.1).fit(X, y).get_support()
    array([ True, False])
    """

    __init__ = constructor(sklearn.feature_selection.SelectFpr, score_func=f_classif)


@with_inherited_docs
class SelectFdr(UnivariateSelector, sklearn.feature_selection.SelectFdr):  # type: ignore[misc]
    """Select features so that few of them are false discoveries (Benjamini and Hochberg, 1995); one pass.

    Parameters
    ----------
    alpha : float, default 0.05
        Largest expected share of false ones among the selected.

    See Also
    --------
    SelectFpr : Bounds the share of the features that have no influence.

    Examples
    --------
    >>> import dask.array as da
    >>> import numpy as np
    >>> X = da.from_array(np.array([[1.0, 5.0], [2.0, 3.0], [4.0, 4.0], [5.0, 5.0]]), chunks=(2, 2))
    >>> y = da.from_array(np.array([0, 0, 1, 1]), chunks=2)
    >>> SelectFdr(alpha=0.2).fit(X, y).get_support()
    array([ True, False])
    """

    __init__ = constructor(sklearn.feature_selection.SelectFdr, score_func=f_classif)


@with_inherited_docs
class SelectFwe(UnivariateSelector, sklearn.feature_selection.SelectFwe):  # type: ignore[misc]
    """Select features so that probably none is a false discovery; one pass.

    Parameters
    ----------
    alpha : float, default 0.05
        Largest probability that one is selected by chance.

    See Also
    --------
    SelectFdr : Bounds the share of false ones only.

    Examples
    --------
    >>> import dask.array as da
    >>> import numpy as np
    >>> X = da.from_array(np.array([[1.0, 5.0], [2.0, 3.0], [4.0, 4.0], [5.0, 5.0]]), chunks=(2, 2))
    >>> y = da.from_array(np.array([0, 0, 1, 1]), chunks=2)
    >>> SelectFwe(alpha=0.2).fit(X, y).get_support()
    array([ True, False])
    """

    __init__ = constructor(sklearn.feature_selection.SelectFwe, score_func=f_classif)


@with_inherited_docs
class GenericUnivariateSelect(UnivariateSelector, sklearn.feature_selection.GenericUnivariateSelect):  # type: ignore[misc]
    """Select features by their scores, in a way that is a parameter; one pass.

    Parameters
    ----------
    mode : {"percentile", "k_best", "fpr", "fdr", "fwe"}, default "percentile"
        Way of one of the other selectors.
    param : int, float or "all", default 1e-5
        Its parameter.

    See Also
    --------
    SelectKBest : One way.

    Examples
    --------
    >>> import dask.array as da
    >>> import numpy as np
    >>> X = da.from_array(np.array([[1.0, 5.0], [2.0, 3.0], [4.0, 4.0], [5.0, 5.0]]), chunks=(2, 2))
    >>> y = da.from_array(np.array([0, 0, 1, 1]), chunks=2)
    >>> GenericUnivariateSelect(mode="k_best", param=1).fit(X, y).get_support()
    array([ True, False])
    """

    __init__ = constructor(sklearn.feature_selection.GenericUnivariateSelect, score_func=f_classif)

    def _warn(self, n_features: int) -> None:
        if self.mode == "k_best":
            SelectKBest(k=self.param)._warn(n_features)

    def _check_limit(self) -> None:
        kinds = {
            "percentile": (SelectPercentile, "percentile"),
            "k_best": (SelectKBest, "k"),
            "fpr": (SelectFpr, "alpha"),
            "fdr": (SelectFdr, "alpha"),
            "fwe": (SelectFwe, "alpha"),
        }
        check_choice("mode", self.mode, tuple(kinds))
        kind, name = kinds[self.mode]
        with naming("param"):
            kind(**{name: self.param})._check_limit()


class VarianceThreshold(SharedSelector, sklearn.feature_selection.VarianceThreshold):  # type: ignore[misc]
    """Select the features whose variance is above a threshold; one pass. NaN is left out.

    Parameters
    ----------
    threshold : float, default 0.0
        By default all but constant features are selected.

    Attributes
    ----------
    variances_ : array of shape (n_features,)
        With a threshold of zero no more than the range of the values, so that a constant has no variance by rounding.
    profile_ : daskml_kit.engines.engine.Profile

    See Also
    --------
    SelectKBest : Looks at the target, too.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array(np.array([[0, 2, 0, 3], [0, 1, 4, 3], [0, 1, 1, 3]]), chunks=(2, 4))
    >>> VarianceThreshold().fit_transform(X).compute()
    array([[2, 0],
           [1, 4],
           [1, 1]])
    """

    def _fit_steps(self, spec: DataSpec) -> Fit:
        spread, found = yield AsNumbers(Moments()), Extremes()  # which refuses infinity
        require_rows(spread.n_rows, spread.n_rows, spec.n_features)
        variances = spread.variance
        if self.threshold == 0:
            with np.errstate(invalid="ignore"):
                variances = np.fmin(variances, found.high.astype(np.float64) - found.low.astype(np.float64))
        if np.all(~np.isfinite(variances) | (variances <= self.threshold)):
            one = " (X contains only one sample)" if spread.n_rows == 1 else ""
            raise ValueError(f"No feature in X meets the variance threshold {self.threshold:.5f}{one}")
        return {"variances_": variances}

    def _check_parameters(self) -> None:
        check_number("threshold", self.threshold, low=0)

    def fit(self, X: Any, y: Any = None) -> Any:  # type: ignore[override]
        """Find the variance of each feature.

        Parameters
        ----------
        X : Dask array or DataFrame, NumPy array, pandas DataFrame or sparse matrix, of shape (n_samples, n_features)
        y : ignored

        Returns
        -------
        selector
            Itself.

        Raises
        ------
        DataError
            Where the data cannot be used; it names the argument and the block.
        """
        return super().fit(X)
