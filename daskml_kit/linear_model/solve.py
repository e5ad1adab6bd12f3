"""Choice of a solver for problems of linear models."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import scipy.sparse as sp

from daskml_kit.activity import hidden
from daskml_kit.arguments import check_choice
from daskml_kit.data.block import Block
from daskml_kit.engines.engine import LocalEngine
from daskml_kit.linear_model.pilot import (
    CHEAP_HESSIANS,
    Pilot,
    diagonal,
    end_of,
    first_metric,
    fit_sample,
    from_sample,
    put,
)
from daskml_kit.numerics.arrow import Arrow, packed_size
from daskml_kit.numerics.csr import interned
from daskml_kit.numerics.losses import Squared
from daskml_kit.reductions.summary import DataSummary
from daskml_kit.solvers.active_newton import active_newton
from daskml_kit.solvers.fista import fista
from daskml_kit.solvers.kept_newton import kept_newton
from daskml_kit.solvers.lbfgs import lbfgs
from daskml_kit.solvers.newton import digits_of, newton, quasi_newton
from daskml_kit.solvers.newton_cg import newton_cg
from daskml_kit.solvers.objective import Problem, from_center
from daskml_kit.solvers.row_space import row_space
from daskml_kit.solvers.run import lockstep, run
from daskml_kit.solvers.types import LikeFits, Result, Solver
from daskml_kit.typing import Array

Key = TypeVar("Key", bound=Hashable)

SOLVERS = ("auto", "lbfgs", "newton-cholesky", "fista")
OTHER_NAMES = {
    **dict.fromkeys(("newton-cg", "newton", "sag", "saga", "liblinear", "admm", "gradient_descent"), "auto"),
    "proximal_grad": "fista",
}
"""Solvers of scikit-learn and dask-ml, by names: they have the same minimum, which a solver here finds."""
DENSE_COEFFICIENTS = 1200
"""Up to this many coefficients a Hessian of the sample is made and factored; beyond, only its diagonal is used."""
FEW_PRODUCTS = 2e9
"""Up to so many products a Hessian of all rows takes a fraction of a second."""
FAR = 10.0
"""Means that are so many standard deviations from zero are taken off the features inside of the solver."""
LARGEST_ARROW = 2**24
"""Numbers that the Hessian of a fit may take whose largest block is diagonal."""
FEW_ROWS = 1000
"""Up to so many sparse rows, of at least twice as many features, a fit is in the space that they span."""
MOST_IN_ROW_SPACE = 2500
"""Coordinates of all outputs in that space, up to which Hessians are factored."""
MOST_USED = 0.8
"""Share of the columns of a wide sparse X, up to which a fit is in the coefficients of those with numbers only."""
FEW_OUTPUTS = 5
"""Up to so many outputs of one problem, whose pairs all have a Hessian, columns are chosen by an l1 norm."""
SHORT_ROW = 32
"""Up to so many stored numbers a row, as encoded categories have, a Hessian costs little more than a gradient."""


class Options(NamedTuple):
    """Solver by its name here or "auto", when it ends, and how.

    Equal rows of categories are taken as one where they are to be ``merged``. ``tell`` takes the name of the solver
    that runs, and why it is it.
    """

    solver: str
    tol: float
    max_iter: int
    merged: bool
    tell: Callable[[str], None]


@dataclass(frozen=True)
class Plan(Generic[Key]):
    """Solver of problems as they are posed to it, why it is the one, and fits in whose metric it starts."""

    solver: str
    reason: str
    problems: Mapping[Key, Problem]
    pilots: Mapping[Key, Pilot] = field(default_factory=dict)


def minimize(
    problems: Mapping[Key, Problem],
    summary: DataSummary,
    options: Options,
    start: dict[Hashable, Pilot] | None = None,
    shared: dict[Hashable, Any] | None = None,
) -> Generator[Any, Any, dict[Key, Result]]:
    """Solve problems over the same data in lock step.

    The solver "auto" is quasi-Newton in the metric of a pilot fit on the sample of ``summary``; with few rows it is
    Newton, and with many sparse ones of which the sample tells too little, Newton that keeps Hessians. With many
    coefficients it is Newton by conjugate gradients on sparse rows, L-BFGS on dense ones, all scaled by the sample's
    diagonal, and of few sparse rows Newton in the space that these span; where there is an l1 norm, Newton in the
    active columns of sparse rows, and FISTA.
    Where ``start`` has solutions of like problems, it starts there, in their metric if that is known; it is given those
    found. ``shared`` is what fits on the same rows have in common.
    """
    alone = start is None or (isinstance(start, LikeFits) and not start)
    if alone and options.solver == "auto" and _has_few_rows(problems, summary):
        found = _minimize_in_row_space(problems, summary, options)
        if found is not None:
            options.tell(_describe(Plan("row-space", "rows are few", problems), summary))
            return found
    columns = _few_used(problems, summary)
    if columns is not None:
        return (yield from _minimize_used(problems, columns, summary, options, start))
    plan = _plan(_posed(problems, summary, options, shared), summary, options, start or {})
    options.tell(_describe(plan, summary))
    results = yield from lockstep(_solvers(plan, summary, options))
    if isinstance(start, LikeFits):
        start.update({key: end_of(result, plan.problems[key], start.get(key)) for key, result in results.items()})
    elif start is not None:
        start.update({key: Pilot(r.w, r.last.hess, plan.problems[key].center) for key, r in results.items()})
    return {key: _of_features(result, plan.problems[key]) for key, result in results.items()}


def _posed(
    problems: Mapping[Key, Problem], summary: DataSummary, options: Options, shared: dict[Hashable, Any] | None
) -> dict[Key, Problem]:
    """Return the problems as they are solved: with a diagonal block of the Hessian, or of features about far means."""
    span = _exclusive(problems, summary) if options.solver == "auto" else None
    posed = {key: replace(problem, exclusive=span, merged=options.merged) for key, problem in problems.items()}
    center = _shared_means(summary, shared) if all(p.is_whole for p in problems.values()) else None
    return posed if center is None else {key: problem.about(center) for key, problem in posed.items()}


def _plan(
    problems: Mapping[Key, Problem], summary: DataSummary, options: Options, start: Mapping[Hashable, Pilot]
) -> Plan[Key]:
    """Choose the solver, from what the data are and where like problems have ended."""
    if options.solver != "auto":
        return Plan(options.solver, "as asked", problems)
    ends = {key: start[key] for key, problem in problems.items() if key in start and start[key].serves(problem)}
    problems = _starting_at(ends, problems)
    solver, reason = _choose(problems, summary)
    if len(ends) == len(problems) and all(end.hess is not None for end in ends.values()):
        # own Hessians pay where they are cheap, and the penalty is another one
        cheap = solver == "newton-cholesky" and not any(p.exclusive for p in problems.values())
        if not cheap or all(end.is_of(problems[key]) for key, end in ends.items()):
            return Plan("known", "a like fit has ended near", problems, ends)
    if solver == "newton-cholesky" and _keeps_hessians(problems, summary):
        return Plan("kept-newton", reason, problems if ends else from_sample(problems, summary))
    pilots = fit_sample(problems, summary) if solver == "pilot" else {}
    return Plan(solver, reason, _starting_at(pilots, problems), pilots)


def _starting_at(ends: Mapping[Key, Pilot], problems: Mapping[Key, Problem]) -> dict[Key, Problem]:
    """Return the problems as they start where like ones have ended, as far as these are there."""
    return {
        key: replace(problem, start=ends[key].start(problem)) if key in ends else problem
        for key, problem in problems.items()
    }


def _solvers(plan: Plan[Key], summary: DataSummary, options: Options) -> dict[Key, Solver]:
    """Return the solver of each problem."""
    if plan.pilots:
        return {key: _in_metric(problem, plan.pilots[key], summary, options) for key, problem in plan.problems.items()}
    return {key: _single(plan.solver, problem, summary, options) for key, problem in plan.problems.items()}


def _ends(summary: DataSummary, options: Options) -> dict[str, Any]:
    """Return the arguments of solvers that tell when they end."""
    return {"tol": options.tol, "max_iter": options.max_iter, "digits": digits_of(summary.precision)}


def _of_features(result: Result, problem: Problem) -> Result:
    """Return a result in coefficients of the features as they are, where the problem is about their means."""
    if problem.center is None:
        return result
    return result._replace(w=from_center(result.w.reshape(problem.shape), problem.center).ravel())


def _has_few_rows(problems: Mapping[Key, Problem], summary: DataSummary) -> bool:
    """Return whether all of the few rows are in the sample, and ridges are the same for all of the many features."""
    n_rows = summary.n_rows
    if not (sp.issparse(summary.sample_X) and n_rows == len(summary.sample_weight) and n_rows <= FEW_ROWS):
        return False
    for problem in problems.values():
        k, width = problem.shape
        features = problem.free % width < width - 1
        ridge = problem.l2[features]
        if k * width <= DENSE_COEFFICIENTS or k * n_rows > MOST_IN_ROW_SPACE or problem.log_floor is not None:
            return False
        if problem.columns is not None:  # the sample has all
            return False
        if len(ridge) != k * (width - 1) or not (ridge[0] > 0 and (ridge == ridge[0]).all()):
            return False
        if width <= 2 * n_rows or problem.l1.any() or problem.l2[~features].any():
            return False
    return True


def _minimize_in_row_space(
    problems: Mapping[Key, Problem], summary: DataSummary, options: Options
) -> dict[Key, Result] | None:
    """Solve problems by Newton's method in as many coordinates as there are rows, all of which are in memory."""
    space = row_space(summary.sample_X, min(p.l2[0] / p.scale for p in problems.values()))
    if space is None:
        return None
    inner = {key: space.problem(problem) for key, problem in problems.items()}
    only = Block(space.Z, summary.sample_y, summary.sample_weight)
    with LocalEngine([only]) as engine, hidden("fitting in the space of the rows"):
        solvers = {key: newton(p.oracle(), p.start, **_ends(summary, options)) for key, p in inner.items()}
        found = run(engine, solvers)
    whole = {key: space.leave(inner[key].unravel(result.w)).ravel() for key, result in found.items()}
    return {key: result._replace(w=whole[key][problems[key].free]) for key, result in found.items()}


