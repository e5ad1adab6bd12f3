"""Nonnegative matrix factorization."""

from __future__ import annotations

import warnings
from collections.abc import Generator
from typing import Any, NamedTuple, Self

import numpy as np
import sklearn.decomposition
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_non_negative

from daskml_kit.arguments import check_choice, check_number, check_share, naming, random_state_of
from daskml_kit.base import DaskEstimator, check_common, fitting, precision_of
from daskml_kit.data.collections import is_dask
from daskml_kit.engines.open import open_engine
from daskml_kit.exceptions import DataError
from daskml_kit.linear_model.base import require_rows
from daskml_kit.numerics.nonnegative import Penalty, SingularStart, start_of_svd
from daskml_kit.reductions.gram import Triangle
from daskml_kit.reductions.row_factors import PartNorms, PartTotals, Start
from daskml_kit.reductions.sums import FeatureSums, Totals
from daskml_kit.solvers.alternating_updates import Factorization, Setting, alternate
from daskml_kit.solvers.run import run
from daskml_kit.solvers.subspace import MANY_FEATURES, leading_components
from daskml_kit.solvers.types import DataSpec, Fit
from daskml_kit.typing import Array
from daskml_kit.validation import check_fit, like, seed_of

STARTS = ("random", "nndsvd", "nndsvda", "nndsvdar", "custom", None)
LOSSES = {"frobenius": 2.0, "kullback-leibler": 1.0, "itakura-saito": 0.0}


FEW_DIGITS, NO_DIGITS = 1e-4, 1e-7
"""Singular values, as a share of the largest, of which products of the features tell few digits, or none."""
ROUNDING = 1e-13
"""Share of the largest singular value that a QR decomposition leaves of none."""


class First(NamedTuple):
    """First W and H."""

    start: Start
    H: Array


