"""Files that were cut off or changed at any place give the right result or an error of ours; a full disk harms none.

``DASKML_KIT_TORN_PLACES=200`` tries as many places of each kind of file, by default 20.
"""

from __future__ import annotations

import logging
import os
import pickle
import resource
import shutil
import stat
import subprocess
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import dask.array as da
import joblib
import numpy as np
import pytest
import scipy.sparse as sp
import sklearn.linear_model
from numpy.testing import assert_array_equal

from daskml_kit import files
from daskml_kit.data.block import Block
from daskml_kit.data.block_files import split, write
from daskml_kit.data.collections import Place
from daskml_kit.exceptions import CheckpointError, DamagedFileError, UntrustedFileError
from daskml_kit.linear_model import LogisticRegression, Ridge
from daskml_kit.model_selection import GridSearchCV
from daskml_kit.model_selection.job_task import JobRecord, read_record, record_path
from daskml_kit.model_selection.search import fold
from daskml_kit.model_selection.search.fold import collect_files, dump_fold, dump_fold_lazily, dump_joined
from daskml_kit.optim import adam
from daskml_kit.parameter_server import ParameterServer, train

N_PLACES = int(os.environ.get("DASKML_KIT_TORN_PLACES", "20"))
X = np.random.default_rng(0).normal(size=(60, 3))
LAZY, Y = da.from_array(X, chunks=(20, 3)), X.sum(axis=1)
PARAMS = {"w": np.linspace(-1, 1, 6).reshape(3, 2)}


def fit(folder):
    model = LogisticRegression(solver="lbfgs", tol=1e-6).fit(LAZY, da.from_array(Y > 0, chunks=20), checkpoint=folder)
    return [model.coef_, model.intercept_]


def search(folder, estimator=None):
    grid = GridSearchCV(estimator or sklearn.linear_model.Ridge(), {"alpha": [0.1, 1.0, 10.0]}, cv=2, refit=False)
    found = grid.fit(X, Y, checkpoint=folder)
    return [found.cv_results_["mean_test_score"], found.cv_results_["std_test_score"]]


def fused_search(folder):
    return search(folder, Ridge())


def squares(params, X, y):
    error = X @ params["w"] - y[:, None]
    return (error**2).mean(), {"w": 2 * X.T @ error / len(y)}


def training(folder):
    return [train(squares, PARAMS, X, Y, update=adam(), checkpoint=folder, n_jobs=1).params["w"]]


def recorded_job(folder):
    """Record a job beside its checkpoint, where it is not yet, and read it again."""
    if not record_path(folder / "kept").exists():
        JobRecord.of("it", Ridge(alpha=2.0), {"X": LAZY, "y": Y, "checkpoint": folder / "kept"}).write(folder / "kept")
    record = read_record(folder / "kept")
    return [record.inputs["y"], record.inputs["X"].compute(scheduler="sync"), record.estimator.alpha]


KINDS = {
    "fit": (fit, "fingerprint", "*.npz"),
    "search": (search, "fits.jsonl"),
    "fused search": (fused_search, "fits.jsonl"),
    "training": (training, "*"),
    "job": (recorded_job, "*"),
}
"""What writes and reads back files, and which ones."""


def damage(path, rng):
    """Cut off a file, or change a byte of it; return what was done."""
    content = bytearray(path.read_bytes())
    place = int(rng.integers(len(content)))
    if rng.random() < 0.4:
        path.write_bytes(content[:place])
        return f"{path.name} cut off at {place}"
    content[place] ^= int(rng.integers(1, 256))
    path.write_bytes(content)
    return f"{path.name} changed at {place}"


def damaged_copies(folder, patterns, seed):
    """Yield what was done, and a copy of the folder to which it was done, at seeded places of seeded files."""
    paths = sorted(path for pattern in patterns for path in folder.glob(pattern))
    rng = np.random.default_rng(seed)
    for _ in range(N_PLACES):
        copy = folder.with_name("copy")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy)
        yield damage(copy / rng.choice(paths).name, rng), copy


