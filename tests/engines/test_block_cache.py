"""The cache of streamed blocks: the same bits with it and without, bounded, and gone after the fit."""

from __future__ import annotations

import errno
import stat
from pathlib import Path
from types import SimpleNamespace

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from distributed import get_worker
from numpy.testing import assert_array_equal

from daskml_kit.data import block_files
from daskml_kit.data import collections as capacity
from daskml_kit.data.block import Block
from daskml_kit.data.block_files import split, write
from daskml_kit.data.coded import CodedRows, coded
from daskml_kit.data.collections import Place
from daskml_kit.engines import block_cache
from daskml_kit.engines import open as opening
from daskml_kit.engines.block_cache import CACHE_SETTING, cache_limit, make_cache, open_on_worker
from daskml_kit.engines.engine import watching
from daskml_kit.engines.open import open_engine
from daskml_kit.exceptions import DataError
from daskml_kit.linear_model import LinearRegression, LogisticRegression, SGDClassifier
from daskml_kit.model_selection import GridSearchCV
from daskml_kit.reductions.gram import Gram

N_BLOCKS, N_ROWS, N_FEATURES = 4, 3000, 5


@pytest.fixture(autouse=True)
def streaming(monkeypatch):
    """No data fits in memory, and small data goes to the cluster too."""
    monkeypatch.setattr(capacity, "FIT_FRACTION", 0)
    monkeypatch.setattr(opening, "LOCAL_BYTES", 0)


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """Where local caches lie, whatever the disk."""
    monkeypatch.setattr(block_cache, "IN_MEMORY", ())
    with dask.config.set({"temporary-directory": str(tmp_path)}):
        yield tmp_path


class Source:
    """Rows that tell, in a file, each time that a block of them is computed."""

    def __init__(self, path, change=None):
        self.path, self.change = path, change

    def __call__(self, number):
        with open(self.path, "a") as file:
            file.write(f"{number}\n")
        X = np.random.default_rng(number).normal(size=(N_ROWS, N_FEATURES))
        return X if self.change is None else self.change(X)

    def rows(self, labels=None):
        """Return lazy X and y."""
        read = dask.delayed(self, pure=False)
        X = da.concatenate([da.from_delayed(read(i), (N_ROWS, N_FEATURES), float) for i in range(N_BLOCKS)])
        y = (X[:, 0] + X[:, 1] ** 2 > 0.5).astype(int)
        return X, y if labels is None else y.map_blocks(lambda block: np.asarray(labels)[block], dtype=object)

    @property
    def n_read(self):
        """How often each block was computed, on the average."""
        return len(Path(self.path).read_text().split()) / N_BLOCKS


def fitted(model, X, y, cache):
    with dask.config.set({CACHE_SETTING: cache}):
        return model.fit(X, y)


