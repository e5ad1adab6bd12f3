"""The choice of a solver."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

import numpy as np
import scipy.sparse as sp

from daskml_kit.engines.engine import Engine
from daskml_kit.linear_model.pilot import Pilot, diagonal, fit_sample
from daskml_kit.linear_model.problem import Problem
from daskml_kit.queries.survey import Overview
from daskml_kit.solvers.drive import solve
from daskml_kit.solvers.fista import fista
from daskml_kit.solvers.lbfgs import lbfgs
from daskml_kit.solvers.newton import newton, quasi_newton
from daskml_kit.solvers.result import Result, Solver

SOLVERS = ("auto", "lbfgs", "newton-cholesky", "fista")
DENSE_COEFFICIENTS = 1200
"""Up to this many coefficients a Hessian of the sample is made and factored; beyond, only its diagonal is used."""
CHEAP_HESSIANS = 300
"""Up to this many coefficients a Hessian of all rows is made, where the sample tells too little."""

Key = TypeVar("Key", bound=Hashable)


def minimise(
    engine: Engine, problems: Mapping[Key, Problem], overview: Overview, *, solver: str, tol: float, max_iter: int
) -> dict[Key, Result]:
    """Solve problems over the same data in lock step.

    ``solver="auto"`` is quasi-Newton in the metric of a pilot fit on the sample of ``overview``; with few rows it is
    Newton, and with many coefficients L-BFGS, or FISTA where there is an l1 norm, scaled by the sample's diagonal.
    Where the engine knows how like problems ended, it is quasi-Newton from there.
    """
    known: dict[Hashable, Pilot] | None = getattr(engine, "known", None)
    if solver == "auto":
        warm = known is not None and all(_fits(known.get(key), p) for key, p in problems.items())
        solver = "known" if warm else _choose(problems, overview)
    if solver in ("known", "pilot"):
        pilots = fit_sample(problems, overview) if known is None or solver == "pilot" else known
        solvers: dict[Key, Solver] = {
            key: quasi_newton(p.oracle(), *pilots[key], tol=tol, max_iter=max_iter, l1=p.l1)
            for key, p in problems.items()
        }
    else:
        solvers = {key: _single(solver, p, overview, tol, max_iter) for key, p in problems.items()}
    results = solve(engine.answer, solvers)
    if known is not None:
        known.update({key: Pilot(r.w, r.last.hess) for key, r in results.items() if r.last.hess is not None})
    return results


def _fits(pilot: Pilot | None, problem: Problem) -> bool:
    return pilot is not None and len(pilot.w) == len(problem.free) and problem.log_floor is None


def _single(solver: str, problem: Problem, overview: Overview, tol: float, max_iter: int) -> Solver:
    oracle, w = problem.oracle(), problem.start
    if solver == "newton-cholesky":
        return newton(oracle, w, tol=tol, max_iter=max_iter, l1=problem.l1)
    scale = diagonal(problem, overview)
    if problem.l1.any():
        return fista(oracle, w, l1=problem.l1, tol=tol, max_iter=max_iter, scale=scale)
    return lbfgs(oracle, w, tol=tol, max_iter=max_iter, scale=scale)


def _choose(problems: Mapping[Key, Problem], overview: Overview) -> str:
    size, sampled = max(len(p.free) for p in problems.values()), len(overview.sample_weight)
    cheap = size <= CHEAP_HESSIANS
    tells = sampled >= 5 * size and _rarest(overview) >= 30
    if cheap and sp.issparse(overview.sample_X):
        # one-hot columns that the sample hardly has would take the place of one exact Hessian by many gradients
        tells = tells and _thinnest(overview) >= 10
    if size <= DENSE_COEFFICIENTS and tells and overview.n_rows >= 2 * sampled:
        return "pilot"
    return "newton-cholesky" if cheap else "lbfgs"


def _thinnest(overview: Overview) -> int:
    """Return how many rows of the sparse sample the rarest feature has."""
    return int(np.bincount(overview.sample_X.indices, minlength=overview.sample_X.shape[1]).min(initial=0))


def _rarest(overview: Overview) -> float:
    """Return how many rows of the sample the rarest class has."""
    if overview.labels is None or overview.sample_y is None:
        return np.inf
    return float(min((overview.sample_y == label).sum() for label in overview.labels))
