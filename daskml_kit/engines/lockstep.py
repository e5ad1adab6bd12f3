"""Many fits on parts of the same rows, their questions answered in common passes."""

from __future__ import annotations

import pickle
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import fields, is_dataclass, replace
from functools import reduce
from typing import Any, NamedTuple, TypeVar

import numpy as np

from daskml_kit.engines.engine import Engine
from daskml_kit.engines.fibre import Asked, Fibre, Returned
from daskml_kit.engines.given import giving
from daskml_kit.engines.profile import Profile
from daskml_kit.queries.at import At, Eval, Within
from daskml_kit.queries.folded import PerFold, answer_for
from daskml_kit.queries.query import Query

Key = TypeVar("Key", bound=Hashable)


class Side(NamedTuple):
    """The rows whose id, in column ``column`` of the blocks' folds, is one of ``ids``; of ``n_ids`` in all."""

    column: int
    ids: tuple[int, ...]
    n_ids: int


class SideEngine(AbstractContextManager["SideEngine"]):
    """The engine that a fit on one side sees.

    Parameters
    ----------
    ask : callable
        Has a question answered for the side.
    n_blocks : int
    known : dict
        Where problems of this kind have ended before, by their key: a fit may start there, and leaves where it ended.
    """

    def __init__(self, ask: Callable[[Query], Any], n_blocks: int, known: dict[Hashable, Any]) -> None:
        self._ask = ask
        self.n_blocks = n_blocks
        self.known = known
        self.profile = Profile()

    def answer(self, query: Query) -> list[Any]:
        answers: list[Any] = self._ask(query)
        self.profile.add(0.0, 0)
        return answers

    def relabel(self, change: Callable[[Any], Any]) -> None:
        raise TypeError("the targets of a fit on a part of the rows cannot be changed: encode them before")

    def __exit__(self, *details: object) -> None:
        self.profile.stop()


class Fit(NamedTuple):
    """A fit to run: on which rows (by default all), and what it knows from others."""

    run: Callable[[], Any]
    side: Side | None
    known: dict[Hashable, Any]


class Lockstep:
    """Runs fits that open engines, all on one engine.

    Losses at coefficients (`At`) of all fits and sides become one question. Any other question is asked of the rows of
    each id apart, once: what it gives is kept, and makes the answer for every side.

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
        self._partials: dict[Hashable, list[Any]] = {}

    def side(self, column: int, ids: tuple[int, ...]) -> Side:
        return Side(column, ids, self.n_ids[column])

    def run(self, fits: Mapping[Key, Fit]) -> dict[Key, Returned]:
        """Run all fits to their ends; return what each returned, or raised."""
        ended: dict[Key, Returned] = {}
        asking: dict[Key, Query] = {}
        fibres: dict[Key, Fibre] = {}

        def advance(key: Key, reply: Any) -> None:
            news = fibres[key].advance(reply)
            while isinstance(news, Asked):
                if not self._is_known(news.question, fits[key].side):
                    asking[key] = news.question
                    return
                news = fibres[key].advance(self._recall(news.question, fits[key].side))
            asking.pop(key, None)
            ended[key] = news

        try:
            for key, fit in fits.items():
                fibres[key] = Fibre(self._opened(fit))
                advance(key, None)
            while asking:
                self._answer_all(dict(asking), fits, advance)
        finally:
            for fibre in fibres.values():
                fibre.stop()
        return {key: ended[key] for key in fits}

    def partials(self, query: Query, column: int) -> list[Any]:
        """Return the partial answers of a question for each id of a column; each question is asked once."""
        key = (identity(query), column)
        if key not in self._partials:
            (self._partials[key],) = self.engine.answer(PerFold(query, column, self.n_ids[column]))
        return self._partials[key]

    def recalled(self, query: Query, side: Side) -> Any:
        """Return the answer for a side to a question that some fit has asked; None where none has."""
        return self._recall(query, side)[0] if self._is_known(query, side) else None

    def _opened(self, fit: Fit) -> Callable[[Callable[[Any], Any]], Any]:
        n_blocks = self.engine.n_blocks * self.n_ids[_column(fit.side)]

        def run(ask: Callable[[Any], Any]) -> Any:
            with giving(SideEngine(ask, n_blocks, fit.known)):
                return fit.run()

        return run

    def _answer_all(
        self, asking: Mapping[Key, Query], fits: Mapping[Key, Fit], advance: Callable[[Key, Any], None]
    ) -> None:
        groups: dict[Hashable, list[Key]] = defaultdict(list)
        for key, query in asking.items():
            side = fits[key].side
            together = (query.alike(), side is None) if isinstance(query, At) else (identity(query), _column(side))
            groups[together].append(key)
        for keys in groups.values():
            first, *others = [asking[key] for key in keys]
            sides = [fits[key].side for key in keys]
            if isinstance(first, At):
                points = [first, *(query for query in others if isinstance(query, At))]
                answers = [[answer] for answer in self._answer_points(points, sides)]
            else:
                self.partials(first, _column(sides[0]))
                answers = [self._recall(first, side) for side in sides]
            for key, answer in zip(keys, answers, strict=True):
                advance(key, answer)

    def _answer_points(self, points: Sequence[At], sides: Sequence[Side | None]) -> list[Eval]:
        """Return value and slopes of each point on its side.

        Where many sides ask about the same points, as fits that start at one place do, the rows of each id are asked
        about each point once, and the sides are put together from these.
        """
        numbers: dict[bytes, int] = {}
        which = [numbers.setdefault(pickle.dumps(point), len(numbers)) for point in points]
        column = _column(sides[0])
        if sides[0] is None or len(numbers) > len(points) / 2 or any(_column(side) != column for side in sides):
            first, *others = [_within(point, side) for point, side in zip(points, sides, strict=True)]
            return self.engine.answer(first.fuse(others))
        first, *others = [points[which.index(number)] for number in range(len(numbers))]
        fused = first.fuse(others)
        (partials,) = self.engine.answer(PerFold(fused, column, self.n_ids[column]))
        totals = {
            side.ids: fused.split(reduce(fused.combine, [partials[i] for i in side.ids]))
            for side in dict.fromkeys(sides)
            if side is not None
        }
        return [totals[side.ids][number] for number, side in zip(which, sides, strict=True) if side is not None]

    def _is_known(self, query: Query, side: Side | None) -> bool:
        return (identity(query), _column(side)) in self._partials

    def _recall(self, query: Query, side: Side | None) -> list[Any]:
        column = _column(side)
        ids = range(self.n_ids[column]) if side is None else side.ids
        return [answer_for(query, self._partials[identity(query), column], tuple(ids))]


def identity(query: Query) -> Hashable:
    """Return what two questions that are the same have in common: their kind and their fields."""
    if is_dataclass(query) and not isinstance(query, At):
        key = (type(query), *(getattr(query, field.name) for field in fields(query)))
        try:
            hash(key)
        except TypeError:
            return id(query)
        return key
    return id(query)


def _within(query: At, side: Side | None) -> At:
    if side is None:
        return query
    return replace(query, within=Within(np.full(len(query.coef), side.column), (side.ids,) * len(query.coef)))


def _column(side: Side | None) -> int:
    return 0 if side is None else side.column
