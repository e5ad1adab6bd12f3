"""The engine protocol, and the engine that answers with threads of this process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, Protocol, Self

import numpy as np

from daskml_kit.activity import note_pass
from daskml_kit.data.block import Block
from daskml_kit.data.collections import Lazy, Place
from daskml_kit.engines.block_cache import make_cache
from daskml_kit.engines.runtime import computing
from daskml_kit.numerics.csr import remembering_columns
from daskml_kit.progress_bar import advance, progress_bar
from daskml_kit.reductions.picked_rows import CountRows, RowCounts
from daskml_kit.reductions.reduction import Node, Reduction, Tree
from daskml_kit.representation import as_html, as_line, short

_watchers: ContextVar[tuple[Callable[[Profile], None], ...]] = ContextVar("watchers", default=())


@contextmanager
def watching(watcher: Callable[[Profile], None]) -> Iterator[None]:
    """Call a function after each pass of this thread's fits, for progress displays.

    Parameters
    ----------
    watcher : callable
        Takes the `Profile` of the engine.

    Yields
    ------
    None
        While the context is open, passes are told.

    Examples
    --------
    >>> import numpy as np
    >>> from daskml_kit.linear_model import Ridge
    >>> with watching(lambda profile: print(profile.passes, "pass")):
    ...     model = Ridge().fit(np.eye(2), [1.0, 2.0])
    1 pass
    """
    token = _watchers.set((*_watchers.get(), watcher))
    try:
        yield
    finally:
        _watchers.reset(token)


@contextmanager
def showing_passes(stage: str) -> Iterator[None]:
    """Show a bar of the passes of this thread's fits inside."""
    with progress_bar(stage, "pass") as bar, watching(lambda profile: _show(bar, profile)):
        yield


def _show(bar: Any, profile: Profile) -> None:
    advance(bar, profile.passes, tasks=profile.tasks, where=profile.where)


@dataclass(repr=False)
class Profile:
    """Work of an engine: passes, the seconds they took, and the seconds its threads computed.

    Parameters
    ----------
    n_threads : int, default 1
        Threads of the engine, on all its workers together.
    passes : int, default 0
    tasks : int, default 0
        Tasks of all passes.
    computing : float, default 0.0
        Seconds that the threads computed, together.
    seconds : float, default 0.0
        Seconds from the opening of the engine to its closing.
    started : float
        Clock of the opening, of `time.perf_counter`.
    solver : str, default ""
        Solver of a linear model, and why it was chosen; "" where there is no choice.
    where : str, default "in threads of this process"
        Where the passes are computed, and how many megabytes were fetched from a cluster for that.

    See Also
    --------
    watching : Calls a function after each pass.

    Examples
    --------
    >>> Profile(n_threads=2, passes=1, computing=1.5, seconds=1.0).overhead()
    0.25
    """

    n_threads: int = 1
    passes: int = 0
    tasks: int = 0
    computing: float = 0.0
    seconds: float = 0.0
    started: float = field(default_factory=time.perf_counter)
    solver: str = ""
    where: str = "in threads of this process"

    def __repr__(self) -> str:
        return as_line("Profile", self._facts())

    def _repr_html_(self) -> str:
        return as_html("Profile of a fit", self._facts())

    def _facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = {"passes": self.passes, "tasks": self.tasks, "seconds": short(self.elapsed())}
        facts |= {"threads": self.n_threads}
        facts |= {"overhead": f"{self.overhead():.0%}", "where": self.where}
        return facts | ({"solver": self.solver} if self.solver else {})

    def add(self, computing: float, tasks: int) -> None:
        """Count one pass.

        Parameters
        ----------
        computing : float
            Seconds that its threads computed, together.
        tasks : int
            Number of its tasks.
        """
        self.passes += 1
        self.tasks += tasks
        self.computing += computing
        note_pass(self)
        for watcher in _watchers.get():
            watcher(self)

    def stop(self) -> None:
        """Take the time at which the engine closes."""
        self.seconds = time.perf_counter() - self.started

    def overhead(self) -> float:
        """Return the share of the engine's threads' time, so far, that was not spent computing, from 0 to 1.

        Returns
        -------
        float
            0 where all threads computed all the time.
        """
        capacity = self.elapsed() * self.n_threads
        return max(0.0, 1.0 - self.computing / capacity) if capacity else 0.0

    def elapsed(self) -> float:
        """Return the seconds since the engine was opened, up to its closing.

        Returns
        -------
        float
            Seconds.
        """
        return self.seconds or time.perf_counter() - self.started


INLINE_ELEMENTS = 50_000
SUBMISSIONS = 16
"""The runs of blocks that each thread is given in a pass, where there are more blocks: one costs as much as a block."""


