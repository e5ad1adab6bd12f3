"""What is said of fits that failed."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any

from sklearn.exceptions import FitFailedWarning


def tell_failures(errors: Sequence[str], total: int, error_score: Any, stacklevel: int) -> None:
    """Warn once of the fits that failed, with their tracebacks, if there are any.

    Raises
    ------
    ValueError
        Where every fit failed.
    """
    if not errors:
        return
    each = (f"{count} fits failed with the following error:\n{error}" for error, count in Counter(errors).items())
    shown = "\n".join(["Below are more details about the failures:", *each])
    if len(errors) == total:
        raise ValueError(
            f"\nAll the {total} fits failed.\nIt is very likely that your model is misconfigured.\n"
            f"You can try to debug the error by setting error_score='raise'.\n\n{shown}"
        )
    warnings.warn(
        f"\n{len(errors)} fits failed out of a total of {total}.\nThe score on these train-test partitions for these "
        f"parameters will be set to {error_score}.\n{shown}",
        FitFailedWarning,
        stacklevel=stacklevel + 1,
    )
