"""Pilot fits on a sample of rows, and ends of like fits, which fits of all rows start from."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
import scipy.sparse as sp

from daskml_kit.activity import hidden
from daskml_kit.data.block import Block
from daskml_kit.engines.engine import LocalEngine
from daskml_kit.numerics.arrow import Arrow
from daskml_kit.numerics.linalg import solve_positive
from daskml_kit.numerics.losses import hessian_times
from daskml_kit.reductions.summary import DataSummary
from daskml_kit.solvers.lbfgs import lbfgs
from daskml_kit.solvers.newton import newton, with_hessian
from daskml_kit.solvers.objective import Problem
from daskml_kit.solvers.run import run
from daskml_kit.solvers.types import Pairs, Result, Solver
from daskml_kit.typing import Array

FREE_HESSIANS = 150
"""Beyond this many coefficients a pilot fit asks for its Hessian once, in the end."""
LOOSE = 1e-3
"""The gradient at which a pilot fit by L-BFGS ends."""
CHEAP_HESSIANS = 300
"""Up to this many coefficients a Hessian of all rows is made, where the sample tells too little."""
ALIKE = 10.0
"""Coefficients whose curvatures differ by less are scaled alike by L-BFGS, which then stays in the span of the rows."""
PATH = 3
"""Ends of fits with different penalties on the same rows, through which a curve tells where the next one starts."""
FEW_STEPS = 8
"""Up to so many steps in a metric, another fit takes it too, rather than compute its own."""

Key = TypeVar("Key", bound=Hashable)


def sample_rows(n_coefficients: int) -> int:
    """Return how many rows a pilot fit wants: enough that its Hessian is within some percent of the whole."""
    return min(max(20_000, 30 * n_coefficients), 60_000)


class Pilot(NamedTuple):
    """End of a like fit, as one of a sample, and the Hessian there, or None; in coefficients of features less
    ``center``, if any. ``ridge`` is what a penalty adds to the diagonal of the Hessian, if it may be another one.
    ``path`` has the last ends by the logarithms of the penalties there, the last one last."""

    w: Array
    hess: Any
    center: Array | None = None
    ridge: Array | None = None
    path: tuple[tuple[float, Array], ...] = ()
    pairs: Pairs = ()

    def start(self, problem: Problem) -> Array:
        """Return where a fit with another penalty starts: on the parabola through the last ends, if it is no far way.

        Solutions are smooth in the logarithm of a ridge's strength.
        """
        here, strengths = _log_strength(problem), np.array([at for at, _ in self.path])
        if here is None or len(strengths) < 2:
            return self.w
        apart = np.diff(np.append(strengths, here))
        if not (apart * np.sign(apart[-1]) > 0).all() or abs(apart[-1]) > 2 * np.abs(apart[:-1]).min():
            return self.w
        factors = [
            np.prod([(here - other) / (at - other) for other in strengths if other != at]) for at in strengths.tolist()
        ]
        return np.asarray(sum(factor * w for factor, (_, w) in zip(factors, self.path, strict=True)))

    def serves(self, problem: Problem) -> bool:
        """Return whether the problem is in the same coefficients, so that it may start here."""
        if len(self.w) != len(problem.free) or problem.log_floor is not None:
            return False
        if isinstance(self.hess, Arrow) and problem.exclusive is None:
            return False
        if self.center is None or problem.center is None:
            return self.center is problem.center
        return np.array_equal(self.center, problem.center)

    def taken(self, own: Array) -> Pilot:
        """Return the same end in some of the coefficients, ``own``."""
        return Pilot(self.w[own], None, path=tuple((at, w[own]) for at, w in self.path))

    def put(self, rest: Array, own: Array) -> Pilot:
        """Return an end that is in the coefficients ``own`` in all, of which others are as in ``rest``."""
        return Pilot(put(rest, own, self.w), None, path=tuple((at, put(rest, own, w)) for at, w in self.path))

    def is_of(self, problem: Problem) -> bool:
        """Return whether the problem has the same penalty, as far as that is known."""
        return self.ridge is None or np.array_equal(self.ridge, problem.l2)

    def metric(self, problem: Problem) -> Any:
        """Return the Hessian with the penalty of another problem."""
        if self.is_of(problem):
            return self.hess
        more = problem.l2 - self.ridge
        return self.hess.with_ridge(more) if isinstance(self.hess, Arrow) else self.hess + np.diag(more)

    def corrections(self, problem: Problem) -> Pairs:
        """Return the steps and changes of gradients that correct the metric, with the penalty of another problem."""
        if self.ridge is None:
            return self.pairs
        more = problem.l2 - self.ridge
        return [(moved, turned + more * moved) for moved, turned in self.pairs]


def put(rest: Array, own: Array, values: Array) -> Array:
    """Return a copy of ``rest`` with ``values`` at the places ``own``.

    Examples
    --------
    >>> put(np.zeros(3), np.array([0, 2]), np.array([5.0, 7.0]))
    array([5., 0., 7.])
    """
    whole = rest.copy()
    whole[own] = values
    return whole


def _log_strength(problem: Problem) -> float | None:
    """Return the logarithm of the strength of a ridge; None where there is none, or not only one."""
    own = problem.l2[problem.l2 > 0]
    return float(np.log(own[0])) if len(own) and (own == own[0]).all() and not problem.l1.any() else None


def fit_sample(problems: Mapping[Key, Problem], summary: DataSummary, *, hessians: bool = True) -> dict[Key, Pilot]:
    """Fit the sample of ``summary`` to about the accuracy that a sample of its size has.

    Without ``hessians``, only coefficients are wanted.
    """
    n_rows = len(summary.sample_weight)
    weight = float(summary.sample_weight.sum())
    cuts = [slice(n_rows * i // 4, n_rows * (i + 1) // 4) for i in range(4)]
    y = summary.sample_y
    blocks = [
        Block(summary.sample_X[c], None if y is None else y[c], summary.sample_weight[c], i) for i, c in enumerate(cuts)
    ]
    share = 0.1 * max(len(p.free) for p in problems.values()) / n_rows
    with LocalEngine(blocks) as engine, hidden("fitting a sample"):
        solvers = {k: _solver(replace(p, scale=1 / weight), summary, share, hessians) for k, p in problems.items()}
        results = run(engine, solvers)
    return {key: Pilot(r.w, _known(r.last.hess) if hessians else None) for key, r in results.items()}


def _solver(problem: Problem, summary: DataSummary, share: float, hessian: bool) -> Solver:
    """Return Newton's method, until it gains less than ``share`` of the objective; L-BFGS where Hessians are costly."""
    oracle, w = problem.oracle(), problem.start
    if len(w) > FREE_HESSIANS and not problem.l1.any():
        scale = diagonal(problem, summary)
        solver = lbfgs(oracle, w, tol=LOOSE, max_iter=20, inverse=1 / scale)
        return with_hessian(oracle, solver) if hessian else solver
    return newton(oracle, w, tol=1e-8, max_iter=25, l1=problem.l1, decrement=share)


