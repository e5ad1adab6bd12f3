"""Lock-step driver of fits: the reductions that they yield at one time share a pass over the data."""

from __future__ import annotations

import pickle
from collections import defaultdict, deque
from collections.abc import Callable, Generator, Hashable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from functools import partial, reduce
from itertools import accumulate, chain, islice
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from sklearn.pipeline import Pipeline

from daskml_kit.numerics.arrow import packed_size
from daskml_kit.numerics.missing import NO_GAPS, Gaps
from daskml_kit.reductions.equal_rows import OfMergedRows
from daskml_kit.reductions.frames import Keeping, PerFold, Restricted, Through, answer_for
from daskml_kit.reductions.gram import Gram
from daskml_kit.reductions.linear_scores import LinearScores
from daskml_kit.reductions.loss import Eval, LossAt, Sums, Within
from daskml_kit.reductions.missing_counts import WithIndicators
from daskml_kit.reductions.nearest import Nearest
from daskml_kit.reductions.picked_rows import CountRows, PickedRows, RowCounts
from daskml_kit.reductions.reduction import Joint, Reduction
from daskml_kit.reductions.summary import Summary, position_of
from daskml_kit.solvers.types import Encode, Fit, Subset

Key = TypeVar("Key", bound=Hashable)

FITS_AT_ONCE = 500
"""Fits that wait for a common pass."""
BYTES_AT_ONCE = 2**27
"""Bytes that these fits may hold in Hessians, of which some copies are made."""
BYTES_OF_POINTS = 2**24
"""Bytes that are remembered of the points that fits have been at."""
LARGEST_HESSIAN = 1200
"""Coefficients beyond which a fit is taken not to hold a Hessian."""
Plan = tuple[list[Any], Callable[[list[list[Any]]], list[Any]]]
"""Reductions, and what makes of the answers of these those that are wanted."""
FEW_STEPS = 25
"""Vectors as long as the coefficients, steps for the most part, that such a fit holds."""
PLAIN = (type(None), bool, int, float, str, type, np.dtype)
PICKING = (Nearest, PickedRows)
"""Reductions that pick the rows of a subset themselves."""


class Source(Protocol):
    """An engine, as far as the driver uses it."""

    @property
    def row_counts(self) -> RowCounts | None: ...

    def answer(self, reduction: Any) -> list[Any]: ...

    def relabel(self, change: Callable[[Any], Any]) -> None: ...


class Returned(NamedTuple):
    """Value that a fit returned, or the exception that ended it."""

    value: Any
    error: Exception | None


def run(engine: Source, fits: Mapping[Key, Fit]) -> dict[Key, Any]:
    """Advance fits in lock step until each has returned, and return their values.

    Raises
    ------
    Exception
        The first that a fit raised.

    Examples
    --------
    >>> import numpy as np
    >>> from daskml_kit.data.block import Block
    >>> from daskml_kit.engines.engine import LocalEngine
    >>> def mean():
    ...     scatter = yield Gram()
    ...     return scatter.mean.tolist()
    >>> run(LocalEngine([Block(np.array([[1.0], [3.0]]))]), {"a": mean(), "b": mean()})
    {'a': [2.0], 'b': [2.0]}
    """
    ended = Driver(engine).run(fits)
    for returned in ended.values():
        if returned.error is not None:
            raise returned.error
    return {key: returned.value for key, returned in ended.items()}


def lockstep(fits: Mapping[Key, Fit]) -> Generator[tuple[Any, ...], tuple[Any, ...], dict[Key, Any]]:
    """Make one fit of many: each turn yields the reductions of all that have not ended.

    Examples
    --------
    >>> def ask(n):
    ...     for i in range(n):
    ...         print((yield f"reduction {i}"))
    >>> both = lockstep({"a": ask(1), "b": ask(2)})
    >>> next(both)
    ('reduction 0', 'reduction 0')
    >>> both.send(("yes", "no"))
    yes
    no
    ('reduction 1',)
    """
    ended: dict[Key, Any] = {}
    asking: dict[Key, Any] = {}
    replies: dict[Key, Any] = dict.fromkeys(fits)
    while replies:
        for key, reply in replies.items():
            try:
                asking[key] = fits[key].send(reply)
            except StopIteration as stop:
                ended[key] = stop.value
        answers = iter((yield tuple(chain.from_iterable(map(_parts, asking.values()))))) if asking else iter(())
        replies = {
            key: tuple(islice(answers, len(asked))) if isinstance(asked, tuple) else next(answers)
            for key, asked in asking.items()
        }
        asking = {}
    return {key: ended[key] for key in fits}


