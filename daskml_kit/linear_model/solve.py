"""Choice of a solver, and the pilot fit on a sample of rows that most start from."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Hashable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
import scipy.sparse as sp

from daskml_kit.arguments import check_choice
from daskml_kit.data.block import Block
from daskml_kit.engines.engine import LocalEngine
from daskml_kit.numerics.arrow import Arrow, packed_size
from daskml_kit.numerics.linalg import solve_positive
from daskml_kit.numerics.losses import Squared, hessian_times
from daskml_kit.reductions.summary import DataSummary
from daskml_kit.solvers.active_newton import active_newton
from daskml_kit.solvers.fista import fista
from daskml_kit.solvers.kept_newton import kept_newton
from daskml_kit.solvers.lbfgs import lbfgs
from daskml_kit.solvers.newton import newton, quasi_newton, with_hessian
from daskml_kit.solvers.newton_cg import newton_cg
from daskml_kit.solvers.objective import Problem, from_center
from daskml_kit.solvers.row_space import row_space
from daskml_kit.solvers.run import lockstep, run
from daskml_kit.solvers.types import LikeFits, Result, Solver
from daskml_kit.typing import Array

FREE_HESSIANS = 150
"""Beyond this many coefficients a pilot fit asks for its Hessian once, in the end."""
LOOSE = 1e-3
"""The gradient at which a pilot fit by L-BFGS ends."""

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

    def is_of(self, problem: Problem) -> bool:
        """Return whether the problem has the same penalty, as far as that is known."""
        return self.ridge is None or np.array_equal(self.ridge, problem.l2)

    def metric(self, problem: Problem) -> Any:
        """Return the Hessian with the penalty of another problem."""
        if self.is_of(problem):
            return self.hess
        more = problem.l2 - self.ridge
        return self.hess.with_ridge(more) if isinstance(self.hess, Arrow) else self.hess + np.diag(more)


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
    with LocalEngine(blocks) as engine:
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


SOLVERS = ("auto", "lbfgs", "newton-cholesky", "fista")
OTHER_NAMES = {
    **dict.fromkeys(("newton-cg", "newton", "sag", "saga", "liblinear", "admm", "gradient_descent"), "auto"),
    "proximal_grad": "fista",
}
"""Solvers of scikit-learn and dask-ml, by names: they have the same minimum, which a solver here finds."""
DENSE_COEFFICIENTS = 1200
"""Up to this many coefficients a Hessian of the sample is made and factored; beyond, only its diagonal is used."""
CHEAP_HESSIANS = 300
"""Up to this many coefficients a Hessian of all rows is made, where the sample tells too little."""
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
ALIKE = 10.0
"""Coefficients whose curvatures differ by less are scaled alike by L-BFGS, which then stays in the span of the rows."""
MOST_USED = 0.8
"""Share of the columns of a wide sparse X, up to which a fit is in the coefficients of those with numbers only."""
FEW_OUTPUTS = 5
"""Up to so many outputs of one problem, whose pairs all have a Hessian, columns are chosen by an l1 norm."""
PATH = 3
"""Ends of fits with different penalties on the same rows, through which a curve tells where the next one starts."""
FEW_STEPS = 8
"""Up to so many steps in a metric, another fit takes it too, rather than compute its own."""
SHORT_ROW = 32
"""Up to so many stored numbers a row, as encoded categories have, a Hessian costs little more than a gradient."""


def minimize(
    problems: Mapping[Key, Problem],
    summary: DataSummary,
    *,
    solver: str,
    tol: float,
    max_iter: int,
    start: dict[Hashable, Pilot] | None = None,
    shared: dict[Hashable, Any] | None = None,
    merged: bool = False,
    tell: Callable[[str], None] | None = None,
) -> Generator[Any, Any, dict[Key, Result]]:
    """Solve problems over the same data in lock step.

    ``solver="auto"`` is quasi-Newton in the metric of a pilot fit on the sample of ``summary``; with few rows it is
    Newton, and with many sparse ones of which the sample tells too little, Newton that keeps Hessians. With many
    coefficients it is Newton by conjugate gradients on sparse rows, L-BFGS on dense ones, all scaled by the sample's
    diagonal, and of few sparse rows Newton in the space that these span; where there is an l1 norm, Newton in the
    active columns of sparse rows, and FISTA.
    Where ``start`` has solutions of like problems, it is quasi-Newton from there; it is given those found.
    ``shared`` is what fits on the same rows have in common. Equal rows of categories are taken as one where they are to
    be ``merged``. ``tell`` takes the name of the solver, and why it is it.
    """
    solver = OTHER_NAMES.get(solver, solver)
    if merged:
        problems = {key: replace(problem, merged=True) for key, problem in problems.items()}
    alone = start is None or (isinstance(start, LikeFits) and not start)
    if solver == "auto" and alone and _has_few_rows(problems, summary):
        few = _minimize_in_row_space(problems, summary, tol, max_iter)
        if few is not None:
            if tell is not None:
                tell(_describe("row-space", "rows are few", problems, summary))
            return few
    columns = _few_used(problems, summary) if alone else None
    if columns is not None:
        options = {"solver": solver, "tol": tol, "max_iter": max_iter, "tell": tell}
        return (yield from _minimize_used(problems, columns, summary, **options))
    reason = "as asked"
    span = _exclusive(problems, summary) if solver == "auto" else None
    if span is not None:
        problems = {key: _from_pilot(replace(p, exclusive=span), start, key) for key, p in problems.items()}
    center = _shared_means(summary, shared) if all(p.is_whole for p in problems.values()) else None
    if center is not None:
        problems = {key: problem.about(center) for key, problem in problems.items()}
    if solver == "auto":
        warm = start is not None and all(_fits(start.get(key), p, hess=True) for key, p in problems.items())
        if span is not None:
            solver, reason = "newton-cholesky", f"of columns {span[0]} to {span[1] - 1} no row has two"
        else:
            solver, reason = _choose(problems, summary)
        if solver == "newton-cholesky" and _keeps_hessians(problems, summary):
            solver = "kept-newton"
            if not (start and any(_fits(start.get(key), p) for key, p in problems.items())):
                problems = _from_sample(problems, summary)
        if warm and start is not None:
            cheap = span is None and solver != "pilot"  # Hessians, so that own ones pay
            if cheap and not all(start[key].is_of(p) for key, p in problems.items()):
                problems = {key: _from_pilot(p, start, key) for key, p in problems.items()}
            else:
                solver, reason = "known", "a like fit has ended near"
    if tell is not None:
        tell(_describe(solver, reason, problems, summary))
    if solver in ("known", "pilot"):
        pilots = fit_sample(problems, summary) if start is None or solver == "pilot" else start
        solvers: dict[Key, Solver] = {key: _known_metric(p, pilots[key], tol, max_iter) for key, p in problems.items()}
    else:
        solvers = {key: _single(solver, p, summary, tol, max_iter) for key, p in problems.items()}
    results = yield from lockstep(solvers)
    if isinstance(start, LikeFits):
        start.update({key: _end_of(result, problems[key], start.get(key)) for key, result in results.items()})
    elif start is not None:
        start.update({key: Pilot(r.w, r.last.hess, center) for key, r in results.items() if r.last.hess is not None})
    if center is not None:
        shapes = {key: problem.shape for key, problem in problems.items()}
        ends = {key: from_center(result.w.reshape(shapes[key]), center).ravel() for key, result in results.items()}
        results = {key: result._replace(w=ends[key]) for key, result in results.items()}
    return results


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
        if len(ridge) != k * (width - 1) or not (ridge[0] > 0 and (ridge == ridge[0]).all()):
            return False
        if width <= 2 * n_rows or problem.l1.any() or problem.l2[~features].any():
            return False
    return True


def _minimize_in_row_space(
    problems: Mapping[Key, Problem], summary: DataSummary, tol: float, max_iter: int
) -> dict[Key, Result] | None:
    """Solve problems by Newton's method in as many coordinates as there are rows, all of which are in memory."""
    space = row_space(summary.sample_X, min(p.l2[0] / p.scale for p in problems.values()))
    if space is None:
        return None
    inner = {key: space.problem(problem) for key, problem in problems.items()}
    with LocalEngine([Block(space.Z, summary.sample_y, summary.sample_weight)]) as engine:
        found = run(engine, {key: newton(p.oracle(), p.start, tol=tol, max_iter=max_iter) for key, p in inner.items()})
    whole = {key: space.leave(inner[key].unravel(result.w)).ravel() for key, result in found.items()}
    return {key: result._replace(w=whole[key][problems[key].free]) for key, result in found.items()}


