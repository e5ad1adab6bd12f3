"""Many fits on parts of the same rows, their reductions answered in common passes."""

from __future__ import annotations

import pickle
from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import reduce
from itertools import accumulate, islice
from typing import Any, NamedTuple, TypeVar

from daskml_kit.engines.engine import Engine
from daskml_kit.engines.fibre import Asked, Fibre, Returned
from daskml_kit.engines.given import giving
from daskml_kit.engines.side import Side, SideEngine, within
from daskml_kit.reductions.loss import Eval, LossAt, Sums
from daskml_kit.reductions.per_fold import PerFold, answer_for
from daskml_kit.reductions.reduction import Reduction
from daskml_kit.reductions.summary import Summary

Key = TypeVar("Key", bound=Hashable)

FITS_AT_ONCE = 500
"""Fits, and so threads, that wait for a common pass."""
BYTES_AT_ONCE = 2**27
"""What these fits may hold in Hessians, of which some copies are made."""
BYTES_OF_POINTS = 2**24
"""What is remembered of the points that fits have been at."""
LARGEST_HESSIAN = 1200
"""Fits with more coefficients than this are taken not to have one."""


class Fit(NamedTuple):
    """A fit to run: on which rows (by default all), and what it knows from others."""

    run: Callable[[], Any]
    side: Side | None
    known: dict[Hashable, Any]


class Partials(NamedTuple):
    """The partial answers to a reduction for each id; the reduction is kept, as its identity may be its place."""

    reduction: Reduction
    of_ids: list[Any]


