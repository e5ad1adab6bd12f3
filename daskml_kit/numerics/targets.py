"""Targets of losses: how a tile of stored targets becomes the numbers that a loss compares with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from daskml_kit.numerics.tiles import scratch
from daskml_kit.typing import Array, Labels


class Read(NamedTuple):
    """Targets of shape (1 or n_columns, n_rows) and weights that broadcast against them."""

    y: Array
    weight: Array | None


class Target(Protocol):
    """A way to read targets; those of one kind join, so that one pass can answer for many."""

    def read(self, y: Array, weight: Array | None, dtype: np.dtype) -> Read:
        """Return the targets and weights of one tile."""

    def join(self, others: Sequence[Target]) -> Target:
        """Return the target whose columns are those of this one, then those of ``others``."""

    def pick(self, columns: Array) -> Target:
        """Return the target whose columns are some of this one's."""

    def key(self) -> object:
        """Return what must be equal for two targets to join."""


@dataclass(frozen=True, eq=False)
class Numbers:
    """The targets as they are, the ``outputs`` (of shape (n_columns,)) of them where there are several."""

    outputs: Array

    def read(self, y: Array, weight: Array | None, dtype: np.dtype) -> Read:
        columns = y.reshape(1, -1) if y.ndim == 1 else y.T[self.outputs]
        return Read(columns.astype(dtype, copy=False), weight)

    def join(self, others: Sequence[Target]) -> Target:
        return Numbers(np.concatenate([t.outputs for t in (self, *others) if isinstance(t, Numbers)]))

    def pick(self, columns: Array) -> Target:
        return Numbers(self.outputs[columns])

    def key(self) -> object:
        return "numbers"


@dataclass(frozen=True, eq=False)
class OneVsRest:
    """One column a label: -1 where the target is that label, else 1: the sign that makes a margin of a predictor.

    Parameters
    ----------
    labels : array of shape (n_columns,)
    class_weight : array of shape (n_columns, 2), optional
        What the weights of the rest, and of the label, are multiplied with.
    """

    labels: Array
    class_weight: Array | None = None

    def read(self, y: Array, weight: Array | None, dtype: np.dtype) -> Read:
        labels, factors = self.labels, self.class_weight
        if (labels == labels[0]).all():  # as in a search: one row of signs serves all columns
            labels = labels[:1]
        chosen = y.reshape(1, -1) == labels[:, None]
        if factors is not None:
            factor = np.where(chosen, factors[:, 1:], factors[:, :1])
            weight = factor if weight is None else factor * weight
        signs = scratch("signs", chosen.shape, dtype)
        signs.fill(1)
        np.copyto(signs, -1, where=chosen)
        return Read(signs, weight)

    def join(self, others: Sequence[Target]) -> Target:
        every = [t for t in (self, *others) if isinstance(t, OneVsRest)]
        weights = [t.class_weight for t in every if t.class_weight is not None]
        factors = np.concatenate(weights) if weights else None
        return OneVsRest(np.concatenate([t.labels for t in every]), factors)

    def pick(self, columns: Array) -> Target:
        return OneVsRest(self.labels[columns], None if self.class_weight is None else self.class_weight[columns])

    def key(self) -> object:
        return ("one-vs-rest", self.class_weight is None)


@dataclass(frozen=True, eq=False)
class Codes:
    """The position of each target among the sorted ``labels``.

    Parameters
    ----------
    labels : array of shape (n_classes,)
    class_weight : array of shape (n_classes,), optional
    """

    labels: Labels
    class_weight: Array | None = None

    def read(self, y: Array, weight: Array | None, dtype: np.dtype) -> Read:
        # rows that a fit leaves out may have labels that it does not know, beyond the last one
        codes = np.minimum(np.searchsorted(self.labels, y), len(self.labels) - 1)
        if self.class_weight is not None:
            factor = self.class_weight[codes]
            weight = factor if weight is None else factor * weight
        return Read(codes.reshape(1, -1), weight)

    def join(self, others: Sequence[Target]) -> Target:
        return self

    def pick(self, columns: Array) -> Target:
        return self

    def key(self) -> object:
        return ("codes", self.labels.tobytes(), None if self.class_weight is None else self.class_weight.tobytes())