class Driver:
    """Runs fits on one engine, each on all rows or on a subset of them.

    All that fits ask for at one time is one pass. Losses at coefficients (`LossAt`) of all fits and subsets become one
    reduction, and so do assignments to `Nearest` centers. Reductions that are told apart by plain values only, such as
    `Gram`, are computed for the rows of each id apart, once: what that gives is kept, and makes the result of each
    subset.

    As many fits hold Hessians at once as `BYTES_AT_ONCE` allows, those after them when they have ended.

    Parameters
    ----------
    engine : Engine
    n_ids : sequence of int
        The number of ids in each column of the blocks' folds; empty where there are none.
    weighted : bool
        Whether the rows have weights.
    """

    def __init__(self, engine: Source, n_ids: Iterable[int] = (), *, weighted: bool = False) -> None:
        self.engine = engine
        self.weighted = weighted
        self.n_ids = list(n_ids)
        self.gaps: Gaps = NO_GAPS
        """Columns with missing values: products of features are then those of features with indicators."""
        self.counts: RowCounts | None = engine.row_counts
        """The rows of each block, as far as they are known before a pass."""
        self.shared: dict[Subset | None, dict[Hashable, Any]] = defaultdict(dict)
        self.keeping: Keeping | None = None
        """Where given, rows that a view transforms are kept between passes."""
        self._behind: dict[str, Driver] = {}
        self._partials: dict[Hashable, list[Any]] = {}
        self._answers: dict[Subset | None, dict[Hashable, Any]] = defaultdict(dict)
        self._memo: dict[tuple[int, bytes], list[Sums]] = {}

    def subset(self, column: int, ids: tuple[int, ...]) -> Subset:
        """Return the rows that have one of ``ids`` in a column of the folds."""
        return Subset(column, ids, self.n_ids[column])

    def run(self, fits: Mapping[Key, Fit], subsets: Mapping[Key, Subset | None] | None = None) -> dict[Key, Returned]:
        """Run all fits to their ends; return what each returned, or raised."""
        rows: dict[Key, Subset | None] = dict.fromkeys(fits)
        rows.update(subsets or {})
        ended: dict[Key, Returned] = {}
        asking: dict[Key, Any] = {}
        ready: deque[tuple[Key, Any]] = deque((key, None) for key in fits)
        while ready or asking:
            held = sum(_held_bytes(part) for asked in asking.values() for part in _parts(asked))
            while ready and not held and len(asking) < FITS_AT_ONCE:
                held = self._start(ready, fits, rows, asking, ended)
            if not asking:
                continue
            turn, asking = asking, {}
            answers = self._answer_all(turn, rows)
            waiting = []
            for key, asked in turn.items():
                if any(isinstance(_innermost(part), LossAt) for part in _parts(asked)):
                    self._advance(key, fits[key], answers[key], rows[key], asking, ended)
                else:
                    waiting.append((key, answers[key]))
            ready.extendleft(reversed(waiting))
        return {key: ended[key] for key in fits}

    def answer(self, reduction: Reduction, subset: Subset | None = None) -> Any:
        """Return the result of a reduction that is no `LossAt` over a subset, by default over all rows."""
        if self.recalled(reduction, subset) is None:
            self._keep_partials(reduction, subset)
        return self.recalled(reduction, subset)

    def ask(self, reductions: Sequence[Any]) -> list[list[Any]]:
        """Return the results of each reduction, all in one pass."""
        asked = [self._with_indicators(reduction) for reduction in reductions]
        if len(asked) == 1:
            return [self.engine.answer(asked[0])]
        return self.engine.answer(Joint(tuple(asked)))

    def _start(
        self,
        ready: deque[tuple[Key, Any]],
        fits: Mapping[Key, Fit],
        rows: Mapping[Key, Subset | None],
        asking: dict[Key, Any],
        ended: dict[Key, Returned],
    ) -> int:
        """Advance waiting fits until they hold `BYTES_AT_ONCE`; return the bytes that they hold."""
        held = 0
        while ready and len(asking) < FITS_AT_ONCE and held < BYTES_AT_ONCE:
            key, reply = ready.popleft()
            self._advance(key, fits[key], reply, rows[key], asking, ended)
            held += sum(map(_held_bytes, _parts(asking[key]))) if key in asking else 0
        return held

    def _advance(
        self,
        key: Key,
        fit: Fit,
        reply: Any,
        subset: Subset | None,
        asking: dict[Key, Any],
        ended: dict[Key, Returned],
    ) -> None:
        """Give a fit its reply, and go on as long as its reductions have been computed before."""
        try:
            while True:
                asked = fit.send(reply)
                if isinstance(asked, Encode):
                    if subset is not None:
                        raise TypeError("targets of a fit on some of the rows cannot be changed: encode them before")
                    self.engine.relabel(partial(position_of, asked.labels))
                    reply = None
                    continue
                known = [self.recalled(part, subset) for part in _parts(asked)]
                if any(answer is None for answer in known):
                    asking[key] = asked
                    return
                reply = tuple(known) if isinstance(asked, tuple) else known[0]
        except StopIteration as stop:
            ended[key] = Returned(stop.value, None)
        except Exception as error:
            ended[key] = Returned(None, error)

    def recalled(self, reduction: Any, subset: Subset | None) -> Any:
        """Return the result over a subset where some fit has asked for the reduction; None where none has."""
        if _shows(reduction):
            return self._driver_behind(reduction).recalled(reduction.reduction, subset)
        if subset is None and isinstance(reduction, CountRows):
            return self.counts
        name = identity(reduction) if self.n_ids else None
        if name is None:
            return None
        answers = self._answers[subset]
        if name not in answers:
            column = _column(subset)
            partials = self._partials.get((name, column))
            if partials is None:
                return None
            ids = tuple(range(self.n_ids[column])) if subset is None else subset.ids
            if subset is not None and isinstance(reduction, Summary):
                partials = reduction.for_subsets(partials, self.n_ids[column])
            answers[name] = answer_for(reduction, partials, ids)
        return answers[name]

    def _keep_partials(self, reduction: Reduction, subset: Subset | None) -> None:
        column = _column(subset)
        ((found,),) = self.ask([PerFold(reduction, column, self.n_ids[column])])
        self._partials[identity(reduction), column] = found

    def _answer_all(self, asking: Mapping[Key, Any], rows: Mapping[Key, Subset | None]) -> dict[Key, Any]:
        """Return the reply for each fit, by one pass for all."""
        places = [(key, part) for key, asked in asking.items() for part in _parts(asked)]
        reductions, finish = self._plan_all([part for _, part in places], [rows[key] for key, _ in places])
        replies = iter(finish(self.ask(reductions) if reductions else []))
        return {
            key: tuple(islice(replies, len(asked))) if isinstance(asked, tuple) else next(replies)
            for key, asked in asking.items()
        }

    def _plan_all(self, parts: Sequence[Any], subsets: Sequence[Subset | None]) -> Plan:
        """Return the reductions to compute for all parts, each on its subset, and what makes its answers of them."""
        groups: dict[Hashable, list[int]] = defaultdict(list)
        for at, (part, subset) in enumerate(zip(parts, subsets, strict=True)):
            groups[self._group(part, subset)].append(at)
        plans = [(own, *self._plan([parts[at] for at in own], [subsets[at] for at in own])) for own in groups.values()]

        def finish(given: list[list[Any]]) -> list[Any]:
            waiting, answers = iter(given), [None] * len(parts)
            for own, reductions, finish_own in plans:
                for at, answer in zip(own, finish_own([next(waiting) for _ in reductions]), strict=True):
                    answers[at] = answer
            return answers

        return [reduction for _, reductions, _ in plans for reduction in reductions], finish

    def _group(self, part: Any, subset: Subset | None) -> Hashable:
        """Return a key; reductions with the same are computed by one."""
        if _shows(part):
            return "through", part.name
        if isinstance(part, LossAt):
            return "points", part.fusion_key(), subset is None
        name = identity(part) if self.n_ids else None
        if name is not None:
            return "partials", name, _column(subset)
        fuses = subset is None or isinstance(part, PICKING)
        return ("fused", within(part, subset).fusion_key()) if fuses else ("within", subset)

    def _plan(self, parts: Sequence[Any], subsets: Sequence[Subset | None]) -> Plan:
        """Return the reductions to compute for a group, and the function of their results that gives its answers."""
        if _shows(parts[0]):
            return self._plan_shown(parts, subsets)
        if isinstance(parts[0], LossAt):
            return self._plan_points(parts, subsets)
        if self.n_ids and identity(parts[0]) is not None:
            column = _column(subsets[0])
            if (identity(parts[0]), column) in self._partials:
                return [], lambda _: [self.recalled(p, s) for p, s in zip(parts, subsets, strict=True)]

            def finish(given: list[list[Any]]) -> list[Any]:
                self._partials[identity(parts[0]), column] = given[0][0]
                return [self.recalled(part, subset) for part, subset in zip(parts, subsets, strict=True)]

            return [PerFold(parts[0], column, self.n_ids[column])], finish
        subset = subsets[0]
        if subset is not None and not isinstance(parts[0], PICKING):  # whose rows are picked once
            plan = self._plan_all(parts, [None] * len(parts))
            return _wrapped(plan, partial(Restricted, column=subset.column, ids=subset.ids))
        first, *others = [within(part, own) for part, own in zip(parts, subsets, strict=True)]
        return [first.fuse(others)], lambda given: given[0]

    def _plan_shown(self, parts: Sequence[Through], subsets: Sequence[Subset | None]) -> Plan:
        """Plan what is asked through one model, by which rows are transformed once."""
        plan = self._driver_behind(parts[0])._plan_all([part.reduction for part in parts], subsets)
        return _wrapped(plan, partial(_through, parts[0], self.keeping))

    def _driver_behind(self, part: Through) -> Driver:
        """Return the driver over the rows that a model shows, which remembers what is known of these."""
        if part.name not in self._behind:
            self._behind[part.name] = Driver(self.engine, self.n_ids, weighted=self.weighted)
            self._behind[part.name].counts = None  # what is stored of sparse rows is another number there
        return self._behind[part.name]

    def leave_views(self) -> None:
        """Forget what is known of rows that models show, where no fit will ask for it."""
        self._behind.clear()

    def _plan_points(self, asked: Sequence[LossAt], subsets: Sequence[Subset | None]) -> Plan:
        """Plan values and gradients at the points of each fit on its rows.

        Where many subsets ask for the same, as fits that start at one place do, the rows of each id are asked about
        each point once, and the subsets are put together from these. So are all rows, and the fits that start where
        one on all rows has ended find their first answer there.
        """
        column = _column(subsets[0])
        whole = subsets[0] is None
        # gradients of many coefficients, each for the rows of each id, take longer to add than to compute
        wide = any(reduction.coef[0].size > LARGEST_HESSIAN for reduction in asked)
        asks_again = bool(self.n_ids) and asked[0].along is None and not (whole and wide)
        names = [pickle.dumps(reduction) for reduction in asked] if asks_again else []
        distinct = dict(zip(names, asked, strict=False))
        if whole:
            apart = asks_again and all(reduction.order < 2 for reduction in asked) and self._fits_memo(asked)
        else:
            apart = asks_again and len(distinct) <= len(asked) / 2 and all(_column(s) == column for s in subsets)
        if not apart:
            first, *others = [within(part, subset) for part, subset in zip(asked, subsets, strict=True)]
            return [first.fuse(others)], lambda given: _dealt(given[0], asked)
        known = {name: self._memo[column, name] for name in distinct if (column, name) in self._memo}
        new = {name: part for name, part in distinct.items() if name not in known}
        first, *others = list(new.values()) or [asked[0]]
        reductions = [_points_by_fold(first.fuse(others), column, self.n_ids[column])] if new else []

        def finish(given: list[list[Any]]) -> list[Any]:
            parts = known | self._points_of_ids(new, given[0][0] if new else [], column)
            totals: dict[tuple[bytes, Subset | None], Any] = {}
            for name, subset in dict.fromkeys(zip(names, subsets, strict=True)):
                ids = range(self.n_ids[column]) if subset is None else subset.ids
                part = distinct[name]
                totals[name, subset] = _single(part.finalize(reduce(part.combine, [parts[name][i] for i in ids])))
            return [totals[place] for place in zip(names, subsets, strict=True)]

        return reductions, finish

    def _points_of_ids(
        self, new: Mapping[bytes, LossAt], partials: Sequence[Sums], column: int
    ) -> dict[bytes, list[Sums]]:
        """Return the partial results of each id at the points of each reduction, and remember them."""
        found = {}
        stops = accumulate(len(reduction.coef) for reduction in new.values())
        for (name, reduction), stop in zip(new.items(), stops, strict=True):
            found[name] = [part.points(stop - len(reduction.coef), stop) for part in partials]
        self._memo |= {(column, name): found[name] for name, part in new.items() if self._fits_memo([part])}
        while sum(part.n_bytes for parts in self._memo.values() for part in parts) > BYTES_OF_POINTS:
            del self._memo[next(iter(self._memo))]
        return found

    def _fits_memo(self, asked: Sequence[LossAt]) -> bool:
        return sum(reduction.coef.nbytes for reduction in asked) * max(self.n_ids) <= BYTES_OF_POINTS / 2

    def _with_indicators(self, reduction: Any) -> Any:
        """Return the reduction over features with indicators where a missing value would make its sums senseless."""
        inner = reduction.reduction if isinstance(reduction, PerFold) else reduction
        of_numbers = isinstance(inner, (LossAt, Gram, LinearScores))
        return WithIndicators(reduction, self.gaps) if of_numbers and len(self.gaps.columns) else reduction


