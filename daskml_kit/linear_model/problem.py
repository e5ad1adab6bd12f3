"""A penalised linear problem, and the choice of a solver for it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import scipy.sparse as sp

from daskml_kit.block import Block
from daskml_kit.engines.engine import Engine, LocalEngine
from daskml_kit.numerics.losses import Loss, Softmax
from daskml_kit.numerics.targets import Target
from daskml_kit.queries.survey import Overview
from daskml_kit.solvers.drive import solve
from daskml_kit.solvers.fista import fista
from daskml_kit.solvers.lbfgs import lbfgs
from daskml_kit.solvers.newton import newton, quasi_newton, with_hessian
from daskml_kit.solvers.oracles import centred, data_term, last_by_logarithm, restricted, ridge
from daskml_kit.solvers.result import Oracle, Result, Solver
from daskml_kit.typing import Array

DENSE_COEFFICIENTS = 1200
"""Up to this many coefficients a Hessian is made and factored; beyond, only its diagonal is used."""
FREE_HESSIANS = 150
"""Beyond this many coefficients a pilot fit asks for its Hessian once, in the end."""
PILOT_TOL = 1e-3
PILOT_BYTES = 32 * 2**20
SOLVERS = ("auto", "lbfgs", "newton-cholesky", "fista")

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, eq=False)
class Problem:
    """Minimise ``scale * sum(loss) + sum(l2 * w**2) / 2 + sum(l1 * abs(w))`` over the free coefficients.

    Parameters
    ----------
    loss : Loss
    target : Target
    shape : tuple of int
        Outputs and features + 1.
    free : array of int
        Which of the raveled coefficients are free; the others are zero.
    l2, l1 : array of shape (len(free),)
    scale : float
        One over the weight of all rows, as scikit-learn has it.
    start : array of shape (len(free),)
    log_floor : float, optional
        The last coefficient is positive, and fitted by its logarithm; below this it is as good as zero.
    """

    loss: Loss
    target: Target
    shape: tuple[int, int]
    free: Array
    l2: Array
    l1: Array
    scale: float
    start: Array
    log_floor: float | None = None

    def oracle(self) -> Oracle:
        """Return the smooth part."""
        size = self.shape[0] * self.shape[1]
        whole = data_term(self.loss, self.target, self.shape, self.scale)
        inner = whole if len(self.free) == size else restricted(whole, self.free, size)
        smooth = ridge(inner if self.log_floor is None else last_by_logarithm(inner, self.log_floor), self.l2)
        if not isinstance(self.loss, Softmax):
            return smooth
        width = len(self.free) // self.shape[0]
        loose = np.flatnonzero((self.l2 + self.l1)[:width] == 0)
        return centred(smooth, self.shape[0], loose, width)

    def unravel(self, w: Array) -> Array:
        """Return the coefficients of shape (outputs, features + 1), zeros where they are not free."""
        whole = np.zeros(self.shape[0] * self.shape[1])
        whole[self.free] = w
        if self.log_floor is not None:
            whole[self.free[-1]] = np.exp(w[-1])
        return whole.reshape(self.shape)


def sample_rows(n_features: int, n_coefficients: int) -> int:
    """Return how many rows a pilot fit wants: enough that its Hessian is within some percent of the whole."""
    wanted = min(max(20_000, 30 * n_coefficients), 60_000)
    return int(min(wanted, PILOT_BYTES // (8 * (n_features + 1))))


def minimise(
    engine: Engine, problems: Mapping[Key, Problem], overview: Overview, *, solver: str, tol: float, max_iter: int
) -> dict[Key, Result]:
    """Solve problems over the same data in lock step.

    ``solver="auto"`` is quasi-Newton in the metric of a pilot fit on the sample of ``overview``; with few rows it is
    Newton, and with many coefficients L-BFGS, or FISTA where there is an l1 norm, scaled by the sample's diagonal.
    """
    if solver == "auto":
        solver = _choose(problems, overview)
    if solver == "pilot":
        pilots = _pilot(problems, overview)
        solvers: dict[Key, Solver] = {
            key: quasi_newton(p.oracle(), pilots[key].w, _hessian(pilots[key]), tol=tol, max_iter=max_iter, l1=p.l1)
            for key, p in problems.items()
        }
    else:
        solvers = {key: _single(solver, p, overview, tol, max_iter) for key, p in problems.items()}
    return solve(engine.answer, solvers)


def _single(solver: str, problem: Problem, overview: Overview, tol: float, max_iter: int) -> Solver:
    oracle, w = problem.oracle(), problem.start
    if solver == "newton-cholesky":
        return newton(oracle, w, tol=tol, max_iter=max_iter, l1=problem.l1)
    scale = _diagonal(problem, overview)
    if problem.l1.any():
        return fista(oracle, w, l1=problem.l1, tol=tol, max_iter=max_iter, scale=scale)
    return lbfgs(oracle, w, tol=tol, max_iter=max_iter, scale=scale)


def _choose(problems: Mapping[Key, Problem], overview: Overview) -> str:
    size = max(len(p.free) for p in problems.values())
    if size > DENSE_COEFFICIENTS:
        return "lbfgs"
    few = len(overview.sample_weight) < 5 * size
    if overview.n_rows < 2 * len(overview.sample_weight):
        return "newton-cholesky" if size <= 300 else "lbfgs"
    if few or _rarest(overview) < 30:
        return "newton-cholesky"
    return "pilot"


def _rarest(overview: Overview) -> float:
    if overview.labels is None or overview.sample_y is None:
        return np.inf
    return float(min((overview.sample_y == label).sum() for label in overview.labels))


def _pilot(problems: Mapping[Key, Problem], overview: Overview) -> dict[Key, Result]:
    """Fit the sample by Newton, to about the accuracy that a sample of its size has."""
    n_rows = len(overview.sample_weight)
    weight = float(overview.sample_weight.sum())
    cuts = [slice(n_rows * i // 4, n_rows * (i + 1) // 4) for i in range(4)]
    y = overview.sample_y
    blocks = [
        Block(overview.sample_X[c], None if y is None else y[c], overview.sample_weight[c], i)
        for i, c in enumerate(cuts)
    ]
    share = 0.1 * max(len(p.free) for p in problems.values()) / n_rows
    with LocalEngine(blocks) as engine:
        solvers = {k: _pilot_solver(replace(p, scale=1 / weight), overview, share) for k, p in problems.items()}
        return solve(engine.answer, solvers)


def _pilot_solver(problem: Problem, overview: Overview, share: float) -> Solver:
    """Return Newton's method, until it gains less than ``share`` of the objective; L-BFGS where Hessians are costly."""
    oracle, w = problem.oracle(), problem.start
    if len(w) > FREE_HESSIANS and not problem.l1.any():
        scale = _diagonal(problem, overview)
        return with_hessian(oracle, lbfgs(oracle, w, tol=PILOT_TOL, max_iter=20, scale=scale))
    return newton(oracle, w, tol=1e-8, max_iter=25, l1=problem.l1, decrement=share)


