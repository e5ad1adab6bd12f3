"""The protocol of a reduction about the data, and its reduction in a fixed tree."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol, Self

from daskml_kit.data.block import Block


class Reduction(Protocol):
    """A reduction about the data that one pass over its blocks answers.

    ``chunk`` runs where a block lies, and is pure; ``combine`` is associative and numerically stable;
    ``split`` gives one answer for each reduction that was fused. ``answer_type`` is the named tuple that an answer is,
    None where it is a bare array.
    """

    @property
    def answer_type(self) -> Callable[..., Any] | None:
        """Type of the answer, built from its named fields."""

    def fusion_key(self) -> Hashable:
        """Return a key; reductions with equal keys may be fused."""

    def fuse(self, others: Sequence[Self]) -> Self:
        """Return the reduction that asks this one and ``others`` in one pass."""

    def chunk(self, block: Block) -> Any:
        """Return the partial answer of one block."""

    def combine(self, a: Any, b: Any) -> Any:
        """Return the partial answer of two runs of blocks, ``a`` before ``b``."""

    def finalize(self, total: Any) -> list[Any]:
        """Return the answers, one for each fused reduction."""


class SingleReduction:
    """Mixin of a reduction that never fuses with another; its answer is a bare array unless it says otherwise."""

    answer_type: ClassVar[Callable[..., Any] | None] = None

    def fusion_key(self) -> Hashable:
        return id(self)

    def fuse(self, others: Sequence[Self]) -> Self:
        if others:
            raise TypeError(f"{type(self).__name__} does not fuse")
        return self

    def finalize(self, total: Any) -> list[Any]:
        return [total]


@dataclass(frozen=True, eq=False)
class Delegate(SingleReduction):
    """Ask ``reduction`` about what `view` makes of each block."""

    reduction: Reduction

    def view(self, block: Block) -> Block:
        raise NotImplementedError

    def chunk(self, block: Block) -> Any:
        return self.reduction.chunk(self.view(block))

    def combine(self, a: Any, b: Any) -> Any:
        return self.reduction.combine(a, b)

    def finalize(self, total: Any) -> list[Any]:
        return self.reduction.finalize(total)


class Node(NamedTuple):
    """The combined partial of the blocks ``position * 2**level`` up to the next position's first."""

    level: int
    position: int
    partial: Any


class Tree:
    """Binary reduction tree over ``n_blocks`` block positions that combines two siblings as soon as both are there.

    It depends on the number of blocks alone, so the same blocks give the same bits however they are shared out, and in
    whatever order they come. A block costs a constant number of steps on the average; of blocks that come in order at
    most ``log2(n_blocks)`` partials are held.

    Parameters
    ----------
    reduction : Reduction
        Its ``combine`` joins two siblings, the left one first.
    n_blocks : int

    Examples
    --------
    >>> class Sum(SingleReduction):
    ...     def combine(self, a, b): return a + b
    >>> tree = Tree(Sum(), 5)
    >>> for i in (0, 1, 3): tree.add(Node(0, i, i))
    >>> tree.nodes()
    [Node(level=0, position=3, partial=3), Node(level=1, position=0, partial=1)]
    """

    def __init__(self, reduction: Reduction, n_blocks: int) -> None:
        self.reduction, self.last = reduction, n_blocks - 1
        self._waiting: dict[tuple[int, int], Any] = {}

    def add(self, node: Node) -> None:
        """Add the partial of a block, or of a subtree, and combine it with the siblings that wait for it."""
        level, position, partial = node
        while last := self.last >> level:
            if position & 1:
                if (level, position - 1) not in self._waiting:
                    break
                partial = self.reduction.combine(self._waiting.pop((level, position - 1)), partial)
            elif position < last:
                if (level, position + 1) not in self._waiting:
                    break
                partial = self.reduction.combine(partial, self._waiting.pop((level, position + 1)))
            level, position = level + 1, position >> 1
        self._waiting[level, position] = partial

    def nodes(self) -> list[Node]:
        """Return the partials that have no sibling yet; the root alone once every block has come."""
        return [Node(*place, self._waiting[place]) for place in sorted(self._waiting)]


def reduce_nodes(reduction: Reduction, nodes: Iterable[Node], n_blocks: int) -> list[Node]:
    """Combine ``nodes`` as far as they are siblings in the `Tree` over the ``n_blocks`` block positions.

    Returns
    -------
    list of Node
        The root alone, where every block is present.

    Examples
    --------
    >>> class Sum(SingleReduction):
    ...     def combine(self, a, b): return a + b
    >>> reduce_nodes(Sum(), [Node(0, i, i) for i in range(5)], 5)
    [Node(level=3, position=0, partial=10)]
    """
    tree = Tree(reduction, n_blocks)
    for node in nodes:
        tree.add(node)
    return tree.nodes()


@dataclass(frozen=True, eq=False)
class Joint(SingleReduction):
    """Several reductions in one pass; its answers are the list of answers of each.

    Parameters
    ----------
    reductions : tuple of Reduction
    """

    reductions: tuple[Reduction, ...]

    def chunk(self, block: Block) -> tuple[Any, ...]:
        return tuple(reduction.chunk(block) for reduction in self.reductions)

    def combine(self, a: tuple[Any, ...], b: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(reduction.combine(*pair) for reduction, *pair in zip(self.reductions, a, b, strict=True))

    def finalize(self, total: tuple[Any, ...]) -> list[Any]:
        return [reduction.finalize(part) for reduction, part in zip(self.reductions, total, strict=True)]
