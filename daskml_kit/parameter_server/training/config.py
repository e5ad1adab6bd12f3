"""How to train, checked before anything starts."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import numpy as np

from daskml_kit.exceptions import DataError

MODES = ("sync", "stale", "async")
STALE = 4
"""How far a trainer may be ahead with mode="stale" and no number given."""


class Setting(NamedTuple):
    """How to train; `train` says what each means."""

    mode: str = "sync"
    staleness: int | None = None
    epochs: int = 1
    batch_size: int = 256
    push_every: int | None = None
    lanes: int = 8
    backup: int = 0
    servers: int | str = "auto"
    replicas: int = 1
    shuffle: bool = True
    validation_fraction: float = 0.0
    patience: int | None = None
    tol: float = 1e-4
    on_nan: str = "raise"
    top_k: float | None = None
    snapshot: str | os.PathLike[str] | None = None
    random_state: int = 0
    n_jobs: int | None = None
    verbose: int = 0

    @property
    def bound(self) -> float:
        """The staleness that servers allow."""
        return {"sync": 0.0, "async": np.inf}.get(self.mode, float(self.staleness or STALE))


def checked(setting: Setting) -> Setting:
    """Return the setting.

    Raises
    ------
    DataError
        Where a value cannot be used, or has no effect in the mode.
    """
    if setting.mode not in MODES:
        raise DataError(f"mode: expected 'sync', 'stale' or 'async', got {setting.mode!r}")
    for name in ("epochs", "batch_size", "lanes"):
        _integer(name, getattr(setting, name), 1)
    for name in ("push_every", "patience"):
        if getattr(setting, name) is not None:
            _integer(name, getattr(setting, name), 1)
    if setting.staleness is not None:
        _integer("staleness", setting.staleness, 1)
        if setting.mode != "stale":
            raise DataError(f"staleness: expected none with mode={setting.mode!r}; mode='stale' has one")
    _integer("backup", setting.backup, 0)
    if setting.backup and setting.mode != "sync":
        raise DataError(f"backup: expected 0 with mode={setting.mode!r}: nothing waits for all pieces there")
    if not 0 <= setting.validation_fraction < 1:
        raise DataError(f"validation_fraction: expected a share from 0 to below 1, got {setting.validation_fraction!r}")
    if setting.top_k is not None:
        if not 0 < setting.top_k <= 1:
            raise DataError(f"top_k: expected a share above 0 and at most 1, got {setting.top_k!r}")
        if setting.mode == "sync":
            raise DataError("top_k: expected none with mode='sync': what is left over would be lost with a trainer")
    return setting


def _integer(name: str, value: Any, least: int) -> None:
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
        raise DataError(f"{name}: expected a whole number of at least {least}, got {value!r}")