class Lockstep:
    """Runs fits that open engines, all on one engine.

    Losses at coefficients (`LossAt`) of all fits and sides become one reduction. Any other reduction is asked of the
    rows of each id apart, once: what it gives is kept, and makes the answer for every side.

    As many fits run at once as `FITS_AT_ONCE` and `BYTES_AT_ONCE` allow, those after them when they have ended.

    Parameters
    ----------
    engine : Engine
        Over blocks with folds.
    n_ids : sequence of int
        The number of ids in each column of the folds.
    weighted : bool
        Whether the rows have weights.
    """

    def __init__(self, engine: Engine, n_ids: Iterable[int], *, weighted: bool = False) -> None:
        self.engine = engine
        self.weighted = weighted
        self.n_ids = list(n_ids)
        self._partials: dict[Hashable, Partials] = {}
        self._memo: dict[tuple[int, bytes], list[Sums]] = {}
        self._shared: dict[Side | None, dict[Hashable, Any]] = defaultdict(dict)

    def side(self, column: int, ids: tuple[int, ...]) -> Side:
        return Side(column, ids, self.n_ids[column])

    def run(self, fits: Mapping[Key, Fit]) -> dict[Key, Returned]:
        """Run all fits to their ends; return what each returned, or raised."""
        ended: dict[Key, Returned] = {}
        asking: dict[Key, LossAt] = {}
        fibres: dict[Key, Fibre] = {}

        def advance(key: Key, reply: Any) -> None:
            news = fibres[key].advance(reply)
            while isinstance(news, Asked):
                if isinstance(news.reduction, LossAt):
                    asking[key] = news.reduction
                    return
                # at once: a fit that asks nothing else has gone, with its thread, when the next one starts
                news = fibres[key].advance([self.answer(news.reduction, fits[key].side)])
            asking.pop(key, None)
            ended[key] = news
            del fibres[key]

        waiting = deque(fits)
        try:
            while waiting:
                held = 0
                while waiting and len(asking) < FITS_AT_ONCE and held < BYTES_AT_ONCE:
                    key = waiting.popleft()
                    fibres[key] = Fibre(self._opened(fits[key]))
                    advance(key, None)
                    held += _held_bytes(asking[key]) if key in asking else 0
                while asking:
                    self._answer_all(dict(asking), fits, advance)
        finally:
            for fibre in fibres.values():
                fibre.stop()
        return {key: ended[key] for key in fits}

    def answer(self, reduction: Reduction, side: Side | None = None) -> Any:
        """Return the answer for a side, by default all rows, to a reduction that is no `LossAt`."""
        column, shared, key = _column(side), self._shared[side], identity(reduction)
        if key not in shared:
            ids = tuple(range(self.n_ids[column])) if side is None else side.ids
            partials = self.partials(reduction, column)
            if side is not None and isinstance(
                reduction, Summary
            ):  # its fits start elsewhere: few samples are held at once
                partials = [partial.thinned(self.n_ids[column]) for partial in partials]
            shared[key] = answer_for(reduction, partials, ids)
        return shared[key]

    def partials(self, reduction: Reduction, column: int) -> list[Any]:
        """Return the partial answers of a reduction for each id of a column; each reduction is asked once."""
        key = (identity(reduction), column)
        if key not in self._partials:
            (found,) = self.engine.answer(PerFold(reduction, column, self.n_ids[column]))
            self._partials[key] = Partials(reduction, found)
        return self._partials[key].of_ids

    def recalled(self, reduction: Reduction, side: Side) -> Any:
        """Return the answer for a side to a reduction that some fit has asked; None where none has."""
        return self.answer(reduction, side) if (identity(reduction), side.column) in self._partials else None

    def _opened(self, fit: Fit) -> Callable[[Callable[[Any], Any]], Any]:
        def run(ask: Callable[[Any], Any]) -> Any:
            with giving(SideEngine(ask, self.engine.n_blocks, fit.known, self._shared[fit.side])):
                return fit.run()

        return run

    def _answer_all(
        self, asking: Mapping[Key, LossAt], fits: Mapping[Key, Fit], advance: Callable[[Key, Any], None]
    ) -> None:
        groups: dict[Hashable, list[Key]] = defaultdict(list)
        for key, reduction in asking.items():
            groups[reduction.fusion_key(), fits[key].side is None].append(key)
        for keys in groups.values():
            answers = self._answer_points([asking[key] for key in keys], [fits[key].side for key in keys])
            for key, answer in zip(keys, answers, strict=True):
                advance(key, answer)

    def _answer_points(self, asked: Sequence[LossAt], sides: Sequence[Side | None]) -> list[list[Eval]]:
        """Return value and gradients at the points of each reduction on its side.

        Where many sides ask the same, as fits that start at one place do, the rows of each id are asked about each
        point once, and the sides are put together from these. So are all rows, and the fits that start where one on
        all rows has ended find their first answer there.
        """
        names = [pickle.dumps(reduction) for reduction in asked]
        distinct, column = dict(zip(names, asked, strict=True)), _column(sides[0])
        if sides[0] is None:
            apart = all(reduction.order < 2 for reduction in asked) and self._fits_memo(asked)
        else:
            apart = len(distinct) <= len(asked) / 2 and all(_column(side) == column for side in sides)
        if not apart:
            first, *others = [within(reduction, side) for reduction, side in zip(asked, sides, strict=True)]
            return _dealt(self.engine.answer(first.fuse(others)), asked)
        parts = self._points_of_ids(distinct, column)
        totals: dict[tuple[bytes, Side | None], list[Eval]] = {}
        for name, side in dict.fromkeys(zip(names, sides, strict=True)):
            ids = range(self.n_ids[column]) if side is None else side.ids
            reduction = distinct[name]
            totals[name, side] = reduction.finalize(reduce(reduction.combine, [parts[name][i] for i in ids]))
        return [totals[place] for place in zip(names, sides, strict=True)]

    def _points_of_ids(self, asked: Mapping[bytes, LossAt], column: int) -> dict[bytes, list[Sums]]:
        """Return the partial answers of each id to each reduction; those that are remembered are not asked again."""
        known = {name: self._memo[column, name] for name in asked if (column, name) in self._memo}
        new = {name: reduction for name, reduction in asked.items() if name not in known}
        if new:
            first, *others = new.values()
            (partials,) = self.engine.answer(PerFold(first.fuse(others), column, self.n_ids[column]))
            stops = accumulate(len(reduction.coef) for reduction in new.values())
            for (name, reduction), stop in zip(new.items(), stops, strict=True):
                known[name] = [partial.points(stop - len(reduction.coef), stop) for partial in partials]
            self._remember(
                {(column, name): known[name] for name, reduction in new.items() if self._fits_memo([reduction])}
            )
        return known

    def _remember(self, parts: Mapping[tuple[int, bytes], list[Sums]]) -> None:
        self._memo |= parts
        while sum(part.n_bytes for parts in self._memo.values() for part in parts) > BYTES_OF_POINTS:
            del self._memo[next(iter(self._memo))]

    def _fits_memo(self, asked: Sequence[LossAt]) -> bool:
        return sum(reduction.coef.nbytes for reduction in asked) * max(self.n_ids) <= BYTES_OF_POINTS / 2


def identity(reduction: Reduction) -> Hashable:
    """Return what two reductions that are the same have in common: their kind and their fields."""
    if is_dataclass(reduction) and not isinstance(reduction, LossAt):
        key = (type(reduction), *(getattr(reduction, field.name) for field in fields(reduction)))
        try:
            hash(key)
        except TypeError:
            return id(reduction)
        return key
    return id(reduction)


def _dealt(answers: Sequence[Eval], asked: Sequence[LossAt]) -> list[list[Eval]]:
    """Return the answers that each reduction gets, one a point."""
    waiting = iter(answers)
    return [list(islice(waiting, len(reduction.coef))) for reduction in asked]


def _held_bytes(reduction: LossAt) -> int:
    """Return roughly what a fit with these points holds: a Hessian, or with too many coefficients, some steps."""
    m, k, width = reduction.coef.shape
    return int(8 * m * k * width * min(k * width, LARGEST_HESSIAN))


def _column(side: Side | None) -> int:
    return 0 if side is None else side.column
