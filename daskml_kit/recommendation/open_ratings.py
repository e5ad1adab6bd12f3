"""Ratings of any collection, opened for alternating least squares: here, or on the workers that hold them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import dask
from distributed import Client, futures_of

from daskml_kit.data.align import align_rows, check_lengths
from daskml_kit.data.collections import is_dask
from daskml_kit.engines import open as opening
from daskml_kit.exceptions import DataError
from daskml_kit.recommendation.alternation import Alternation, LocalAlternation
from daskml_kit.recommendation.rating_tables import (
    CodedRatings,
    Feedback,
    RatingTotals,
    add_totals,
    count_ratings,
    read_ratings,
    sort_ids,
)
from daskml_kit.recommendation.remote_alternation import RemoteAlternation
from daskml_kit.workers.connection import gather, released_task_thread, settle, telling_lost_scheduler

logger = logging.getLogger(__name__)
MERGE_WIDTH = 8


@contextmanager
def open_ratings(X: Any, y: Any, feedback: Feedback, n_jobs: int | None) -> Iterator[tuple[RatingTotals, Alternation]]:
    """Read and check all ratings, and bring them together by user and by item.

    Ratings in memory, those of a cluster up to `daskml_kit.engines.open.LOCAL_BYTES` and all where there is no cluster
    lie in this process then, others on the workers.

    Parameters
    ----------
    X, y : array, frame, Series or Dask collection
    feedback : Feedback
    n_jobs : int, optional
        Threads of this process.

    Yields
    ------
    RatingTotals
        With ascending ids.
    Alternation
    """
    parts = {"X": X} if y is None else {"X": X, "y": y}
    lazy = any(map(is_dask, parts.values()))
    with telling_lost_scheduler():
        client = opening.find_client() if lazy else None
    with telling_lost_scheduler(), released_task_thread(client is not None) as inside:
        n_threads = (1 if inside else None) if n_jobs is None else n_jobs if n_jobs > 0 else None
        blocks = _lazy_blocks(parts) if lazy else [read_ratings(X, y)]
        fetched = None
        if client is not None:
            blocks, fetched = _on_cluster(client, blocks)
            if fetched is None:
                totals = _sorted(_totals_there(client, blocks))
                with RemoteAlternation(client, blocks, totals, feedback) as remote:
                    yield totals, remote
                return
        elif lazy:
            blocks = list(dask.compute(*blocks))
        totals = _sorted(add_totals([count_ratings(block) for block in blocks]))
        with LocalAlternation(blocks, totals, feedback, n_threads) as local:
            if fetched is not None:
                local.profile.where += f", which fetched {fetched / 1e6:.3g} MB of ratings"
                logger.info("fitted %s", local.profile.where)
            yield totals, local


def _lazy_blocks(parts: dict[str, Any]) -> list[Any]:
    rows = align_rows(parts)
    read, names = dask.delayed(_read, pure=True), [column.name for column in rows.columns]
    columns = zip(*(column.blocks for column in rows.columns), strict=True)
    return [
        read(names, index, length, list(own))
        for index, (length, own) in enumerate(zip(rows.lengths, columns, strict=True))
    ]


def _read(names: Sequence[str], index: int, length: int, parts: Sequence[Any]) -> CodedRatings:
    check_lengths(names, parts, index, length)
    return read_ratings(parts[0], parts[1] if len(parts) > 1 else None, index)


def _on_cluster(client: Client, blocks: Sequence[Any]) -> tuple[list[Any], float | None]:
    """Return the blocks as futures, or where they are small as values, and then their size in bytes."""
    started = client.persist(list(blocks))
    settled = settle(client, futures_of(started))
    futures = [settled[block.key] for block in started]
    n_bytes = sum(client.nbytes([future.key for future in futures], summary=False).values())
    if n_bytes <= opening.LOCAL_BYTES:
        return gather(client, futures), n_bytes
    return futures, None


def _totals_there(client: Client, blocks: Sequence[Any]) -> RatingTotals:
    """Count the ratings on the workers, and join the counts there but for the last few."""
    found = client.map(count_ratings, blocks, pure=False)
    while len(found) > MERGE_WIDTH:
        groups = [found[i : i + MERGE_WIDTH] for i in range(0, len(found), MERGE_WIDTH)]
        found = [client.submit(add_totals, group, pure=False) for group in groups]
    return add_totals(gather(client, found, blocks))


def _sorted(totals: RatingTotals) -> RatingTotals:
    if not totals.n_ratings:
        raise DataError("X: expected at least one rating, got none")
    return totals._replace(users=sort_ids(totals.users, "users"), items=sort_ids(totals.items, "items"))