def within(reduction: Any, subset: Subset | None) -> Any:
    """Return losses, nearest centers or picked rows of the rows of a subset, which fuse with those of others."""
    if subset is None:
        return reduction
    if isinstance(reduction, PICKING):
        return reduction.within(subset.column, subset.ids)
    n_points = len(reduction.coef)
    return replace(reduction, within=Within(np.full(n_points, subset.column), (subset.ids,) * n_points))


def _points_by_fold(reduction: LossAt, column: int, n_ids: int) -> Reduction:
    """Return the losses over the rows of each id; where equal rows are merged, they are before they are dealt out."""
    if not reduction.merged:
        return PerFold(reduction, column, n_ids)
    return OfMergedRows(PerFold(replace(reduction, merged=False), column, n_ids), reduction.powers)


def _wrapped(plan: Plan, wrap: Callable[[Any], Any]) -> Plan:
    """Return the plan of reductions over other rows, which ``wrap`` makes of all of them."""
    reductions, finish = plan
    if len(reductions) < 2:
        return [wrap(reduction) for reduction in reductions], finish
    return [wrap(Joint(tuple(reductions)))], lambda given: finish(given[0])


def _shows(reduction: Any) -> bool:
    """Return whether a reduction is over rows that a model with a name transforms."""
    return isinstance(reduction, Through) and bool(reduction.name)


