"""Scores of many fitted models, each on its own rows, in one pass."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from daskml_kit.block import Block
from daskml_kit.engines.side import Side
from daskml_kit.errors import DataError
from daskml_kit.model_selection.search.judges import Judge, Unscored
from daskml_kit.queries.folded import rows_within
from daskml_kit.queries.query import Alone


class Examinee(NamedTuple):
    """A fitted scikit-learn model, and the rows to judge it on, by default all."""

    model: Any
    side: Side | None = None


@dataclass(frozen=True, eq=False)
class Judging(Alone):
    """What each judge wants to know of each examinee; rows count alike unless scores are ``weighted``.

    The rows of a side are taken from the block once, for all examinees that are judged on them.
    """

    examinees: Sequence[Examinee]
    judges: Mapping[str, Judge]
    weighted: bool = False

    def chunk(self, block: Block) -> list[dict[str, Any]]:
        answers: list[dict[str, Any]] = [{} for _ in self.examinees]
        for side, positions in self._by_side().items():
            rows = block if side is None else rows_within(block, side.column, side.ids)
            for position in positions:
                answers[position] = self._judge(self.examinees[position].model, rows)
        return answers

    def combine(self, a: list[dict[str, Any]], b: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            {name: self._joined(self.judges[name], x[name], y[name]) for name in self.judges}
            for x, y in zip(a, b, strict=True)
        ]

    def _joined(self, judge: Judge, a: Any, b: Any) -> Any:
        if a is None or isinstance(b, Unscored):
            return b
        if b is None or isinstance(a, Unscored):
            return a
        return judge.query.combine(a, b)

    def _by_side(self) -> dict[Side | None, list[int]]:
        positions: dict[Side | None, list[int]] = defaultdict(list)
        for position, examinee in enumerate(self.examinees):
            positions[examinee.side].append(position)
        return positions

    def _judge(self, model: Any, rows: Block) -> dict[str, Any]:
        if rows.n_rows == 0:
            return dict.fromkeys(self.judges)
        responses: dict[str, Any] = {}
        weight = rows.weight if self.weighted else None
        answers: dict[str, Any] = {}
        for name, judge in self.judges.items():
            if judge.response not in responses:
                predicted = np.asarray(getattr(model, judge.response)(rows.X))
                responses[judge.response] = predicted.reshape(rows.n_rows, -1)
            try:
                answers[name] = judge.query.chunk(Block(responses[judge.response], rows.y, weight, rows.index))
            except DataError as error:  # such as predictions outside of what a deviance is defined for
                answers[name] = Unscored(str(error))
        return answers