class NMF(DaskEstimator, sklearn.decomposition.NMF):  # type: ignore[misc]
    r"""Nonnegative matrix factorization, :math:`X \approx W H`, a pass an iteration.

    The objective, the updates and when they end are scikit-learn's. W, of the data's length, stays in the memory of
    the processes that have the blocks of X, :math:`k` numbers a row; H is updated from the sums W'X and W'W. Rows that
    have lost their W with a worker have it made again.

    Parameters
    ----------
    n_components : int, "auto" or None, default "auto"
        By default as many as ``H`` has with a custom start, else as features.
    init : {"random", "nndsvd", "nndsvda", "nndsvdar", "custom"}, optional
        First factors: from singular vectors ("nndsvd"), zeros replaced by the mean of X ("nndsvda", the default where
        there are at most as many components as rows and features) or by small random values ("nndsvdar"); random; or
        given to `fit`. Random values of W are drawn for each block by itself.
    solver : {"cd", "mu"}, default "cd"
        Coordinate descent (HALS), or multiplicative updates.
    beta_loss : float or {"frobenius", "kullback-leibler", "itakura-saito"}, default "frobenius"
        Divergence that is minimized; others than "frobenius" need ``solver="mu"``.
    tol : float, default 1e-4
    max_iter : int, default 200
    random_state : int, RandomState or None, optional
    alpha_W : float, default 0.0
    alpha_H : float or "same", default "same"
        Strength of the penalties on W and on H.
    l1_ratio : float, default 0.0
        Share of the sum of values in the penalties, the rest is half the sum of squares.
    verbose : int, default 0
        Above 0, show a bar of the passes.
    shuffle : bool, default False
        Whether coordinate descent goes through the components in an order drawn anew each time.

    Attributes
    ----------
    components_ : array of shape (n_components, n_features)
        H.
    n_components_, n_iter_ : int
    reconstruction_err_ : float
        Square root of twice the divergence of X from WH.
    profile_ : daskml_kit.engines.engine.Profile

    See Also
    --------
    TruncatedSVD : Components with values of both signs, in one pass.

    Notes
    -----
    `transform` solves for the W of each block with H fixed, as scikit-learn does for all rows: each block ends by its
    own convergence. So does ``fit_transform``: it gives ``fit(X).transform(X)``, not the W of the last update.

    References
    ----------
    Lee and Seung, "Algorithms for non-negative matrix factorization", NIPS 2000. Cichocki and Phan, "Fast local
    algorithms for large scale nonnegative matrix and tensor factorizations", 2009. Boutsidis and Gallopoulos, "SVD
    based initialization: a head start for nonnegative matrix factorization", 2008.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array(np.outer([1.0, 2.0, 3.0], [1.0, 0.0, 2.0]), chunks=(2, 3))
    >>> model = NMF(1).fit(X)
    >>> (model.transform(X).compute() @ model.components_).round(3)
    array([[1., 0., 2.],
           [2., 0., 4.],
           [3., 0., 6.]])
    """

    def fit(self, X: Any, y: Any = None, W: Any = None, H: Any = None) -> Self:  # type: ignore[override]
        """Factorize X.

        Parameters
        ----------
        X : Dask array or DataFrame, NumPy array, pandas DataFrame or sparse matrix, of shape (n_samples, n_features)
        y : ignored
        W : array or Dask array of shape (n_samples, n_components), optional
        H : array of shape (n_components, n_features), optional
            First factors, for ``init="custom"``.

        Returns
        -------
        NMF
            Itself.

        Raises
        ------
        DataError
            Where the data cannot be used; it names the argument and the block.
        """
        check_common(self)
        self._check_parameters()
        with fitting(self):
            X = check_fit(self, X).X
            W, H = self._given(W, H)
            if W is not None and abs(W.shape[0] - X.shape[0]) > 0:  # of unknown lengths the difference is NaN
                raise DataError(f"W: expected {X.shape[0]} rows as in X, got {W.shape[0]}")
            with open_engine(X, W) as engine:
                spec = DataSpec(self.n_features_in_, None, precision_of(X), engine.n_blocks)
                fitted = run(engine, {None: self._fit_steps(spec, H)})[None]
            self._keep({**fitted, "profile_": engine.profile})
        return self

    transforms_rows = False  # which scikit-learn's passes end for all rows together

    def _fit_steps(self, spec: DataSpec, H: Array | None = None) -> Fit:
        totals: Totals = yield FeatureSums()
        n, draw = round(totals.weight), random_state_of(self.random_state)
        require_rows(n, n, spec.n_features)
        if H is None:
            first: First = yield from self._start(spec, n, float(totals.sums.sum()) / (n * spec.n_features), draw)
        else:
            first = First(Start(len(H), True, np.ones(len(H))), H)
        found: Factorization = yield from alternate(
            first.H, first.start, self._setting(spec, n), random_state_of(self.random_state)
        )
        if not found.converged and self.tol > 0:
            warnings.warn(
                f"Maximum number of iterations {self.max_iter} reached. Increase it to improve convergence.",
                ConvergenceWarning,
                stacklevel=2,
            )
        return {
            "components_": found.H.astype(spec.dtype),
            "n_components_": len(found.H),
            "reconstruction_err_": np.sqrt(2 * found.error),
            "n_iter_": found.n_iter,
        }

    def _start(self, spec: DataSpec, n: int, mean: float, draw: np.random.RandomState) -> Generator[Any, Any, First]:
        d = spec.n_features
        k, few = (d if self.n_components in ("auto", None) else int(self.n_components)), min(n, d)
        kind = self.init or ("nndsvda" if k <= few else "random")
        seed = seed_of(self.random_state)
        if kind == "random":
            scale = np.sqrt(mean / k)
            H = np.abs(scale * draw.standard_normal((k, d)))
            return First(Start(k, False, np.full(k, scale), seed=seed), H)
        if k > few:
            raise ValueError(f"init = {kind!r} can only be used when n_components <= min(n_samples, n_features)")
        maps, scale, H = yield from singular_start(d, k, draw)
        noise = kind == "nndsvdar"
        fill = 0.0 if kind == "nndsvd" else mean / 100 if noise else mean
        zeros = H == 0
        H[zeros] = np.abs(fill * draw.standard_normal(zeros.sum())) if noise else fill
        return First(Start(k, False, scale, maps, fill, noise, seed), H)

    def _setting(self, spec: DataSpec, n: int) -> Setting:
        alpha_H, ratio = self.alpha_W if self.alpha_H == "same" else self.alpha_H, self.l1_ratio
        of_W, of_H = spec.n_features * self.alpha_W, n * alpha_H
        descent = self.solver == "cd"
        penalty_W, penalty_H = (Penalty(strength * ratio, strength * (1 - ratio)) for strength in (of_W, of_H))
        return Setting(descent, self._beta(), penalty_W, penalty_H, self.tol, self.max_iter, bool(self.shuffle))

    def _beta(self) -> float:
        return LOSSES[self.beta_loss] if isinstance(self.beta_loss, str) else float(self.beta_loss)

    def _given(self, W: Any, H: Any) -> tuple[Any, Array | None]:
        """Return the first factors that are given, checked."""
        if self.init != "custom":
            if W is not None or H is not None:
                warnings.warn(
                    "When init!='custom', provided W or H are ignored. Set init='custom' to use them as "
                    "initialization.",
                    RuntimeWarning,
                    stacklevel=3,
                )
            return None, None
        if W is None or H is None:
            raise ValueError(f"init='custom' needs {'W' if W is None else 'H'}, of fit")
        with naming("H"):
            H = np.array(H, dtype=np.float64)
            check_non_negative(H, "NMF (input H)")
        k = len(H) if self.n_components == "auto" else self.n_features_in_ if self.n_components is None else None
        k = int(self.n_components) if k is None else k
        if H.shape != (k, self.n_features_in_) or not H.any():
            what = "zeros" if H.shape == (k, self.n_features_in_) else f"shape {H.shape}"
            raise DataError(f"H: expected an array of shape {(k, self.n_features_in_)}, not all zero, got {what}")
        if not is_dask(W):
            with naming("W"):
                W = np.asarray(W, dtype=np.float64)
                check_non_negative(W, "NMF (input W)")
        if W.ndim != 2 or W.shape[1] != k:
            raise DataError(f"W: expected an array of shape (n_samples, {k}), got {W.shape}")
        return W, H

    def _apply(self, method: str, X: Any, meta: Any = None) -> Any:
        if method == "transform" and is_dask(X) and hasattr(self, "components_"):
            rows = like(np.ones((1, self.n_features_in_)), X)  # made-up zeros it may refuse
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                meta = self.to_sklearn().transform(rows)[:0]
        return super()._apply(method, X, meta)

    def _check_parameters(self) -> None:
        if self.n_components not in ("auto", None):
            check_number("n_components", self.n_components, low=1, integer=True)
        check_choice("init", self.init, STARTS)
        check_choice("solver", self.solver, ("cd", "mu"))
        if isinstance(self.beta_loss, str):
            check_choice("beta_loss", self.beta_loss, tuple(LOSSES))
        else:
            check_number("beta_loss", self.beta_loss, low=-np.inf)
        if self.solver != "mu" and self._beta() != 2:
            raise ValueError(
                f"Invalid beta_loss parameter: solver {self.solver!r} does not handle beta_loss = {self.beta_loss!r}"
            )
        if self.solver == "mu" and self.init == "nndsvd":
            warnings.warn(
                "The multiplicative update ('mu') solver cannot update zeros present in the initialization, and so "
                "leads to poorer results when used jointly with init='nndsvd'. You may try init='nndsvda' or "
                "init='nndsvdar' instead.",
                UserWarning,
                stacklevel=3,
            )
        check_number("tol", self.tol, low=0)
        check_number("max_iter", self.max_iter, low=1, integer=True)
        check_number("alpha_W", self.alpha_W, low=0)
        if self.alpha_H != "same":
            check_number("alpha_H", self.alpha_H, low=0)
        check_share("l1_ratio", self.l1_ratio)


def singular_start(d: int, k: int, draw: np.random.RandomState) -> Generator[Any, Any, SingularStart]:
    """Return first factors from k singular vectors: of dense rows by a QR decomposition where products do not tell."""
    found = yield from leading_components(d, k, draw, centered=False)
    vectors, least = found.vectors[:, :k], NO_DIGITS
    parts: PartTotals = yield PartNorms(vectors)
    singular = np.sqrt(parts.squares.sum(axis=0))
    if singular.min() < FEW_DIGITS * singular.max() and not parts.sparse and d <= MANY_FEATURES:
        triangle: Array = yield Triangle()
        _, _, right = np.linalg.svd(triangle[:, 1:], full_matrices=False)
        vectors, least = right[:k].T, ROUNDING
        parts = yield PartNorms(vectors)
    return start_of_svd(vectors, np.sqrt(parts.squares), least)