def diagonal(problem: Problem, summary: DataSummary) -> Array:
    """Return the Hessian's diagonal, roughly: the loss's hessian at the start times the mean squared features."""
    X, weight, center = summary.sample_X, summary.sample_weight, problem.center
    if problem.columns is not None:
        X = X[:, problem.columns]
    squares = X.multiply(X) if sp.issparse(X) else (X.astype(np.float64) - (0 if center is None else center)) ** 2
    second = np.append(weight @ squares, weight.sum()) / weight.sum()
    hessian = _curvature(problem, summary)
    whole = np.tile(second * hessian, problem.shape[0])[problem.free] + problem.l2
    return np.where(whole > 0, whole, 1.0)


def _curvature(problem: Problem, summary: DataSummary) -> float:
    """Return the mean hessian of the loss over the sample at a zero predictor."""
    if summary.sample_y is None:
        raise TypeError("a loss needs targets")
    read = problem.target.read(summary.sample_y, summary.sample_weight, np.dtype(np.float64))
    raw = np.zeros((problem.shape[0], len(summary.sample_weight)))
    if problem.log_floor is not None:
        raw[-1] = np.exp(problem.start[-1])
    along = np.zeros_like(raw)
    along[0] = 1
    first = hessian_times(problem.loss, raw, read.y, along)[0]
    return max(float(np.average(np.abs(first), weights=summary.sample_weight)), 1e-3)


def _known(hess: Array | None) -> Array:
    if hess is None:
        raise TypeError("a pilot fit ends with a Hessian")
    return hess


def first_metric(problem: Problem, summary: DataSummary, diagonal: Array) -> Array:
    """Return the metric that L-BFGS starts with: the inverse of the sample's Hessian at the start, or of its diagonal.

    Scaled by a diagonal, steps leave the span of the rows. Where columns are collinear only the penalty leads back,
    whose gradients are below any tolerance.
    """
    d = problem.shape[1] - 1
    if len(diagonal) > CHEAP_HESSIANS or sp.issparse(summary.sample_X) or problem.columns is not None:
        penalized = problem.l2 > 0
        alike = penalized.any() and diagonal[penalized].max() <= ALIKE * diagonal[penalized].min()
        return 1 / (np.where(penalized, diagonal[penalized].mean(), diagonal) if alike else diagonal)
    X = np.ones((len(summary.sample_weight), d + 1))
    X[:, :d] = summary.sample_X - (0 if problem.center is None else problem.center)
    gram = (X.T * summary.sample_weight) @ X * (_curvature(problem, summary) / summary.sample_weight.sum())
    whole = np.kron(np.eye(problem.shape[0]), gram)[np.ix_(problem.free, problem.free)] + np.diag(problem.l2)
    return solve_positive(whole, np.eye(len(whole)))


def from_sample(problems: Mapping[Key, Problem], summary: DataSummary) -> dict[Key, Problem]:
    """Return the problems as they start where fits of the sample end.

    A ridge, as strong as a row, holds those features near zero of which the sample has hardly a row.
    """
    held = {}
    for key, problem in problems.items():
        features = problem.free % problem.shape[1] < problem.shape[1] - 1
        least = np.where(features, 1 / len(summary.sample_weight), 0.0)
        held[key] = replace(problem, l2=np.maximum(problem.l2, least))
    ends = fit_sample(held, summary, hessians=False)
    return {key: replace(problem, start=ends[key].w) for key, problem in problems.items()}


def end_of(result: Result, problem: Problem, before: Pilot | None) -> Pilot:
    """Return the end of a fit; the Hessian of an earlier one is kept as long as few steps are needed in it."""
    at = _log_strength(problem)
    path = () if before is None or before.center is not problem.center else before.path
    path = () if at is None else (*path, (at, result.w))[-PATH:]
    if result.last.hess is not None or before is None:
        return Pilot(result.w, result.last.hess, problem.center, problem.l2, path, result.pairs)
    known = before.hess if result.n_iter <= FEW_STEPS else None
    return before._replace(w=result.w, hess=known, path=path)
