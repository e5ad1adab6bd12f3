"""What came of one candidate on one split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Outcome(NamedTuple):
    """Scores by scorer's name, seconds, and the number of test rows.

    Parameters
    ----------
    test : mapping of str to float
    train : mapping of str to float, optional
        Where scores on the training rows were asked for.
    fit_time, score_time : float
        Seconds; of fits that share passes, their share of them.
    n_test : int
    error : str, optional
        The traceback of a fit that failed.
    estimator : object, optional
        The fitted estimator, where it was asked for.
    """

    test: Mapping[str, float]
    train: Mapping[str, float] | None = None
    fit_time: float = 0.0
    score_time: float = 0.0
    n_test: int = 0
    error: str | None = None
    estimator: Any = None