def _minimize_used(
    problems: Mapping[Key, Problem],
    columns: Array,
    summary: DataSummary,
    options: Options,
    start: dict[Hashable, Pilot] | None,
) -> Generator[Any, Any, dict[Key, Result]]:
    """Solve problems in the coefficients of ``columns``, which rows have numbers in; others stay, or shrink to zero."""
    parts = {key: problem.of_columns(columns) for key, problem in problems.items()}
    smaller = {key: problem for key, (problem, _) in parts.items()}
    inner: dict[Hashable, Pilot] | None = None
    if start is not None:
        inner = type(start)()
        inner.update(
            {k: start[k].taken(own) for k, (_, own) in parts.items() if k in start and start[k].serves(problems[k])}
        )
    results = yield from minimize(smaller, summary._replace(used=np.ones(len(columns), bool)), options, inner)
    for key, (_, own) in parts.items():
        rest = np.where(problems[key].l2 + problems[key].l1 > 0, 0.0, problems[key].start)
        results[key] = results[key]._replace(w=put(rest, own, results[key].w))
        if start is not None and inner is not None and key in inner:
            start[key] = inner[key].put(rest, own)
    return results


def _few_used(problems: Mapping[Key, Problem], summary: DataSummary) -> Array | None:
    """Return the columns that rows have numbers in, where others are many.

    What is left lies nearer together in memory, and is sent, added and stepped with in the place of all coefficients.
    """
    if summary.used is None or any(p.log_floor is not None for p in problems.values()):
        return None
    if summary.exclusive is not None and any(p.shape[0] == 1 for p in problems.values()):
        return None  # see `_exclusive`
    if max(len(p.free) for p in problems.values()) <= DENSE_COEFFICIENTS:
        return None
    columns = np.flatnonzero(summary.used)
    return interned(columns) if len(columns) <= MOST_USED * len(summary.used) else None


