"""The results of a search as a table, and the history of each model."""

from __future__ import annotations

import logging
import sys
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from scipy.stats import rankdata

from daskml_kit.model_selection.adaptive.policies import Record, comparable
from daskml_kit.model_selection.search.progress import FitProgress, notify


def by_model(history: Iterable[Record], models: Iterable[Hashable]) -> dict[Any, list[Record]]:
    """Return the records of each model that has any, in the order of ``models``."""
    found: dict[Any, list[Record]] = {model: [] for model in models}
    for record in history:
        found[record["model_id"]].append(record)
    return {model: records for model, records in found.items() if records}


def totals(histories: Mapping[Any, Sequence[Record]]) -> dict[str, int]:
    """Return the calls of all models, how many models there are, and the calls of the longest trained."""
    calls = [int(records[-1]["partial_fit_calls"]) for records in histories.values()]
    return {"partial_fit_calls": sum(calls), "n_models": len(calls), "max_iter": max(calls)}


def tabulate(histories: Mapping[Any, Sequence[Record]], failed: Collection[Hashable] = ()) -> dict[str, Any]:
    """Return ``cv_results_``, a row for each model; those that failed rank last.

    Examples
    --------
    >>> record = {"model_id": 0, "params": {"a": 1}, "partial_fit_calls": 3, "score": 0.5}
    >>> table = tabulate({0: [{**record, "partial_fit_time": 1.0, "score_time": 2.0}]})
    >>> table["param_a"][0], table["test_score"], table["rank_test_score"]
    (1, array([0.5]), array([1]))
    """
    rows = list(histories.values())
    last = [records[-1] for records in rows]
    table: dict[str, Any] = {}
    for name in ("partial_fit_time", "score_time"):
        times = [[record[name] for record in records] for records in rows]
        table[f"mean_{name}"] = np.array([np.mean(each) for each in times])
        table[f"std_{name}"] = np.array([np.std(each) for each in times])
    table["test_score"] = np.array([record["score"] for record in last])
    scores = np.array([-np.inf if r["model_id"] in failed else comparable(r["score"]) for r in last])
    table["rank_test_score"] = rankdata(-scores, method="min").astype(int)
    table["model_id"] = np.array([record["model_id"] for record in last])
    table["partial_fit_calls"] = np.array([record["partial_fit_calls"] for record in last])
    table["params"] = _objects([record["params"] for record in last])
    if "bracket" in last[0]:
        table["bracket"] = np.array([record["bracket"] for record in last])
    return {**table, **_parameters(table["params"])}


def _parameters(candidates: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = dict.fromkeys(name for candidate in candidates for name in candidate)
    return {
        f"param_{name}": np.ma.MaskedArray(
            _objects([candidate.get(name) for candidate in candidates]),
            mask=[name not in candidate for candidate in candidates],
        )
        for name in names
    }


def _objects(values: Sequence[Any]) -> Any:
    array = np.empty(len(values), object)
    for place, value in enumerate(values):  # at once, sequences of equal length would become rows
        array[place] = value
    return array


logger = logging.getLogger("daskml_kit.model_selection")


class Narrator:
    """Logs a share of the scores as they come, and the best so far; who listens to progress is told each.

    Parameters
    ----------
    share : float from 0 to 1
    prefix : str
    """

    def __init__(self, share: float, prefix: str) -> None:
        self._every = round(1 / share) if share else 0
        self._prefix = prefix
        self._heard = 0
        self._best = -float("inf")

    def hear(self, record: Record) -> None:
        self._heard += 1
        self._best = max(self._best, comparable(record["score"]))
        if self._every and self._heard % self._every == 0:
            logger.info(
                "[CV%s] validation score of %0.4f received after %d partial_fit calls (best so far %0.4f)",
                self._prefix,
                record["score"],
                record["partial_fit_calls"],
                self._best,
            )
        notify(FitProgress(self._heard, best=self._best if self._best > -float("inf") else None))


@contextmanager
def printing(verbose: bool) -> Iterator[None]:
    """Print what is logged inside, if ``verbose``."""
    if not verbose:
        yield
        return
    handler, before = logging.StreamHandler(sys.stdout), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
