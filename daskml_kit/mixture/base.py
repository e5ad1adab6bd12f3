"""Base of mixtures of normal distributions: their starts, and expectation-maximization of all starts together."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from daskml_kit.arguments import check_choice, check_number, naming, random_state_of
from daskml_kit.base import UnsupervisedEstimator, genuine_class
from daskml_kit.numerics.gaussian_components import KINDS, MixtureSums, precisions_of
from daskml_kit.reductions.gram import Gram
from daskml_kit.reductions.moments import Moments
from daskml_kit.reductions.picked_rows import CountRows, Picked, RowCounts, rows_drawn
from daskml_kit.solvers.expectation_maximization import Mixture, MixtureState, expectation_maximization
from daskml_kit.solvers.run import lockstep
from daskml_kit.solvers.types import DataSpec, Fit
from daskml_kit.typing import Array
from daskml_kit.validation import seed_of

SAMPLE_ROWS = 20_000
"""Rows of which the first components are made."""
STARTS = ("kmeans", "k-means++", "random", "random_from_data")


class RowSpread(NamedTuple):
    """All rows: their number, mean, and products about it, or where these are not needed squares."""

    n_rows: int
    mean: Array
    products: Array | None
    squares: Array


class MixtureModel(UnsupervisedEstimator):
    """Mixture of normal distributions, fitted by expectation-maximization, a pass an iteration.

    Parameters
    ----------
    covariance_type : {"full", "tied", "diag", "spherical"}, default "full"
        Each component has a covariance matrix, or all have the same, or each has a variance of each feature, or one.
    reg_covar : float, default 1e-6
        Added to variances.
    max_iter : int, default 100
    init_params : {"kmeans", "k-means++", "random", "random_from_data"}, default "kmeans"
        Responsibilities at the start: clusters, single rows, or random numbers. They are those of a sample of some
        20,000 rows, which is all rows where there are fewer.
    random_state : int, RandomState or None, optional
    warm_start : bool, default False
        Whether a fit starts where the last one ended.
    verbose : int, default 0
        Above 0, show a bar of the passes.
    verbose_interval : int, default 10
        Not used: each pass has its line.

    Attributes
    ----------
    weights_ : array of shape (n_components,)
    means_ : array of shape (n_components, n_features)
    covariances_, precisions_, precisions_cholesky_ : array
        Covariances, their inverses, and upper triangles U with U U' the inverse: of shape (n_components, n_features,
        n_features) if "full", (n_features, n_features) if "tied", (n_components, n_features) if "diag",
        (n_components,) if "spherical".
    converged_ : bool
    n_iter_ : int
    lower_bounds_ : list of float
        That of each iteration.
    profile_ : daskml_kit.engines.engine.Profile
    """

    _score_is = "mean"
    starts_from_whole = False
    draws_rows = SAMPLE_ROWS
    _of_products: ClassVar[tuple[str, ...]] = ()
    """Kinds of covariances that need the products of all rows."""
    _entropies: ClassVar[bool] = False
    """Whether the lower bound needs the entropies of responsibilities."""

    def _given(self, d: int) -> dict[str, Array]:
        """Return the parameters that are arrays, checked; those that are None are left out."""
        raise NotImplementedError

    def _improvement(
        self, given: Mapping[str, Array], spread: RowSpread
    ) -> Callable[[Any, MixtureSums], tuple[MixtureState, float]]:
        """Return the function that makes better components."""
        raise NotImplementedError

    def _start(
        self, rows: Array, shift: Array, given: Mapping[str, Array], draw: np.random.RandomState
    ) -> MixtureState:
        """Return the components that scikit-learn starts with on the sampled rows, less the shift."""
        raise NotImplementedError

    def _last(self, shift: Array) -> MixtureState:
        """Return the components of the last fit, less the shift."""
        raise NotImplementedError

    def _attributes(self, components: Any, given: Mapping[str, Array], spread: RowSpread) -> dict[str, Any]:
        """Return the fitted attributes of components, in double precision."""
        raise NotImplementedError

    def _fit_steps(self, spec: DataSpec) -> Fit:
        own: Any = self
        given = self._given(spec.n_features)
        sample: Picked
        counts: RowCounts = yield CountRows()
        drawn = rows_drawn(counts, SAMPLE_ROWS, spec.n_features, seed_of(own.random_state))
        sample, found = yield drawn, Gram() if own.covariance_type in self._of_products else Moments()
        if found.n_rows < max(own.n_components, 2):
            raise ValueError(
                f"Expected n_samples >= n_components but got n_components = {own.n_components}, n_samples = "
                f"{found.n_rows}; a minimum of 2 is required."
            )
        found.require_finite()
        spread = _spread(found, spec.n_features)
        warm, draw = own.warm_start and hasattr(self, "converged_"), random_state_of(own.random_state)
        rows, shift = sample.X - spread.mean, spread.mean
        starts = [self._last(shift)] if warm else [self._start(rows, shift, given, draw) for _ in range(own.n_init)]
        options = {"tol": own.tol, "max_iter": own.max_iter, "entropies": self._entropies}
        options["bound"] = own.lower_bound_ if warm else -np.inf
        improve = self._improvement(given, spread)
        ended = yield from lockstep(
            {at: expectation_maximization(start, shift, improve, **options) for at, start in enumerate(starts)}
        )
        best: Mixture = max(ended.values(), key=lambda mixture: mixture.bound)
        if not best.converged and own.max_iter:
            warnings.warn(
                "Best performing initialization did not converge. Try different init parameters, or increase max_iter, "
                "tol, or check for degenerate data.",
                ConvergenceWarning,
                stacklevel=2,
            )
        arrays = self._attributes(best.components, given, spread)
        factors = arrays["precisions_cholesky_"]
        fitted = {**arrays, "precisions_": precisions_of(factors, own.covariance_type)}
        return {
            **{name: _as_type(value, spec.dtype) for name, value in fitted.items()},
            "converged_": best.converged,
            "n_iter_": len(best.bounds),
            "lower_bound_": np.float64(best.bound),
            "lower_bounds_": [np.float64(bound) for bound in best.bounds],
        }

    def _first(self, rows: Array, draw: np.random.RandomState, **changed: Any) -> Any:
        """Return scikit-learn's model as it starts on the sampled rows."""
        genuine = genuine_class(type(self))
        options = {**self._sklearn_parameters(genuine), "n_init": 1, "max_iter": 0, "random_state": draw, "verbose": 0}
        return genuine(**{**options, **changed}).fit(rows)

    def _remembered(self, shapes: Mapping[str, tuple[int, ...]]) -> list[Array]:
        """Return fitted arrays of the last fit, which have to be of these shapes."""
        for name, shape in shapes.items():
            last = np.shape(getattr(self, name))
            if last != shape:
                raise ValueError(f"warm_start: expected {name} of shape {shape} from the last fit, got {last}")
        return [np.array(getattr(self, name), dtype=np.float64) for name in shapes]

    def _arrays(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
        """Return the parameters of these names that are not None, which have to be finite and of these shapes."""
        found: dict[str, Array] = {}
        for name, shape in shapes.items():
            given = getattr(self, name)
            if given is None:
                continue
            with naming(name):
                found[name] = np.array(given, dtype=np.float64)
            if found[name].shape != shape:
                raise ValueError(f"{name}: expected the shape {shape}, got {found[name].shape}")
            if not np.isfinite(found[name]).all():
                raise ValueError(f"{name}: expected finite numbers, got {given!r:.60}")
        return found

    def _shape_of_factors(self, d: int) -> tuple[int, ...]:
        own: Any = self
        k = own.n_components
        return {"full": (k, d, d), "tied": (d, d), "diag": (k, d), "spherical": (k,)}[own.covariance_type]

    def _check_parameters(self) -> None:
        own: Any = self
        for name, low in {"n_components": 1, "max_iter": 0, "n_init": 1, "verbose_interval": 1}.items():
            check_number(name, getattr(own, name), low=low, integer=True)
        check_number("tol", own.tol, low=0)
        check_number("reg_covar", own.reg_covar, low=0)
        check_choice("covariance_type", own.covariance_type, KINDS)
        check_choice("init_params", own.init_params, STARTS)


def check_positive(name: str, matrices: Array, kind: str) -> None:
    """Raise unless variances are positive, or matrices symmetric and positive definite."""
    if kind in ("full", "tied"):
        fine = np.allclose(matrices, matrices.mT) and (np.linalg.eigvalsh(matrices) > 0).all()
    else:
        fine = (matrices > 0).all()
    if not fine:
        wanted = "symmetric, positive definite matrices" if kind in ("full", "tied") else "positive numbers"
        raise ValueError(f"{name}: expected {wanted} for covariances of kind {kind!r}")


def _spread(found: Any, d: int) -> RowSpread:
    if hasattr(found, "product"):
        products = found.product[:d, :d]
        return RowSpread(found.n_rows, found.mean[:d], products, np.diagonal(products))
    return RowSpread(found.n_rows, found.mean, None, found.squares)


def _as_type(value: Any, dtype: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_as_type(each, dtype) for each in value)
    return value.astype(dtype, copy=False) if isinstance(value, (np.ndarray, np.floating)) else value