def _exclusive(problems: Mapping[Key, Problem], summary: DataSummary) -> tuple[int, int] | None:
    """Return a range of columns of which no row has two, where without these few enough are left for Newton's method.

    Such a range, a category of many levels, makes a diagonal block of the Hessian.
    """
    if summary.exclusive is None or any(p.l1.any() or not p.is_whole or p.shape[0] > 1 for p in problems.values()):
        return None
    if any(isinstance(p.loss, Squared) and not p.l2[:-1].all() for p in problems.values()):
        return None  # of several solutions that of least norm is wanted, which is found without a division of columns
    start, stop = (int(edge) for edge in summary.exclusive)
    size = max(len(p.free) for p in problems.values())
    left = size - (stop - start)
    few = left <= DENSE_COEFFICIENTS and packed_size(size, start, stop) <= LARGEST_ARROW
    return (start, stop) if few and size > DENSE_COEFFICIENTS else None


def _shared_means(summary: DataSummary, shared: dict[Hashable, Any] | None) -> Array | None:
    """Return the far means of a sample, which are looked for once."""
    if shared is None:
        return _far_means(summary)
    key = "far means", id(summary.sample_X)
    if key not in shared:
        shared[key] = summary.sample_X, _far_means(summary)  # the sample is kept, so that no other has its id
    center: Array | None = shared[key][1]
    return center