def outcome(run, folder):
    """Return what it returned, and the error of ours that it raised."""
    try:
        return run(folder), None
    except CheckpointError as error:
        return None, error


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_damaged_is_done_again_or_refused(kind, tmp_path):
    run, *patterns = KINDS[kind]
    expected = run(tmp_path / "whole")
    n_right = 0
    for done, folder in damaged_copies(tmp_path / "whole", patterns, seed=len(kind)):
        found, error = outcome(run, folder)
        if error is not None:
            assert str(folder) in str(error), done  # the message names it
            continue
        n_right += 1
        for got, right in zip(found, expected, strict=True):
            # fused fits that are done again may share their passes with fewer others
            np.testing.assert_allclose(got, right, rtol=1e-12 if kind == "fused search" else 0, err_msg=done)
        assert_array_equal(run(folder)[0], found[0])  # and what was done again is whole
    assert (n_right > 0) == (kind != "job")


def test_all_but_the_first_record_is_done_again(tmp_path, caplog):
    expected = fit(tmp_path / "fit"), search(tmp_path / "search")
    paths = [*(tmp_path / "fit").glob("*.npz")]
    for path in paths:
        path.write_bytes(path.read_bytes()[:-1])
    log = tmp_path / "search" / "fits.jsonl"
    first, second, *others = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join([first, second.replace(b"0", b"1", 1), *others]))
    with caplog.at_level(logging.WARNING):
        assert_array_equal(fit(tmp_path / "fit")[0], expected[0][0])
        assert_array_equal(search(tmp_path / "search")[0], expected[1][0])
    told = [record.getMessage() for record in caplog.records if record.name.startswith("daskml_kit")]
    assert len(told) == len(paths) + 1
    assert told[-1] == f"{log}: line 2 damaged; their fits are done again"
    assert all("is damaged" in text and "made again" in text for text in told[:-1])


@pytest.mark.parametrize(
    ("kind", "name"),
    [("fit", "fingerprint"), ("search", "fits.jsonl"), ("training", "snapshot.npz"), ("job", "kept.job")],
)
def test_what_cannot_be_told_is_refused_by_name(kind, name, tmp_path):
    run = KINDS[kind][0]
    run(tmp_path)
    path = tmp_path / name
    path.write_bytes(b"?" + path.read_bytes()[1:])
    with pytest.raises(CheckpointError, match=f"{path.name}.* damaged"):
        run(tmp_path)


def test_files_of_somebody_else_are_not_written_over(tmp_path):
    np.savez(tmp_path / "000001.npz", own=X)
    (tmp_path / "fits.jsonl").write_text("my own notes")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for run in (fit, search):
        with pytest.raises(CheckpointError, match="name another folder"):
            run(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_cached_block_that_was_damaged_is_not_used(tmp_path):
    rows = np.random.default_rng(1).normal(size=(3000, 4))
    block, rng = Block(np.asfortranarray(rows), rows[:, 0]), np.random.default_rng(2)
    for _ in range(N_PLACES):
        stored = write(split(block), tmp_path, Place(0, 4), lambda n_bytes: True)
        assert_array_equal(stored.load().X, rows)
        done = damage(tmp_path / rng.choice(["0.X.values.npy", "0.y.values.npy"]), rng)
        with pytest.raises(DamagedFileError, match="is damaged"):
            pytest.fail(f"{done}: {stored.load()}")
        stored.remove()
        assert not list(tmp_path.iterdir())


def test_a_fold_that_was_damaged_is_not_read(tmp_path):
    sides = {"X": (X, sp.csr_array(X)), "y": (Y, Y.astype(object))}
    rng = np.random.default_rng(3)
    for number in range(N_PLACES):
        folder = tmp_path / f"{number}"
        written = dump_fold(folder, sides)
        assert_array_equal(written.read({}).X[1].toarray(), X)
        done = damage(rng.choice(sorted(folder.iterdir())), rng)
        with pytest.raises(DamagedFileError, match="is damaged"):
            pytest.fail(f"{done}: {written.read({})}")


def test_files_are_private_and_folders_of_others_keep_their_mode(tmp_path):
    old = os.umask(0)
    try:
        (tmp_path / "shared").mkdir(mode=0o755)
        for name, (run, *_) in KINDS.items():
            run(tmp_path / "made" / name)
            run(tmp_path / "shared") if name == "training" else None
        dump_fold(tmp_path / "made" / "fold", {"X": (X, X)})
    finally:
        os.umask(old)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    assert modes.pop(tmp_path / "shared") == 0o755
    assert {modes[path] for path in modes if path.is_dir()} == {0o700}
    assert {modes[path] for path in modes if path.is_file()} == {0o600}


def test_a_fold_of_blocks_is_private_and_checked(client, tmp_path):
    key, rng = "daskml-fold-torn", np.random.default_rng(4)
    written = client.compute(dump_fold_lazily(key, {"X": (LAZY, LAZY.map_blocks(sp.csr_array))})).result()
    paths = sorted(Path(written.folder).iterdir())
    assert [stat.S_IMODE(path.stat().st_mode) for path in (*paths, Path(written.folder))] == [0o600, 0o600, 0o700]
    assert_array_equal(written.read({}).X[0], X)
    for path in paths:
        whole = path.read_bytes()
        done = damage(path, rng)
        with pytest.raises(DamagedFileError, match="is damaged"):
            pytest.fail(f"{done}: {written.read({})}")
        path.write_bytes(whole)
    shutil.rmtree(written.folder)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="no such call on this system")
