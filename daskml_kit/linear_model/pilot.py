"""What a sample of the rows tells before the first pass over all: a place to start, and a metric."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import NamedTuple, TypeVar

import numpy as np
import scipy.sparse as sp

from daskml_kit.block import Block
from daskml_kit.engines.engine import LocalEngine
from daskml_kit.linear_model.problem import Problem
from daskml_kit.queries.survey import Overview
from daskml_kit.solvers.drive import solve
from daskml_kit.solvers.lbfgs import lbfgs
from daskml_kit.solvers.newton import newton, with_hessian
from daskml_kit.solvers.result import Solver
from daskml_kit.typing import Array

SAMPLE_BYTES = 32 * 2**20
FREE_HESSIANS = 150
"""Beyond this many coefficients a pilot fit asks for its Hessian once, in the end."""
LOOSE = 1e-3
"""The slope at which a pilot fit by L-BFGS ends."""

Key = TypeVar("Key", bound=Hashable)


def sample_rows(n_features: int, n_coefficients: int) -> int:
    """Return how many rows a pilot fit wants: enough that its Hessian is within some percent of the whole."""
    wanted = min(max(20_000, 30 * n_coefficients), 60_000)
    return int(min(wanted, SAMPLE_BYTES // (8 * (n_features + 1))))


class Pilot(NamedTuple):
    """Where the fit of a sample ended, and the Hessian there."""

    w: Array
    hess: Array


def fit_sample(problems: Mapping[Key, Problem], overview: Overview) -> dict[Key, Pilot]:
    """Fit the sample of ``overview`` to about the accuracy that a sample of its size has."""
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
        solvers = {k: _solver(replace(p, scale=1 / weight), overview, share) for k, p in problems.items()}
        results = solve(engine.answer, solvers)
    return {key: Pilot(result.w, _known(result.last.hess)) for key, result in results.items()}


def _solver(problem: Problem, overview: Overview, share: float) -> Solver:
    """Return Newton's method, until it gains less than ``share`` of the objective; L-BFGS where Hessians are costly."""
    oracle, w = problem.oracle(), problem.start
    if len(w) > FREE_HESSIANS and not problem.l1.any():
        scale = diagonal(problem, overview)
        return with_hessian(oracle, lbfgs(oracle, w, tol=LOOSE, max_iter=20, scale=scale))
    return newton(oracle, w, tol=1e-8, max_iter=25, l1=problem.l1, decrement=share)


def diagonal(problem: Problem, overview: Overview) -> Array:
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


def _known(hess: Array | None) -> Array:
    if hess is None:
        raise TypeError("a pilot fit ends with a Hessian")
    return hess