def _far_means(summary: DataSummary) -> Array | None:
    """Return the means of the sample, zeros where they are near; None where none is far."""
    X, weight = summary.sample_X, summary.sample_weight
    if sp.issparse(X) or not weight.sum() > 0:
        return None
    with np.errstate(all="ignore"):
        mean = np.average(X, axis=0, weights=weight).astype(np.float64)
        deviation = np.sqrt(np.average((X - mean) ** 2, axis=0, weights=weight))
    center = np.where(np.abs(mean) > FAR * deviation, mean, 0.0)
    return center if np.isfinite(center).all() and center.any() else None


def _keeps_hessians(problems: Mapping[Key, Problem], summary: DataSummary) -> bool:
    """Return whether the Hessian of one point serves for others: where it costs several gradients of many rows."""
    many = sp.issparse(summary.sample_X) and summary.n_rows >= 2 * len(summary.sample_weight)
    return many and not any(p.l1.any() or p.log_floor is not None for p in problems.values())


def _in_metric(problem: Problem, pilot: Pilot, summary: DataSummary, options: Options) -> Solver:
    oracle, metric, ends = problem.oracle(), pilot.metric(problem), _ends(summary, options)
    if isinstance(metric, Arrow):
        return kept_newton(oracle, problem.start, hess=metric, known=pilot.corrections(problem), **ends)
    return quasi_newton(oracle, problem.start, metric, l1=problem.l1, **ends)


def _single(solver: str, problem: Problem, summary: DataSummary, options: Options) -> Solver:
    oracle, w, ends = problem.oracle(), problem.start, _ends(summary, options)
    if solver == "newton-cholesky":
        return newton(oracle, w, l1=problem.l1, **ends)
    if solver == "kept-newton":
        return kept_newton(oracle, w, **ends)
    scale = diagonal(problem, summary)
    if solver == "active-newton":
        return _active_newton(problem, scale, ends)
    if solver == "newton-cg":
        return newton_cg(oracle, w, scale=scale, ridge=problem.l2, **ends)
    if problem.l1.any():
        return fista(oracle, w, l1=problem.l1, scale=scale, **ends)
    return lbfgs(oracle, w, inverse=first_metric(problem, summary, scale), **ends)


def _active_newton(problem: Problem, scale: Array, ends: dict[str, Any]) -> Solver:
    """Go on by FISTA where too many coefficients are not zero."""
    result = yield from active_newton(problem, **ends)
    if result.converged or result.n_iter >= ends["max_iter"]:
        return result
    left = {**ends, "max_iter": ends["max_iter"] - result.n_iter}
    return (yield from fista(problem.oracle(), result.w, l1=problem.l1, scale=scale, **left))


