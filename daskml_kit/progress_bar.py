"""Progress bar: one style for fits, trainings and searches, in terminals and notebooks."""

from __future__ import annotations

import warnings
from typing import Any

from tqdm import TqdmWarning

with warnings.catch_warnings():
    warnings.simplefilter("ignore", TqdmWarning)  # a notebook without ipywidgets has the bar of a terminal
    from tqdm.auto import tqdm


def progress_bar(
    stage: str, unit: str, total: int | None = None, *, initial: int = 0, scaled: bool = False, hidden: bool = False
) -> Any:
    """Return a progress bar, which is a context; with a total it tells the time left.

    Parameters
    ----------
    stage : str
        What is done.
    unit : str
        What is counted.
    total : int, optional
        How many there are.
    initial : int, default 0
        How many were done before.
    scaled : bool, default False
        Whether counts are large, and shown as 1.2M.
    hidden : bool, default False
        Whether nothing is shown.
    """
    return tqdm(desc=stage, unit=unit, total=total, initial=initial, unit_scale=scaled, disable=hidden)


def advance(bar: Any, done: int, **facts: Any) -> None:
    """Move a bar to what is done, and show facts beside it: all but None, NaN and empty ones.

    Examples
    --------
    >>> with progress_bar("fits", "fit", 2, hidden=True) as bar:
    ...     advance(bar, 1, loss=0.25, validation=float("nan"))
    """
    shown = {name: f"{fact:.4g}" if isinstance(fact, float) else fact for name, fact in facts.items() if fact == fact}
    bar.set_postfix({name: fact for name, fact in shown.items() if fact not in (None, "")}, refresh=False)
    bar.update(done - bar.n)


def print_beside(text: str) -> None:
    """Print a line that no bar runs through."""
    tqdm.write(text)