def _minimize_used(
    problems: Mapping[Key, Problem], columns: Array, summary: DataSummary, **options: Any
) -> Generator[Any, Any, dict[Key, Result]]:
    """Solve problems in the coefficients of ``columns``, which rows have numbers in; others stay, or shrink to zero."""
    parts = {key: problem.of_columns(columns) for key, problem in problems.items()}
    smaller = {key: problem for key, (problem, _) in parts.items()}
    results = yield from minimize(smaller, summary._replace(used=np.ones(len(columns), bool)), **options)
    for key, result in results.items():
        whole = np.where(problems[key].l2 + problems[key].l1 > 0, 0.0, problems[key].start)
        whole[parts[key][1]] = result.w
        results[key] = result._replace(w=whole)
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
    return columns if len(columns) <= MOST_USED * len(summary.used) else None


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


def _from_pilot(problem: Problem, start: dict[Hashable, Pilot] | None, key: Hashable) -> Problem:
    """Return the problem as it starts where a like one has ended, if one has."""
    pilot = None if start is None else start.get(key)
    return problem if pilot is None or not _fits(pilot, problem) else replace(problem, start=pilot.start(problem))


def _keeps_hessians(problems: Mapping[Key, Problem], summary: DataSummary) -> bool:
    """Return whether the Hessian of one point serves for others: where it costs several gradients of many rows."""
    many = sp.issparse(summary.sample_X) and summary.n_rows >= 2 * len(summary.sample_weight)
    return many and not any(p.l1.any() or p.log_floor is not None for p in problems.values())


