"""Many fits on parts of the same rows, their questions answered in common passes."""

from __future__ import annotations

import pickle
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import fields, is_dataclass, replace
from functools import reduce
from itertools import islice
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
        self.profile.passes += 1  # no pass of its own: whoever watches is not told
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


class Partials(NamedTuple):
    """The partial answers to a question for each id; the question is kept, as its identity may be its place."""

    query: Query
    of_ids: list[Any]


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
        self._partials: dict[Hashable, Partials] = {}

    def side(self, column: int, ids: tuple[int, ...]) -> Side:
        return Side(column, ids, self.n_ids[column])

    def run(self, fits: Mapping[Key, Fit]) -> dict[Key, Returned]:
        """Run all fits to their ends; return what each returned, or raised."""
        ended: dict[Key, Returned] = {}
        asking: dict[Key, At] = {}
        fibres: dict[Key, Fibre] = {}

        def advance(key: Key, reply: Any) -> None:
            news = fibres[key].advance(reply)
            while isinstance(news, Asked):
                if isinstance(news.question, At):
                    asking[key] = news.question
                    return
                # at once: a fit that asks nothing else has gone, with its thread, when the next one starts
                news = fibres[key].advance([self._answer(news.question, fits[key].side)])
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
            (found,) = self.engine.answer(PerFold(query, column, self.n_ids[column]))
            self._partials[key] = Partials(query, found)
        return self._partials[key].of_ids

    def recalled(self, query: Query, side: Side) -> Any:
        """Return the answer for a side to a question that some fit has asked; None where none has."""
        return self._answer(query, side) if (identity(query), side.column) in self._partials else None

    def _opened(self, fit: Fit) -> Callable[[Callable[[Any], Any]], Any]:
        n_blocks = self.engine.n_blocks * self.n_ids[_column(fit.side)]

        def run(ask: Callable[[Any], Any]) -> Any:
            with giving(SideEngine(ask, n_blocks, fit.known)):
                return fit.run()

        return run

    def _answer_all(
        self, asking: Mapping[Key, At], fits: Mapping[Key, Fit], advance: Callable[[Key, Any], None]
    ) -> None:
        groups: dict[Hashable, list[Key]] = defaultdict(list)
        for key, query in asking.items():
            groups[query.alike(), fits[key].side is None].append(key)
        for keys in groups.values():
            answers = self._answer_points([asking[key] for key in keys], [fits[key].side for key in keys])
            for key, answer in zip(keys, answers, strict=True):
                advance(key, answer)

    def _answer_points(self, asked: Sequence[At], sides: Sequence[Side | None]) -> list[list[Eval]]:
        """Return value and slopes at the points of each question on its side.

        Where many sides ask the same, as fits that start at one place do, the rows of each id are asked about each
        point once, and the sides are put together from these.
        """
        numbers: dict[bytes, int] = {}
        which = [numbers.setdefault(pickle.dumps(query), len(numbers)) for query in asked]
        column = _column(sides[0])
        if sides[0] is None or len(numbers) > len(asked) / 2 or any(_column(side) != column for side in sides):
            first, *others = [_within(query, side) for query, side in zip(asked, sides, strict=True)]
            return _dealt(self.engine.answer(first.fuse(others)), asked)
        distinct = [asked[which.index(number)] for number in range(len(numbers))]
        fused = distinct[0].fuse(distinct[1:])
        (partials,) = self.engine.answer(PerFold(fused, column, self.n_ids[column]))
        totals = {
            side.ids: _dealt(fused.split(reduce(fused.combine, [partials[i] for i in side.ids])), distinct)
            for side in dict.fromkeys(sides)
            if side is not None
        }
        return [totals[side.ids][number] for number, side in zip(which, sides, strict=True) if side is not None]

    def _answer(self, query: Query, side: Side | None) -> Any:
        column = _column(side)
        ids = range(self.n_ids[column]) if side is None else side.ids
        return answer_for(query, self.partials(query, column), tuple(ids))


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


def _dealt(answers: Sequence[Eval], asked: Sequence[At]) -> list[list[Eval]]:
    """Return the answers that each question gets, one a point."""
    waiting = iter(answers)
    return [list(islice(waiting, len(query.coef))) for query in asked]


def _column(side: Side | None) -> int:
    return 0 if side is None else side.column
