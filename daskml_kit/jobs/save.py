"""Save what a job made, whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import joblib

from daskml_kit.jobs.failure import JobError, failing

MODEL, REPORT = "model.joblib", "report.json"


def check_out(out: Path) -> None:
    """Raise a `JobError` where ``out`` could not be written, or holds what is not ours to replace."""
    if out.exists() and not out.is_dir():
        raise JobError(f"--out: {out} is a file, expected a folder or a new name")
    with failing(f"--out: cannot read {out}", OSError):
        strangers = sorted({path.name for path in out.iterdir()} - {MODEL, REPORT}) if out.exists() else []
    if strangers:
        raise JobError(f"--out: {out} holds other files ({', '.join(strangers[:3])}); expected a new or empty folder")
    above = next(path for path in [*out.absolute().parents] if path.exists())
    if not os.access(above, os.W_OK):
        raise JobError(f"--out: cannot write in {above}")


def save(out: Path, pipeline: Any, report: dict[str, Any]) -> None:
    """Write the pipeline and the report beside ``out``, then give them its name."""
    with failing(f"--out: cannot write {out}", OSError):
        out.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
        try:
            joblib.dump(pipeline, draft / MODEL)
            (draft / REPORT).write_text(json.dumps(report, indent=2, ensure_ascii=False, default=_plain) + "\n")
            os.chmod(draft, 0o755)
            _replace(out, draft)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def _replace(out: Path, draft: Path) -> None:
    """Put ``draft`` in the place of ``out``; what was there is there again if that fails."""
    if not out.exists():
        draft.rename(out)
        return
    old = draft.with_name(draft.name + "-old")
    out.rename(old)
    try:
        draft.rename(out)
    except OSError:
        old.rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _plain(value: Any) -> Any:
    """Return a NumPy value as Python's own."""
    return value.tolist()