def _through(first: Through, keeping: Keeping | None, reduction: Any) -> Through:
    """Return a reduction over transformed rows; models that follow each other become one."""
    model, name = first.model, first.name
    if isinstance(reduction, Through):
        model = Pipeline([("first", model), ("then", reduction.model)])
        name, reduction = f"{name} {reduction.name}", reduction.reduction
    return Through(reduction, model, name, keeping)


def _innermost(reduction: Any) -> Any:
    """Return what is asked behind all views."""
    while isinstance(reduction, Through):
        reduction = reduction.reduction
    return reduction


def identity(reduction: Any) -> Hashable:
    """Return what two reductions that are the same have in common: their kind and their plain fields.

    None where a field is not plain: such a reduction is not asked for twice.

    Examples
    --------
    >>> identity(Gram()) == identity(Gram())
    True
    """
    if not is_dataclass(reduction) or isinstance(reduction, LossAt):
        return None
    values = [getattr(reduction, field.name) for field in fields(reduction)]
    names = [value if isinstance(value, PLAIN) else identity(value) for value in values]
    if any(name is None and value is not None for name, value in zip(names, values, strict=True)):
        return None
    return (type(reduction), *names)


def _parts(asked: Any) -> tuple[Any, ...]:
    return asked if isinstance(asked, tuple) else (asked,)


def _single(answers: list[Eval]) -> Any:
    """Return the answer at one point, or a list of the answers at several."""
    return answers[0] if len(answers) == 1 else answers


def _dealt(answers: Sequence[Eval], asked: Sequence[LossAt]) -> list[Any]:
    """Return what each reduction gets of the answers, one a point."""
    waiting = iter(answers)
    return [_single(list(islice(waiting, len(reduction.coef)))) for reduction in asked]


def _held_bytes(part: Any) -> int:
    """Return roughly what a fit at these points holds: a Hessian, or with too many coefficients, some steps."""
    part = _innermost(part)
    if not isinstance(part, LossAt):
        return 0
    m, k, width = part.coef.shape
    if part.exclusive is not None:
        return 8 * int(m) * packed_size(width, *part.exclusive)
    size = k * width
    return int(8 * m * size * (size if size <= LARGEST_HESSIAN else FEW_STEPS))


def _column(subset: Subset | None) -> int:
    return 0 if subset is None else subset.column