def _from_sample(problems: Mapping[Key, Problem], summary: DataSummary) -> dict[Key, Problem]:
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


def _known_metric(problem: Problem, pilot: Pilot, tol: float, max_iter: int) -> Solver:
    oracle, metric = problem.oracle(), pilot.metric(problem)
    if isinstance(metric, Arrow):
        return kept_newton(oracle, pilot.start(problem), tol=tol, max_iter=max_iter, hess=metric)
    return quasi_newton(oracle, pilot.start(problem), metric, tol=tol, max_iter=max_iter, l1=problem.l1)


def _end_of(result: Result, problem: Problem, before: Pilot | None) -> Pilot:
    """Return the end of a fit; the Hessian of an earlier one is kept as long as few steps are needed in it."""
    at = _log_strength(problem)
    path = () if before is None or before.center is not problem.center else before.path
    path = () if at is None else (*path, (at, result.w))[-PATH:]
    if result.last.hess is not None or before is None:
        return Pilot(result.w, result.last.hess, problem.center, problem.l2, path)
    known = before.hess if result.n_iter <= FEW_STEPS else None
    return before._replace(w=result.w, hess=known, path=path)


def _fits(pilot: Pilot | None, problem: Problem, *, hess: bool = False) -> bool:
    if hess and (pilot is None or pilot.hess is None):
        return False
    if pilot is None or len(pilot.w) != len(problem.free) or problem.log_floor is not None:
        return False
    if isinstance(pilot.hess, Arrow) and problem.exclusive is None:
        return False
    if pilot.center is None or problem.center is None:
        return pilot.center is problem.center
    return np.array_equal(pilot.center, problem.center)


def _single(solver: str, problem: Problem, summary: DataSummary, tol: float, max_iter: int) -> Solver:
    oracle, w = problem.oracle(), problem.start
    if solver == "newton-cholesky":
        return newton(oracle, w, tol=tol, max_iter=max_iter, l1=problem.l1)
    if solver == "kept-newton":
        return kept_newton(oracle, w, tol=tol, max_iter=max_iter)
    scale = diagonal(problem, summary)
    if solver == "active-newton":
        return _active_newton(problem, tol, max_iter, scale)
    if solver == "newton-cg":
        return newton_cg(oracle, w, tol=tol, max_iter=max_iter, scale=scale, ridge=problem.l2)
    if problem.l1.any():
        return fista(oracle, w, l1=problem.l1, tol=tol, max_iter=max_iter, scale=scale)
    return lbfgs(oracle, w, tol=tol, max_iter=max_iter, inverse=_inverse(problem, summary, scale))


def _inverse(problem: Problem, summary: DataSummary, diagonal: Array) -> Array:
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


def _active_newton(problem: Problem, tol: float, max_iter: int, scale: Array) -> Solver:
    """Go on by FISTA where too many coefficients are not zero."""
    result = yield from active_newton(problem, tol=tol, max_iter=max_iter)
    if result.converged or result.n_iter >= max_iter:
        return result
    left = max_iter - result.n_iter
    return (yield from fista(problem.oracle(), result.w, l1=problem.l1, tol=tol, max_iter=left, scale=scale))


def _choose(problems: Mapping[Key, Problem], summary: DataSummary) -> tuple[str, str]:
    """Return a solver, and why it is the one."""
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


def _describe(solver: str, reason: str, problems: Mapping[Key, Problem], summary: DataSummary) -> str:
    """Return what a user is told of the choice."""
    absolute = any(p.l1.any() for p in problems.values())
    name = "fista" if solver == "lbfgs" and absolute else NAMES.get(solver, solver)
    outputs, width = max(p.shape for p in problems.values())
    X = summary.sample_X
    stored = f"sparse ({X.nnz / max(X.shape[0], 1):.3g} numbers a row)" if sp.issparse(X) else "dense"
    shape = f"{summary.n_rows:,} {stored} rows, {width - 1:,} features, {outputs * len(problems)} outputs"
    equal = ""
    if any(p.merged for p in problems.values()) and summary.distinct is not None:
        equal = f"; equal rows are merged, which leaves about {summary.distinct:,.0f}"
    return f"{name}: {reason} ({shape}{equal})"


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
