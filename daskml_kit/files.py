"""Files that are private to their owner, whole or not there, and checked as they are read back.

A file that was cut off, or of which a bit has changed, is found by a checksum (CRC-32: every changed byte is found, and
of larger damage all but one in four billion). It is no protection against a forger; what runs code as it is read, a
pickle, is therefore read only where nobody else could have written it.
"""

from __future__ import annotations

import json
import os
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from daskml_kit.exceptions import CheckpointError, DamagedFileError, UntrustedFileError
from daskml_kit.typing import Array

PIECE_BYTES = 2**18
MAPPED_BYTES = 2**16
"""Smaller files are read rather than mapped, empty ones among them, which cannot be."""
_MARK, _LINE_MARK = b"\ncrc32 ", b', "crc32": "'
_TAIL_BYTES, _LINE_TAIL_BYTES = len(_MARK) + 9, len(_LINE_MARK) + 10


def make_private(folder: str | os.PathLike[str]) -> Path:
    """Make a folder, and those above it, for their owner alone; what is there keeps its mode.

    Raises
    ------
    CheckpointError
        Where it cannot be made.
    """
    path = Path(folder)
    try:
        for missing in reversed([place for place in (path, *path.parents) if not place.exists()]):
            missing.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be made: {error.strerror or error}") from error
    return path


def opener(path: str, flags: int) -> int:
    """Open a file that, where it is new, only its owner may read: for the argument of that name of `open`."""
    return os.open(path, flags, 0o600)


def make_file(path: str | os.PathLike[str]) -> None:
    """Make an empty private file, for what opens files by their names alone."""
    os.close(opener(os.fspath(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL))


def write_file(path: Path, write: Callable[[IO[bytes]], Any], *, durable: bool = False) -> None:
    """Write a private file beside ``path``, with its checksum, then move it there: no reader sees half of it.

    Parameters
    ----------
    path : Path
    write : callable
        Is given the open file.
    durable : bool
        Whether the file has to outlive a machine that fails right afterwards.

    Raises
    ------
    CheckpointError
        Where it cannot be written, as on a full disk; what was there before is left.
    """
    beside = None
    try:
        handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-", suffix=".part")
        with os.fdopen(handle, "w+b") as file:
            write(file)
            file.seek(0)
            file.write(_MARK + b"%08x\n" % _checksum(file))
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(beside, path)
        beside = None
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be written: {error.strerror or error}; what was written before is left, and the same call "
            "goes on from it once there is room"
        ) from error
    finally:
        if beside is not None:
            os.unlink(beside)


@contextmanager
def open_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file of `write_file`, once its checksum, which is its end, was found to be right.

    Raises
    ------
    DamagedFileError
        Where it is not; a file that somebody else wrote there has none.
    CheckpointError
        Where it cannot be read.
    FileNotFoundError
        Where there is no file.
    """
    with ExitStack() as stack:
        try:
            file = stack.enter_context(open(path, "rb"))
            n_bytes = max(os.fstat(file.fileno()).st_size - _TAIL_BYTES, 0)
            is_whole = _MARK + b"%08x\n" % _checksum(file, n_bytes) == file.read()
            file.seek(0)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
        if not is_whole:
            raise DamagedFileError(_damaged(path))
        yield file


def read_file(path: Path) -> bytes:
    """Return what `write_file` wrote; raise as `open_file` does."""
    with open_file(path) as file:
        return file.read()[:-_TAIL_BYTES]


def content_of(path: str | os.PathLike[str], expected: int | None = None) -> Array:
    """Return the bytes of a file, of a large one mapped; the writable copies of pages leave the file as it is.

    Parameters
    ----------
    path : path
    expected : int, optional
        The `word_sum` that it had when it was written.

    Raises
    ------
    DamagedFileError
        Where it has another.
    OSError
        Where the file is gone.
    """
    large = os.stat(path).st_size > MAPPED_BYTES
    content = np.asarray(np.memmap(path, np.uint8, "c")) if large else np.fromfile(path, np.uint8)
    if expected is not None and word_sum(content) != expected:
        raise DamagedFileError(_damaged(path))
    return content


def word_sum(content: Array) -> int:
    """Return a checksum for large files that are read often, of which this process keeps it: the sum of their words.

    Any change of one word changes it. It takes a quarter of the time of a CRC-32, of which a pass over a cache of
    blocks would take more than for its own work.

    Parameters
    ----------
    content : array of uint8

    Examples
    --------
    >>> word_sum(np.arange(10, dtype=np.uint8)) == word_sum(np.arange(11, dtype=np.uint8))
    False
    """
    whole = content.size // 8 * 8
    rest = int.from_bytes(content[whole:].tobytes(), "little")
    return (content.size << 64) + (int(content[:whole].view(np.uint64).sum()) + rest) % 2**64


def sealed(record: Mapping[str, Any]) -> bytes:
    """Return a record as a line of JSON with its checksum, for files that are only added to.

    Examples
    --------
    >>> sealed({"split": 1})
    b'{"split": 1, "crc32": "e0caf3aa"}\\n'
    >>> unsealed(sealed({"split": 1})[:-1])
    {'split': 1}
    """
    text = json.dumps(record, default=float).encode()
    return text[:-1] + _LINE_MARK + b'%08x"}\n' % zlib.crc32(text)


def unsealed(line: bytes) -> dict[str, Any] | None:
    """Return the record of a line, without its end; None where it is damaged."""
    text = line[:-_LINE_TAIL_BYTES] + b"}"
    if line != text[:-1] + _LINE_MARK + b'%08x"}' % zlib.crc32(text):
        return None
    return dict(json.loads(text))


def is_own(path: str | os.PathLike[str]) -> bool:
    """Return whether there is such a file or folder, of the user that this process runs as."""
    try:
        return os.stat(path).st_uid == os.geteuid()
    except OSError:
        return False


def check_trusted(path: str | os.PathLike[str], file: IO[bytes] | None = None) -> None:
    """Raise unless only this user can have written a file, opened as ``file``, which is to be unpickled.

    Raises
    ------
    UntrustedFileError
        Where another user owns it, or may write to it.
    """
    found = os.stat(path if file is None else file.fileno())
    user = os.geteuid()
    if found.st_uid != user:
        whose = f"it belongs to user {found.st_uid}, and this process runs as {user}"
    elif found.st_mode & 0o022:
        whose = "others than its owner may write to it"
    else:
        return
    raise UntrustedFileError(
        f"{os.fspath(path)} is not read, as this may run code: {whose}; where you trust who wrote it, make it yours "
        "alone (chown, then chmod 600), else delete it"
    )


def _damaged(path: str | os.PathLike[str]) -> str:
    return f"{os.fspath(path)} is damaged: it was cut off, or changed since it was written"


def _checksum(file: IO[bytes], n_bytes: int | None = None) -> int:
    """Return the checksum of so many bytes of a file from where it is, by default of the rest."""
    found, left = 0, float("inf") if n_bytes is None else n_bytes
    while left and (piece := file.read(int(min(left, PIECE_BYTES)))):
        found, left = zlib.crc32(piece, found), left - len(piece)
    return found
