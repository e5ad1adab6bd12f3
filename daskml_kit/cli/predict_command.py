"""Predict command: a saved model's predictions for a table, written as Parquet or CSV."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import joblib
import pandas as pd

from daskml_kit.cli.errors import JobError, naming_failures, shortened
from daskml_kit.cli.output import check_new, drafted
from daskml_kit.cli.table import open_frame
from daskml_kit.cli.train_command import MODEL
from daskml_kit.exceptions import UntrustedFileError
from daskml_kit.files import check_trusted
from daskml_kit.validation import plain_strings

FORMATS = (".csv", ".parquet")


def predict(options: SimpleNamespace, where: str) -> str:
    """Write the predictions for each row of a table, in its order, block by block.

    Parameters
    ----------
    options : SimpleNamespace
        Arguments of ``daskml-kit predict``.
    where : str
        Description of the cluster.

    Returns
    -------
    str
        Line that tells what was saved.

    Raises
    ------
    JobError
        Where the options cannot be carried out; then nothing is written.
    """
    out: Path = options.out
    if out.suffix not in FORMATS:
        raise JobError(f"--out: expected a name that ends in {' or '.join(FORMATS)}, got {out}")
    check_new(out)
    model = load_model(options.model)
    if options.proba and not hasattr(model, "predict_proba"):
        raise JobError("--proba: the model has no probabilities")
    frame = open_frame(options.data)
    needed = list(model.feature_names_in_)
    for role, names in (("the model", needed), ("--keep", options.keep)):
        require_columns(options.data, frame, names, role)
    rows = plain_strings(frame[list(dict.fromkeys([*options.keep, *needed]))])
    part = partial(_predict_part, model=model, needed=needed, keep=options.keep, proba=options.proba)
    with naming_failures(f"cannot predict for {options.data}", OSError, ValueError, TypeError):
        first = rows.head(1, npartitions=-1)
        if not len(first):
            raise JobError(f"{options.data} has no rows")
        meta = part(first)[:0]
        _write(rows.map_partitions(part, empty=meta, meta=meta), out)
    return f"saved         {out}, {where}"


def require_columns(data: str, frame: Any, names: Sequence[str], role: str) -> None:
    """Raise a `JobError` where a table lacks columns."""
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise JobError(f"{data} lacks columns of {role}: {shortened(missing)}")


def load_model(path: Path) -> Any:
    """Return the pipeline of a folder that ``daskml-kit train`` wrote, or of its file.

    Raises
    ------
    JobError
        Where there is none, or another user could have written it: to load it may run code.
    """
    file = path / MODEL if path.is_dir() else path
    with naming_failures(f"cannot load {file}", OSError, UntrustedFileError):
        check_trusted(file)
        model = joblib.load(file)
    if not hasattr(model, "predict") or not hasattr(model, "feature_names_in_"):
        raise JobError(f"{file} holds no model of named columns")
    return model


def _predict_part(
    rows: pd.DataFrame, model: Any, needed: Sequence[str], keep: Sequence[str], proba: bool, empty: Any = None
) -> Any:
    if not len(rows):  # scikit-learn refuses to work on no rows
        return empty
    columns = {name: rows[name] for name in keep} | {"prediction": model.predict(rows[needed])}
    if proba:
        shares = model.predict_proba(rows[needed])
        columns |= {f"probability_{label}": shares[:, at] for at, label in enumerate(model.classes_)}
    return pd.DataFrame(columns, index=rows.index)


def _write(predicted: Any, out: Path) -> None:
    with drafted(out) as draft:
        if out.suffix == ".csv":
            predicted.to_csv(str(draft), single_file=True, index=False)
        else:
            predicted.to_parquet(str(draft), write_index=False)
