"""Imputation of each column by a model of the other columns, in rounds."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import sklearn.impute
from sklearn.base import is_regressor
from sklearn.dummy import DummyRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.utils import check_array
from sklearn.utils.validation import FLOAT_DTYPES

from daskml_kit.arguments import check_choice, check_number, random_state_of
from daskml_kit.base import DaskTransformer, check_common, has_fit_steps, with_head, without_names
from daskml_kit.composition import fit_steps, without_dask
from daskml_kit.exceptions import DataError
from daskml_kit.impute.rounds import Imputed, Rounds
from daskml_kit.impute.simple import SimpleImputer, masked, present_value
from daskml_kit.linear_model import BayesianRidge
from daskml_kit.reductions.frames import rows_like
from daskml_kit.reductions.round_robin import ChainedSteps, MissingPatterns, Patterns
from daskml_kit.solvers.run import lockstep
from daskml_kit.solvers.types import DataSpec, Fit
from daskml_kit.solvers.views import View, seen
from daskml_kit.typing import Array

STRATEGIES = ("mean", "median", "most_frequent", "constant")
ORDERS = ("ascending", "descending", "roman", "arabic", "random")


class IterativeImputer(DaskTransformer, sklearn.impute.IterativeImputer):  # type: ignore[misc]
    r"""Replace the missing values of each column by the predictions of a model of the other columns, in rounds.

    A linear model is decided by the Gram matrix, and rows of one pattern of missing values stay affine images of what
    is there. So where the estimator is linear without bounds of what is filled in, and the patterns are not too many
    (64 MB of their Gram matrices), one pass gathers these, and the rounds are computed from them. A second pass
    measures the changes of five rounds, which tell when to stop; further ones follow where these do not suffice.

    Else the values of a step depend on all those before it: a pass for each pass of each step's fit, in which what was
    filled in before is computed anew, and one a round for its changes; columns without missing values share theirs.

    Parameters, attributes and methods are those of `sklearn.impute.IterativeImputer`.

    Parameters
    ----------
    estimator : regressor, default None
        On Dask input of daskml_kit; None is `daskml_kit.linear_model.BayesianRidge`.
    missing_values : number or np.nan, default np.nan
        What counts as missing.
    sample_posterior : bool, default False
        Must be False on Dask input.
    max_iter : int, default 10
    tol : float, default 1e-3
        It stops when the sum of changes of each row is below ``tol`` times the largest absolute value.
    n_nearest_features : int, default None
        Columns that a model takes, drawn by their correlation; None takes all others.
    initial_strategy : {"mean", "median", "most_frequent", "constant"}, default "mean"
    fill_value : number, default None
    imputation_order : {"ascending", "descending", "roman", "arabic", "random"}, default "ascending"
    skip_complete : bool, default False
    min_value, max_value : float or array of shape (n_features,), default -inf and inf
        Bounds of what is filled in.
    verbose : int, default 0
    random_state : int, RandomState or None, default None
    add_indicator : bool, default False
    keep_empty_features : bool, default False

    Attributes
    ----------
    initial_imputer_ : sklearn.impute.SimpleImputer
    imputation_sequence_ : list of (feat_idx, neighbor_feat_idx, estimator)
        The models are scikit-learn's.
    n_iter_ : int
    n_features_with_missing_ : int
    indicator_ : sklearn.impute.MissingIndicator or None
    random_state_ : RandomState

    See Also
    --------
    SimpleImputer : One value for each column.
    daskml_kit.linear_model.BayesianRidge : The default model.

    References
    ----------
    van Buuren and Groothuis-Oudshoorn, "mice: Multivariate imputation by chained equations in R", 2011.

    Examples
    --------
    >>> import dask.array as da
    >>> rows = da.from_array(np.array([[7.0, 2, 3], [4, np.nan, 6], [10, 5, 9]]), chunks=(2, 3))
    >>> imputer = IterativeImputer(random_state=0).fit(rows)
    >>> imputer.transform([[np.nan, 2, 3], [4, np.nan, 6]]).round(3)
    array([[6.958, 2.   , 3.   ],
           [4.   , 2.6  , 6.   ]])
    """

    many_passes: ClassVar[Any] = True

    def _fit_steps(self, spec: DataSpec) -> Fit:
        estimator = self._checked_estimator()
        options = {"strategy": self.initial_strategy, "missing_values": self.missing_values}
        initial = SimpleImputer(**options, fill_value=self.fill_value, keep_empty_features=self.keep_empty_features)
        shown = partial(masked, spec, marker=self.missing_values)
        both = lockstep({"head": with_head(spec, shown(MissingPatterns())), "initial": fit_steps(initial, spec)})
        (head, (patterns,)), first = (yield from both).values()
        dtype = check_array(head, dtype=FLOAT_DTYPES, ensure_all_finite=False).dtype
        imputer = self._fit_made_up(patterns, head, dtype)
        learned = self._learned(imputer, head)
        learned["initial_imputer_"] = without_names(first.to_sklearn()).set_output(transform="default")
        if not imputer.imputation_sequence_:  # of no rounds, or of no column that is filled in
            return learned
        kind = type(imputer.imputation_sequence_[0])
        rounds = Rounds(
            self, estimator, self._chain(first, patterns), patterns, random_state_of(self.random_state), spec
        )
        tol = self.tol * max(patterns.largest, np.abs(rounds.chain.first[rounds.chain.ignored]).max(initial=0))
        found: Imputed = yield from seen(View(shown), rounds.run(tol))
        return {
            **learned,
            "imputation_sequence_": [kind(*step) for step in found.steps],
            "n_features_with_missing_": len(found.steps) // found.n_rounds,
            "n_iter_": found.n_rounds,
            "random_state_": rounds.draw,
        }

    def _sklearn_parameters(self, genuine: type[Any]) -> dict[str, Any]:
        return {**super()._sklearn_parameters(genuine), "estimator": without_dask(self.estimator)}

    def _checked_estimator(self) -> Any:
        """Check the parameters, and return the estimator of each column."""
        check_common(self)
        if self.sample_posterior:
            raise DataError("sample_posterior: expected False on Dask input, got True")
        check_choice("initial_strategy", self.initial_strategy, STRATEGIES)
        check_choice("imputation_order", self.imputation_order, ORDERS)
        check_number("max_iter", self.max_iter, low=0, integer=True)
        check_number("tol", self.tol, low=0)
        if self.n_nearest_features is not None:
            check_number("n_nearest_features", self.n_nearest_features, low=1, integer=True)
        estimator = BayesianRidge() if self.estimator is None else self.estimator
        if not has_fit_steps(estimator):
            raise DataError(
                f"estimator: {type(estimator).__name__} cannot fit on Dask data; use its counterpart of daskml_kit"
            )
        if not is_regressor(estimator):
            raise DataError(f"estimator: expected a regressor on Dask input, got {type(estimator).__name__}")
        check_common(estimator)
        estimator._check_parameters()
        return estimator

    def _fit_made_up(self, patterns: Patterns, head: Any, dtype: np.dtype[Any]) -> Any:
        """Fit scikit-learn's imputer on two rows with gaps in the same columns."""
        present = float(present_value(dtype, self.missing_values))
        gone = np.float64(np.nan) if self.missing_values is pd.NA else self.missing_values
        rows = np.full((2, len(patterns.gone)), present)
        rows[0, patterns.gone == patterns.n_rows] = gone
        rows[1, patterns.gone > 0] = gone
        changed = {"estimator": DummyRegressor(), "max_iter": min(self.max_iter, 1), "verbose": 0}
        changed |= {"imputation_order": "roman", "n_nearest_features": None, "initial_strategy": "mean"}
        imputer = sklearn.impute.IterativeImputer(**{**self.get_params(deep=False), **changed})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return imputer.fit(rows_like(rows.astype(dtype), head))

    def _chain(self, first: SimpleImputer, patterns: Patterns) -> ChainedSteps:
        """Return the first values and the bounds of the columns that are kept."""
        values = np.asarray(first.statistics_, np.float64)
        empty = patterns.gone == patterns.n_rows
        kept = np.arange(len(values)) if self.keep_empty_features else np.flatnonzero(~empty)

        def bounds(limit: Any, none: float) -> Array:
            whole = np.broadcast_to(np.asarray(none if limit is None else limit, np.float64), values.shape)
            return np.asarray(whole[kept])

        low, high = bounds(self.min_value, -np.inf), bounds(self.max_value, np.inf)
        return ChainedSteps(kept, values[kept], empty[kept], low, high)
