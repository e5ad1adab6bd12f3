"""Output of a command: a new file or folder, whole or not there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daskml_kit.cli.errors import JobError


def check_new(out: Path) -> None:
    """Raise a `JobError` where ``out`` is there, or its folder is not."""
    if out.exists():
        raise JobError(f"--out: {out} exists; expected a new name")
    if not out.absolute().parent.is_dir():
        raise JobError(f"--out: there is no folder {out.absolute().parent}")


@contextmanager
def drafted(out: Path) -> Iterator[Path]:
    """Give the name of a draft beside ``out``, and rename what is written in the end; a failure leaves nothing."""
    draft = out.with_name(f".{out.name}-{os.getpid()}")
    try:
        yield draft
        draft.rename(out)
    finally:
        shutil.rmtree(draft, ignore_errors=True) if draft.is_dir() else draft.unlink(missing_ok=True)