def _hessian(result: Result) -> Array:
    if result.last.hess is None:
        raise TypeError("the pilot's solver asks for Hessians")
    return result.last.hess


def _diagonal(problem: Problem, overview: Overview) -> Array:
    """Return the Hessian's diagonal, roughly: the loss's curvature at the start times the mean squared features."""
    X, weight = overview.sample_X, overview.sample_weight
    squares = X.multiply(X) if sp.issparse(X) else X.astype(np.float64) ** 2
    second = np.append(weight @ squares, weight.sum()) / weight.sum()
    curvature = _curvature(problem, overview)
    whole = np.tile(second * curvature, problem.shape[0])[problem.free] + problem.l2
    return np.where(whole > 0, whole, 1.0)


def _curvature(problem: Problem, overview: Overview) -> float:
    """Return the mean curvature of the loss over the sample at a zero predictor."""
    if overview.sample_y is None:
        raise TypeError("a loss needs targets")
    read = problem.target.read(overview.sample_y, overview.sample_weight, np.dtype(np.float64))
    raw = np.zeros((problem.shape[0], len(overview.sample_weight)))
    if problem.log_floor is not None:
        raw[-1] = np.exp(problem.start[-1])
    curvature = problem.loss.terms(raw, read.y, 2).curvature
    first = curvature[0] if curvature is not None and curvature.ndim == 2 else curvature[0, 0]  # type: ignore[index]
    return max(float(np.average(np.abs(first), weights=overview.sample_weight)), 1e-3)
