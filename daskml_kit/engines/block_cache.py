"""A cache on disk of the blocks of streamed data, so that later passes do not read and decode the source again."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import tempfile
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import psutil
from dask.utils import parse_bytes
from distributed import Worker, get_worker

from daskml_kit.data.block import Block
from daskml_kit.data.block_files import StoredBlock, split, write
from daskml_kit.data.collections import Lazy
from daskml_kit.exceptions import DamagedFileError

CACHE_SETTING, DEFAULT_SHARE = "daskml-kit.cache", 0.5
IN_MEMORY = ("tmpfs", "ramfs")
"""File systems whose files take the memory that the data does not fit in."""
IDLE_SECONDS = 3600.0
"""A cache of a worker that was not read for so long is that of a client that died, and makes room for the next."""

logger = logging.getLogger(__name__)
_opened: dict[tuple[str, str], BlockCache] = {}
"""The caches of this process's Dask workers, by the names of their fits and the workers' directories."""
_used: Counter[str] = Counter()
"""The bytes of the caches of this process below each folder."""
_lock = threading.Lock()


def cache_limit() -> float | None:
    """Return what a cache may take: up to 1 a share of the disk's free space, above it bytes; None for no cache.

    Raises
    ------
    ValueError
        Where the Dask setting ``daskml-kit.cache`` is neither.
    """
    value = dask.config.get(CACHE_SETTING, DEFAULT_SHARE)
    if value is None or value is False:
        return None
    if value is True:
        return DEFAULT_SHARE
    try:
        limit = float(parse_bytes(value)) if isinstance(value, str) else float(value)
    except (TypeError, ValueError):
        limit = -1.0
    if not limit >= 0:
        raise ValueError(
            f"the Dask setting {CACHE_SETTING!r}: expected bytes such as '10GB', a share of the disk's free space such "
            f"as 0.5, or False for no cache, got {value!r}"
        )
    return limit or None


class BlockCache:
    """Blocks in files of a folder of their own, which goes with the cache, with the process, or by `close`.

    The first time a block is read, its numbers are written as they lie in memory; afterwards they are mapped. What
    cannot be kept (no room, a full disk, targets that are no numbers yet), or is damaged, is read from its source, so a
    cache changes no bit of a fit, and losing one costs time only.

    Parameters
    ----------
    parent : path
        The folder that its own is made in.
    limit : float
        See `cache_limit`. Of a share, all caches that open at about the same time on one disk leave the rest free.

    Raises
    ------
    OSError
        Where no folder can be made.
    """

    def __init__(self, parent: str, limit: float) -> None:
        self._parent, self._limit = parent, limit
        self._least_free = (1 - limit) * shutil.disk_usage(parent).free if limit <= 1 else 0.0
        self.folder = Path(tempfile.mkdtemp(prefix="daskml-cache-", dir=parent))  # of this user alone
        self._remove = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        self._stored: dict[int, tuple[StoredBlock, bool]] = {}
        self._n_bytes, self._is_full = 0, False
        self.last_read = time.monotonic()

    def load(self, source: Lazy, change: Callable[[Any], Any] | None) -> Block:
        """Return a block, its targets changed by ``change``, from its files or, at first, from its source."""
        self.last_read = time.monotonic()
        stored, changed = self._stored.get(source.place.index, (None, False))
        found = None if stored is None else self._read(stored)
        if found is not None:
            return found if changed or change is None else found._replace(y=change(found.y))
        block = source.load()
        ready = block if change is None else block._replace(y=change(block.y))
        if not self._is_full:
            self._keep(source, block, ready)
        return ready

    def _read(self, stored: StoredBlock) -> Block | None:
        """Return a block from its files; None where somebody removed or changed them, as its source is there."""
        try:
            return stored.load()
        except (OSError, DamagedFileError) as error:
            logger.warning("the block is read from its source again: %s", error)
            stored.remove()  # they are written anew, while others may have mapped these
            return None

    def close(self) -> None:
        """Remove the files."""
        self._is_full = True
        with _lock:
            _used[self._parent] -= self._n_bytes
            self._n_bytes = 0
        self._stored.clear()
        self._remove()

    def _keep(self, source: Lazy, block: Block, ready: Block) -> None:
        """Store the block as its source gives it, or with changed targets where only those are numbers."""
        pieces, changed = split(block), False
        if pieces is None and ready is not block:
            pieces, changed = split(ready), True
        if pieces is None:
            return
        try:
            stored = write(pieces, self.folder, source.place, self._has_room)
        except OSError as error:
            stored = None
            logger.info("the cache of blocks takes no more: %s", error)
        if stored is None:
            self._is_full = True
        elif self._remove.alive:
            self._stored[source.place.index] = stored, changed
        else:  # closed meanwhile
            shutil.rmtree(self.folder, ignore_errors=True)

    def _has_room(self, n_bytes: int) -> bool:
        """Return whether so many bytes more may be written, and count them if so."""
        with _lock:
            within = self._limit <= 1 or _used[self._parent] + n_bytes <= self._limit
            if not (within and self._remove.alive) or shutil.disk_usage(self.folder).free - n_bytes < self._least_free:
                return False
            _used[self._parent] += n_bytes
            self._n_bytes += n_bytes
            return True


def make_cache(limit: float, parent: str | None = None) -> BlockCache | None:
    """Return a new cache in ``parent``, by default Dask's temporary directory; None where there can be none."""
    folder = parent or dask.config.get("temporary-directory", None) or tempfile.gettempdir()
    try:
        return None if _takes_memory(folder) else BlockCache(folder, limit)
    except OSError as error:
        logger.info("no cache of blocks: %s", error)
        return None


def open_on_worker(name: str, limit: float, dask_worker: Worker) -> None:
    """Open the cache of the fit ``name`` on a worker, for `distributed.Client.run`."""
    folder = str(dask_worker.local_directory)
    for key, cache in list(_opened.items()):
        if time.monotonic() - cache.last_read > IDLE_SECONDS:
            _opened.pop(key).close()
    made = make_cache(limit, folder)
    if made is not None:
        _opened[name, folder] = made


async def close_on_worker(name: str, dask_worker: Worker) -> None:
    """Remove the cache of the fit ``name`` from a worker, for `distributed.Client.run`."""
    cache = _opened.pop((name, str(dask_worker.local_directory)), None)
    if cache is not None:
        await asyncio.to_thread(cache.close)  # large files take their time, and the worker has to answer meanwhile


def cache_of_task(name: str | None) -> BlockCache | None:
    """Return the cache of the fit ``name`` on the worker of this task, if it has one."""
    return None if name is None else _opened.get((name, str(get_worker().local_directory)))


def _takes_memory(folder: str) -> bool:
    path = os.path.realpath(folder)
    mounts = [disk for disk in psutil.disk_partitions(all=True) if Path(path).is_relative_to(disk.mountpoint)]
    return bool(mounts) and max(mounts, key=lambda disk: len(disk.mountpoint)).fstype in IN_MEMORY