class Engine(Protocol):
    """Answers reductions, each in exactly one pass over the data."""

    n_blocks: int

    @property
    def streams(self) -> bool:
        """Return whether each pass computes or reads the blocks anew."""

    @property
    def row_counts(self) -> RowCounts | None:
        """Return the rows of each block where they are known without a pass."""

    @property
    def profile(self) -> Profile:
        """Passes and seconds of the engine so far."""

    def answer(self, reduction: Reduction) -> list[Any]:
        """Return one answer for each reduction fused in ``reduction``."""

    def relabel(self, change: Callable[[Any], Any]) -> None:
        """Replace the targets of every block by ``change`` of them, where they lie."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *details: object) -> None: ...


class LocalEngine(AbstractContextManager["LocalEngine"]):
    """Threads over blocks in memory, or over blocks that are loaded anew in each pass.

    Parameters
    ----------
    blocks : sequence of Block or Lazy
    n_threads : int, optional
        By default one a processor that this process may use.
    cache : float, optional
        What a cache of the loaded blocks may take, see `cache_limit`; by default there is none.
    """

    def __init__(
        self, blocks: Sequence[Block | Lazy], n_threads: int | None = None, cache: float | None = None
    ) -> None:
        self.blocks = list(blocks)
        self.n_blocks = len(self.blocks)
        elements = sum(np.prod(b.X.shape) if isinstance(b, Block) else np.inf for b in self.blocks)
        wanted = n_threads or available_threads()
        self.profile = Profile(n_threads=1 if elements < INLINE_ELEMENTS else max(1, min(wanted, self.n_blocks)))
        self.change: Callable[[Any], Any] | None = None
        self._cache = None if cache is None else make_cache(cache)
        self._pool = ThreadPoolExecutor(self.profile.n_threads, "daskml-kit") if self.profile.n_threads > 1 else None
        self._stack = ExitStack()
        self._stack.enter_context(remembering_columns([b.X for b in self.blocks if isinstance(b, Block)]))

    @property
    def streams(self) -> bool:
        return any(isinstance(block, Lazy) for block in self.blocks)

    @property
    def row_counts(self) -> RowCounts | None:
        blocks = [block for block in self.blocks if isinstance(block, Block)]
        if len(blocks) < self.n_blocks:
            return counts_of_places([block.place for block in self.blocks if isinstance(block, Lazy)], self.n_blocks)
        return reduce(CountRows().combine, map(CountRows().chunk, blocks))

    def answer(self, reduction: Reduction) -> list[Any]:
        """Answer ``reduction`` by one pass.

        A partial is combined as soon as its sibling in the tree is there, so that the memory of a pass holds few.
        """
        spent = 0.0
        tree = Tree(reduction, self.n_blocks)
        length = run_length(self.n_blocks, SUBMISSIONS * self.profile.n_threads)
        starts = range(0, self.n_blocks, length)
        apply = self._pool.map if self._pool else map
        with computing():  # also where one thread works: BLAS's own split of the sums would change their bits
            for nodes, seconds in apply(lambda start: self._answer_run(reduction, start, start + length), starts):
                spent += seconds
                for node in nodes:
                    tree.add(node)
        self.profile.add(spent, self.n_blocks)
        return reduction.finalize(tree.nodes()[0].partial)

    def relabel(self, change: Callable[[Any], Any]) -> None:
        self.change = change
        self.blocks = [b if isinstance(b, Lazy) else b._replace(y=change(b.y)) for b in self.blocks]

    def block(self, position: int) -> Block:
        """Return a block, loaded where it is lazy."""
        source = self.blocks[position]
        if isinstance(source, Block):
            return source
        return load(source, self.change) if self._cache is None else self._cache.load(source, self.change)

    def __exit__(self, *details: object) -> None:
        self.profile.stop()
        if self._pool:
            self._pool.shutdown(cancel_futures=True)
        if self._cache:
            self._cache.close()
        self._stack.close()

    def _answer_run(self, reduction: Reduction, start: int, stop: int) -> tuple[list[Node], float]:
        started = time.perf_counter()
        tree = Tree(reduction, self.n_blocks)
        for position in range(start, min(stop, self.n_blocks)):
            tree.add(Node(0, position, chunk_of(reduction, self.block(position))))
        return tree.nodes(), time.perf_counter() - started


def counts_of_places(places: Sequence[Place], n_blocks: int) -> RowCounts | None:
    """Return the rows of ``n_blocks`` blocks by their places; None where those of one are not known."""
    lengths = {place.index: place.n_rows for place in places if place.n_rows is not None}
    return RowCounts(lengths) if len(lengths) == n_blocks else None


def chunk_of(reduction: Reduction, block: Block) -> Any:
    """Return the reduction's partial answer of a block; an error about a merged block names the caller's own block."""
    try:
        return reduction.chunk(block)
    except (TypeError, ValueError):
        for own in block.unmerged():
            reduction.chunk(own)  # raises what names the block and the row as the caller knows them
        raise


def run_length(n_blocks: int, n_runs: int) -> int:
    """Return a power of two of blocks, a subtree of the reduction tree, so that there are about ``n_runs`` runs.

    Examples
    --------
    >>> run_length(4096, 32), run_length(100, 32), run_length(3, 32)
    (128, 2, 1)
    """
    return 1 << max(n_blocks // n_runs, 1).bit_length() - 1


def load(source: Lazy, change: Callable[[Any], Any] | None) -> Block:
    """Compute a block from its graph, its targets changed by ``change``."""
    block = source.load()
    return block if change is None else block._replace(y=change(block.y))


def available_threads() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