def parts():
    """Blocks' parts of all layouts and types."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 9))
    payload = np.full((2000, 9), np.nan).view(np.int64)
    codes = sp.random_array((2000, 9), density=0.2, random_state=0, format="csr")
    return {
        "C": X,
        "Fortran": np.asfortranarray(X),
        "columns of more": X[:, 2:6],
        "every other row": X[::2],
        "broadcast": np.broadcast_to(X[0], (2000, 9)),
        "exact": np.round(X * 8),
        "exact Fortran": np.asfortranarray(np.round(X * 8)),
        "other NaN": (payload | 1).view(np.float64),
        "too large": X * 1e300,
        "float32": X.astype(np.float32),
        "int8": np.arange(18000, dtype=np.int8).reshape(2000, 9),
        "one row": X[:1],
        "CSR": codes,
        "CSR of ones": sp.csr_matrix((np.ones(codes.nnz), codes.indices, codes.indptr), shape=(2000, 9)),
        "empty CSR": sp.csr_array((2000, 9)),
        "codes": coded(
            sp.csr_array,
            rng.integers(0, 9, (2000, 1)).astype(np.uint16),
            X[:, :1],
            np.array([8]),
            9,
            np.array([[0, 8]]),
        ),
    }


@pytest.mark.parametrize("name", parts())
def test_a_block_comes_back_as_it_was(name, tmp_path):
    X = parts()[name]
    y = np.arange(X.shape[0] * 3)[::3]
    block = Block(X, y, np.ones(X.shape[0]), 7, np.zeros((X.shape[0], 1), np.int32))
    found = write(split(block), tmp_path, Place(7, 9), lambda n_bytes: True).load()
    arrays = [(found.y, y), (found.weight, block.weight), (found.fold, block.fold)]
    if isinstance(X, CodedRows):
        assert isinstance(found.X, CodedRows)
        arrays += [(getattr(found.X, part), getattr(X, part)) for part in ("codes", "dense", "columns", "spans")]
    elif sp.issparse(X):
        assert type(found.X) is type(X)
        assert found.X.shape == X.shape
        arrays += [(getattr(found.X, part), getattr(X, part)) for part in ("data", "indices", "indptr")]
    else:
        arrays.append((found.X, X))
    for got, expected in arrays:
        assert (got.dtype, got.strides, got.tobytes()) == (expected.dtype, expected.strides, expected.tobytes())
        assert got.flags.writeable
    assert found.index == 7
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_numbers_that_float32_represents_take_half_the_room(tmp_path):
    sizes = []
    for name in ("C", "exact"):
        write(split(Block(parts()[name])), tmp_path, Place(0, 9), lambda n_bytes: sizes.append(n_bytes) or True)
    assert sizes == [2000 * 9 * 8, 2000 * 9 * 4]


@pytest.mark.parametrize(
    "X", [pd.DataFrame({"a": [1.0]}), np.array([["a"]], object), np.empty((0, 3)), np.ones((3, 2))[::-1]]
)
def test_what_is_no_plain_block_of_numbers_is_not_stored(X):
    assert split(Block(X)) is None


@pytest.mark.parametrize("labels", [None, ["no", "yes"]])
def test_a_local_fit_reads_its_source_once(folder, labels):
    seen, source = [], Source(folder / "read")
    plain, cached = LogisticRegression(solver="lbfgs"), LogisticRegression(solver="lbfgs")
    fitted(plain, *Source(folder / "other").rows(labels), False)
    with watching(lambda profile: seen.append(len(list(folder.glob("daskml-cache-*/*"))))):
        fitted(cached, *source.rows(labels), 1.0)
    assert_array_equal(cached.coef_, plain.coef_)
    assert cached.profile_.passes == plain.profile_.passes > 2
    assert source.n_read == (1 if labels is None else 2)  # strings are not kept, but their positions
    assert max(seen) == 2 * N_BLOCKS
    assert not list(folder.glob("daskml-cache-*"))


def test_minibatches_of_a_cache(folder):
    source, options = Source(folder / "read"), {"max_iter": 3, "random_state": 0, "tol": None}
    plain = fitted(SGDClassifier(**options), *Source(folder / "other").rows(), False)
    cached = fitted(SGDClassifier(**options), *source.rows(), 1.0)
    assert_array_equal(cached.coef_, plain.coef_)
    assert source.n_read == 1
    assert not list(folder.glob("daskml-cache-*"))


def test_one_pass_is_not_cached(folder):
    seen = []
    with watching(lambda profile: seen.append(list(folder.glob("daskml-cache-*")))):
        model = fitted(LinearRegression(), *Source(folder / "read").rows(), 1.0)
    assert model.profile_.passes == len(seen) == 1
    assert seen == [[]]


def test_a_limit_in_bytes_holds(folder):
    X, y = Source(folder / "read").rows()
    room = 2.5 * N_ROWS * (N_FEATURES + 1) * 8
    seen = []

    def look(profile):
        seen.append(sum(path.stat().st_size for path in folder.glob("daskml-cache-*/*")))

    with watching(look):
        model = fitted(LogisticRegression(solver="lbfgs"), X, y, room)
    assert 0 < max(seen) <= room
    assert_array_equal(model.coef_, fitted(LogisticRegression(solver="lbfgs"), X, y, False).coef_)
    assert not +block_cache._used


def test_a_share_leaves_the_rest_of_the_disk_free(folder, monkeypatch):
    free = SimpleNamespace(free=1000)
    monkeypatch.setattr(block_cache.shutil, "disk_usage", lambda path: free)
    cache = make_cache(0.25)
    assert cache._has_room(200)
    free.free = 800
    assert not cache._has_room(100)
    cache.close()


def test_a_full_disk_changes_nothing(folder, monkeypatch):
    X, y = Source(folder / "read").rows()
    written, save = [], np.save

    def full(file, array, **options):
        written.append(file.name)
        if len(written) > 3:
            file.write(b"half of it")
            raise OSError(errno.ENOSPC, "No space left on device")
        save(file, array, **options)

    monkeypatch.setattr(block_files.np, "save", full)
    model = fitted(LogisticRegression(solver="lbfgs"), X, y, 1.0)
    assert 3 < len(written) <= 5  # two threads
    assert_array_equal(model.coef_, fitted(LogisticRegression(solver="lbfgs"), X, y, False).coef_)
    assert not list(folder.glob("daskml-cache-*"))


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-1])


def change(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("harm", [Path.unlink, cut_off, change])
def test_files_that_somebody_removes_or_changes_are_read_from_the_source(folder, harm):
    X, y = Source(folder / "read").rows()
    with watching(lambda profile: [harm(path) for path in folder.glob("daskml-cache-*/*")]):
        model = fitted(LogisticRegression(solver="lbfgs"), X, y, 1.0)
    assert_array_equal(model.coef_, fitted(LogisticRegression(solver="lbfgs"), X, y, False).coef_)


def test_no_folder_no_cache(folder):
    assert make_cache(0.5, str(folder / "missing")) is None


def test_a_disk_in_memory_holds_no_cache(folder, monkeypatch):
    disks = [SimpleNamespace(mountpoint="/", fstype="ext4"), SimpleNamespace(mountpoint=str(folder), fstype="tmpfs")]
    monkeypatch.setattr(block_cache, "IN_MEMORY", ("tmpfs",))
    monkeypatch.setattr(block_cache.psutil, "disk_partitions", lambda all: disks)
    assert make_cache(0.5) is None


@pytest.mark.parametrize("value", ["many", -1, float("nan"), [1]])
def test_other_settings_are_refused(value, folder):
    with dask.config.set({CACHE_SETTING: value}), pytest.raises(ValueError, match=r"'daskml-kit\.cache'"):
        LogisticRegression().fit(*Source(folder / "read").rows())


def test_settings():
    for value, limit in ((False, None), (0, None), (None, None), (True, 0.5), ("2GB", 2e9), (0.1, 0.1)):
        with dask.config.set({CACHE_SETTING: value}):
            assert cache_limit() == limit
    assert cache_limit() == 0.5


def files_here(dask_worker):
    return [path.name for path in Path(dask_worker.local_directory).glob("daskml-cache-*/*")]


def folders_here(dask_worker):
    return [path.name for path in Path(dask_worker.local_directory).glob("daskml-cache-*")]


def on_a_disk(client):
    return not any(client.run(lambda dask_worker: block_cache._takes_memory(dask_worker.local_directory)).values())


@pytest.mark.slow
def test_workers_read_their_source_once(client, tmp_path):
    source, seen = Source(tmp_path / "read"), []
    with watching(lambda profile: seen.append(sum(map(len, client.run(files_here).values())))):
        cached = fitted(LogisticRegression(solver="lbfgs"), *source.rows(), 1.0)
    plain = fitted(LogisticRegression(solver="lbfgs"), *Source(tmp_path / "other").rows(), False)
    assert_array_equal(cached.coef_, plain.coef_)
    if on_a_disk(client):
        assert source.n_read == 1
        assert max(seen) == 2 * N_BLOCKS
    assert not any(client.run(folders_here).values())
    assert not any(client.run(lambda: len(block_cache._opened)).values())


def test_a_failed_fit_leaves_no_files(client, tmp_path):
    def broken(X):
        if get_worker() and X[0, 0] == np.random.default_rng(3).normal():
            X[7, 1] = np.nan
        return X

    X, y = Source(tmp_path / "read", broken).rows()
    with pytest.raises(DataError, match="X contains NaN in block 3, row 7"):
        fitted(LogisticRegression(), X, y, 1.0)
    assert not any(client.run(folders_here).values())


def test_a_fused_search_of_a_cache(client, tmp_path):
    source = Source(tmp_path / "read")
    grid = {"C": [0.1, 10.0]}
    cached = fitted(GridSearchCV(LogisticRegression(), grid, cv=2), *source.rows(["no", "yes"]), 1.0)
    plain = fitted(GridSearchCV(LogisticRegression(), grid, cv=2), *Source(tmp_path / "b").rows(["no", "yes"]), False)
    assert_array_equal(cached.cv_results_["mean_test_score"], plain.cv_results_["mean_test_score"])
    assert_array_equal(cached.best_estimator_.coef_, plain.best_estimator_.coef_)
    if on_a_disk(client):
        assert source.n_read < Source(tmp_path / "b").n_read
    assert not any(client.run(folders_here).values())


def test_frames_of_files(client, tmp_path):
    rng = np.random.default_rng(0)
    for part in range(3):
        frame = pd.DataFrame({"a": rng.choice(list("xyz"), 500), "n": rng.normal(size=500)})
        frame["y"] = (frame["n"] + (frame["a"] == "x") + rng.logistic(size=500) > 0).astype(float)
        frame.astype({"a": "category"}).to_parquet(tmp_path / f"{part}.parquet")
    frame = dd.read_parquet(tmp_path)
    rows = frame[["a", "n"]].map_partitions(encoded, meta=pd.DataFrame({"x": [0.0], "n": [0.0]}))
    plain, cached = (fitted(LogisticRegression(), rows, frame["y"], cache) for cache in (False, 1.0))
    assert_array_equal(cached.coef_, plain.coef_)
    assert plain.profile_.where == "on the workers of the cluster, which stream the blocks"
    assert cached.profile_.where == f"{plain.profile_.where} and cache them on disk"


def encoded(frame):
    return pd.DataFrame({"x": (frame["a"] == "x").astype(float), "n": frame["n"]})


def test_a_cache_of_a_client_that_died_makes_room(folder, monkeypatch):
    worker = SimpleNamespace(local_directory=str(folder))
    monkeypatch.setattr(block_cache, "_opened", {})
    open_on_worker("first", 0.5, worker)
    (first,) = folder.glob("daskml-cache-*")
    monkeypatch.setattr(block_cache, "IDLE_SECONDS", -1)
    open_on_worker("second", 0.5, worker)
    assert not first.exists()
    assert [name for name, _ in block_cache._opened] == ["second"]


def test_blocks_stored_after_the_cache_was_closed_leave_nothing(folder):
    X, _ = Source(folder / "read").rows()
    with dask.config.set({CACHE_SETTING: 1.0}), open_engine(X) as engine:
        engine.answer(Gram())
        cache = engine._cache
    cache._is_full = False
    cache.load(engine.blocks[0]._replace(place=Place(99, N_FEATURES)), None)
    assert not list(folder.glob("daskml-cache-*"))