def _choose(problems: Mapping[Key, Problem], summary: DataSummary) -> tuple[str, str]:
    """Return a solver, and why it is the one."""
    span = next(iter(problems.values())).exclusive
    if span is not None:
        return "newton-cholesky", f"of columns {span[0]} to {span[1] - 1} no row has two"
    size, sampled = max(len(p.free) for p in problems.values()), len(summary.sample_weight)
    cheap = size <= (DENSE_COEFFICIENTS if _has_short_rows(summary.sample_X) else CHEAP_HESSIANS)
    tells = sampled >= 5 * size and _rarest(summary) >= 30
    if cheap and sp.issparse(summary.sample_X):
        # one-hot columns that the sample hardly has would take the place of one exact Hessian by many gradients
        tells = tells and _thinnest(summary) >= 10
    if size <= DENSE_COEFFICIENTS and tells and summary.n_rows >= 2 * sampled:
        return "pilot", f"{sampled:,} sampled rows tell the Hessian well"
    # first-order steps creep where features are collinear, or more than the rows, above all with an l1 norm
    few = size <= DENSE_COEFFICIENTS and summary.n_rows * size**2 <= FEW_PRODUCTS
    absolute = any(p.l1.any() for p in problems.values())
    if cheap or (few and (absolute or not sp.issparse(summary.sample_X))):
        return "newton-cholesky", "Hessians of all rows are cheap"
    many = "a Hessian of so many coefficients is too large"
    if not sp.issparse(summary.sample_X):
        return "lbfgs", many
    if not absolute:
        return "newton-cg", f"{many}, and products with it are cheap on sparse rows"
    if summary.used is None:
        return "lbfgs", f"{many}, and no column can be read alone"
    if max(p.shape[0] for p in problems.values()) > FEW_OUTPUTS:
        return "lbfgs", f"{many}, and so would be one of the active columns for so many outputs"
    return "active-newton", f"{many}, and an l1 norm leaves few of them"


NAMES = {
    "row-space": "Newton in the space of the rows",
    "known": "quasi-Newton",
    "pilot": "quasi-Newton from a fit of a sample",
    "kept-newton": "Newton with few Hessians, from a fit of a sample",
    "newton-cg": "Newton by conjugate gradients",
    "active-newton": "proximal Newton on active columns",
}


def _describe(plan: Plan[Key], summary: DataSummary) -> str:
    """Return what a user is told of the choice."""
    problems = plan.problems
    absolute = any(p.l1.any() for p in problems.values())
    name = "fista" if plan.solver == "lbfgs" and absolute else NAMES.get(plan.solver, plan.solver)
    outputs, width = max(p.shape for p in problems.values())
    X = summary.sample_X
    stored = f"sparse ({X.nnz / max(X.shape[0], 1):.3g} numbers a row)" if sp.issparse(X) else "dense"
    shape = f"{summary.n_rows:,} {stored} rows, {width - 1:,} features, {outputs * len(problems)} outputs"
    equal = ""
    if any(p.merged for p in problems.values()) and summary.distinct is not None:
        equal = f"; equal rows are merged, which leaves about {summary.distinct:,.0f}"
    return f"{name}: {plan.reason} ({shape}{equal})"


def _has_short_rows(X: Any) -> bool:
    return bool(sp.issparse(X) and X.nnz <= SHORT_ROW * X.shape[0])


def _thinnest(summary: DataSummary) -> int:
    """Return how many rows of the sparse sample the rarest feature has."""
    return int(np.bincount(summary.sample_X.indices, minlength=summary.sample_X.shape[1]).min(initial=0))


def _rarest(summary: DataSummary) -> float:
    """Return how many rows of the sample the rarest class has."""
    if summary.labels is None or summary.sample_y is None:
        return np.inf
    return float(min((summary.sample_y == label).sum() for label in summary.labels))


def check_solver(model: Any) -> None:
    """Raise unless the model's solver has a known name; warn of options for dask-ml's solvers, which are not used."""
    check_choice("solver", model.solver, (*SOLVERS, *OTHER_NAMES))
    options = getattr(model, "solver_kwargs", None)
    if options is not None and not isinstance(options, Mapping):
        raise ValueError(f"solver_kwargs: expected a dict or None, got {options!r}")
    if options:
        warnings.warn(
            f"solver_kwargs: not used, as no solver of dask-ml runs here, got {model.solver_kwargs!r}", stacklevel=4
        )