def test_a_fold_takes_its_room_before_it_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(fold, "get_worker", lambda: SimpleNamespace(local_directory=tmp_path))
    path = Path(fold.make_folder("key", {"X-0.npy": ((1000, 100), np.dtype(float))}), "X-0.npy")
    assert path.stat().st_blocks * 512 >= 800_000


class Payload:
    """Runs code as it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("who", ["another user", "the group"])
@pytest.mark.parametrize("what", ["X-0", "X.job"])
def test_no_pickle_of_another_user_is_read(tmp_path, monkeypatch, what, who):
    payload, path = Payload(tmp_path / "ran"), tmp_path / what
    if what == "X-0":
        dump_joined(str(tmp_path), what, [Y.astype(object)])
        joblib.dump(payload, path)
        read = partial(collect_files(str(tmp_path), {"X": [(what, [str(tmp_path)])] * 2}).read, {})
    else:
        files.write_file(path, lambda file: pickle.dump(payload, file))
        read = partial(read_record, tmp_path / "X")
    if who == "the group":
        path.chmod(0o660)
    else:
        monkeypatch.setattr(files.os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(UntrustedFileError, match=rf"{what} is not read, as this may run code: .*chmod 600"):
        read()
    assert not (tmp_path / "ran").exists()


@contextmanager
def full_disk(n_bytes):
    """Let this process write no file longer than so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def fill(folder):
    """Run all kinds on a full disk, then where there is room again."""
    for kind, (run, *_) in KINDS.items():
        expected = run(folder / kind / "whole")
        for n_bytes in (0, 200, 500):
            place = folder / kind / f"{n_bytes}"
            with full_disk(n_bytes):
                _, error = outcome(run, place)
            assert "cannot be written: File too large" in str(error), (kind, n_bytes, error)
            for got, right in zip(run(place), expected, strict=True):
                np.testing.assert_allclose(got, right, rtol=1e-12 if kind == "fused search" else 0)
            assert not list(place.glob(".*"))


def fill_over_a_snapshot(folder):
    fill(folder)
    (expected,) = training(folder / "training" / "whole")
    with full_disk(100), ParameterServer(PARAMS, adam(), client="local") as server:
        _, error = outcome(server.snapshot, folder / "training" / "whole")
    assert "cannot be written" in str(error)
    with full_disk(100), pytest.raises(OSError, match=r"rows of a fold cannot be written: File too large: '.*fold'"):
        dump_fold(folder / "fold", {"X": (X, X)})
    assert_array_equal(training(folder / "training" / "whole")[0], expected)


@pytest.mark.slow
def test_a_full_disk_leaves_what_was_written(tmp_path):
    code = f"from pathlib import Path; import {__name__} as it; it.fill_over_a_snapshot(Path({str(tmp_path)!r}))"
    paths = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
