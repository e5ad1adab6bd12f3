"""Base classes of linear models: checks, the summary of the data, labels, and solving for coefficients."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Hashable, Mapping
from copy import deepcopy
from functools import partial
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar

import dask
import numpy as np
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.class_weight import compute_class_weight

from daskml_kit.base import DaskEstimator
from daskml_kit.exceptions import DataError
from daskml_kit.linear_model.pilot import sample_rows
from daskml_kit.linear_model.solve import OTHER_NAMES, Options, minimize
from daskml_kit.progress_bar import print_beside
from daskml_kit.reductions.equal_rows import REPEATS
from daskml_kit.reductions.gram import overflow
from daskml_kit.reductions.summary import DataSummary, Summary, position_of
from daskml_kit.solvers.objective import Problem
from daskml_kit.solvers.types import DataSpec, Encode, Result
from daskml_kit.typing import Array, Labels
from daskml_kit.validation import check_labels, seed_of

Key = TypeVar("Key", bound=Hashable)


MERGE_SETTING = "daskml-kit.merge-rows"


def merging() -> bool | Literal["auto"]:
    """Return whether fits take equal rows of categories as one: "auto" where there are at least `REPEATS` of a kind.

    Raises
    ------
    ValueError
        Where the Dask setting ``daskml-kit.merge-rows`` is none of these.
    """
    value = dask.config.get(MERGE_SETTING, "auto")
    if isinstance(value, bool):
        return value
    if value != "auto":
        raise ValueError(f"the Dask setting {MERGE_SETTING!r}: expected 'auto', True or False, got {value!r}")
    return "auto"


def _repeats(summary: DataSummary) -> bool:
    """Return whether equal rows are to be merged."""
    if summary.distinct is None:
        return False
    return summary.distinct < summary.n_rows if merging() is True else summary.distinct * REPEATS <= summary.n_rows


class LinearModel(DaskEstimator):
    """Base of the linear models."""

    max_iter: Any
    tol: float
    _merges_rows: ClassVar[bool] = True
    """Whether rows of categories that are equal may be taken as one, whatever numbers their targets are."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.input_tags.sparse = True
        return tags

    def _summarize(
        self, spec: DataSpec, *, labeled: bool = False, n_outputs: int = 1
    ) -> Generator[Summary, DataSummary, DataSummary]:
        """Ask for the summary of the data, and refuse data without rows."""
        d = spec.n_features
        rows, state = sample_rows(n_outputs * (d + 1)), getattr(self, "random_state", None)
        # scikit-learn's default solvers do not draw: who shares the state goes on as with them
        seed = seed_of(deepcopy(state) if isinstance(state, (np.random.RandomState, np.random.Generator)) else state)
        # what was merged of rows that are read anew for each pass would be merged in each of them, which takes longer
        counts = self._merges_rows and (merging() is True or (merging() == "auto" and not spec.streams))
        summary = yield Summary(labeled, rows, spec.n_blocks, seed, count_distinct=counts)
        require_rows(summary.n_rows, summary.weight, d)
        return summary

    def _minimize(
        self, problems: Mapping[Key, Problem], summary: DataSummary, spec: DataSpec, *, max_iter: int | None = None
    ) -> Generator[Any, Any, dict[Key, Result]]:
        """Solve the problems with the estimator's own solver and tolerances; warn where one stopped short."""
        require_squares(summary)
        limit = self.max_iter if max_iter is None else max_iter
        solver = getattr(self, "solver", "auto")
        known = OTHER_NAMES.get(solver, solver)
        options = Options(known, self.tol, limit, merged=_repeats(summary), tell=partial(self._tell, spec))
        results: dict[Key, Result] = yield from minimize(problems, summary, options, spec.start, spec.shared)
        stopped = [result.n_iter for result in results.values() if not result.converged]
        if stopped:
            warnings.warn(
                f"{type(self).__name__} did not converge in {max(stopped)} iterations (max_iter={limit}, "
                f"tol={self.tol}): increase max_iter, or scale the features",
                ConvergenceWarning,
                stacklevel=3,
            )
        return results

    def _tell(self, spec: DataSpec, choice: str) -> None:
        """Note which solver the fit takes, and why, for its profile; print it where the model is verbose."""
        spec.shared["solver"] = choice
        if getattr(self, "verbose", 0):
            print_beside(f"solver {choice}")


class Classes(NamedTuple):
    """Labels of a classification: as users have them, as blocks have them, and the sample weight of each."""

    labels: Labels
    stored: Labels
    weight: Array

    def factors(self, class_weight: Any) -> Array | None:
        """Return the factor of each class's rows, as scikit-learn's `compute_class_weight` gives it."""
        if class_weight is None:
            return None
        return np.asarray(
            compute_class_weight(class_weight, classes=self.labels, y=self.labels, sample_weight=self.weight)
        )


class LinearClassifier(LinearModel):
    """Base of the linear classifiers: labels of any type."""

    def _summarize_classes(self, spec: DataSpec) -> Generator[Any, Any, tuple[DataSummary, Classes]]:
        """Ask for the summary and the labels of the data, and make targets cheap to compare inside a pass.

        Numbers stay as they are; other labels, strings for one, become their position among the labels, once.

        Raises
        ------
        ValueError
            Where there is one class only, or the target is continuous.
        """
        summary = yield from self._summarize(spec, labeled=True)
        stored, weight = summary.labels, summary.label_weight
        if stored is None or weight is None:
            raise TypeError("the summary was not asked for labels")
        labels = stored if spec.labels is None else spec.labels[stored]
        check_labels(labels)
        weighted = labels[weight > 0]
        if len(weighted) < 2:
            raise ValueError(
                f"{type(self).__name__} needs samples of at least 2 classes in the data, with positive weight, but the "
                f"data contains only one class: {weighted[0]!r}"
            )
        if stored.dtype.kind not in "fiub":
            yield Encode(stored)
            sample_y = position_of(stored, np.asarray(summary.sample_y))
            summary = summary._replace(sample_y=sample_y, labels=np.arange(len(stored)))
        return summary, Classes(labels, np.asarray(summary.labels), weight)


def require_rows(n_rows: int, weight: float, n_features: int) -> None:
    """Raise where there is nothing to fit."""
    if n_rows == 0:
        shape = (0, n_features)
        raise ValueError(f"Found array with 0 sample(s) (shape={shape}) while a minimum of 1 is required.")
    if not weight > 0:
        raise ValueError("sample_weight: expected some positive weights, got a sum of zero: sample weights are zero")


def require_squares(summary: DataSummary) -> None:
    """Raise where the squares of a sample's values overflow its type: no Hessian, no step of a solver has numbers then.

    Raises
    ------
    DataError
        With what to do about it.
    """
    X = summary.sample_X
    values = X.data if sp.issparse(X) else X
    if values.dtype.kind == "f" and values.size:
        largest = max(float(values.max()), -float(values.min()))
        if largest > np.sqrt(np.finfo(values.dtype).max / summary.n_rows):
            raise DataError(overflow(values.dtype))


def free_coefficients(n_outputs: int, n_features: int, intercept: bool) -> Array:
    """Return the indices of the coefficients that are fitted: all, or all but the last of each output."""
    kept = np.ones((n_outputs, n_features + 1), bool)
    kept[:, -1] = intercept
    return np.flatnonzero(kept)


def spread_penalty(strength: float, n_outputs: int, n_features: int, intercept: bool) -> Array:
    """Return ``strength`` for each coefficient of a feature and 0 for each intercept."""
    one = np.full(n_features + intercept, strength)
    if intercept:
        one[-1] = 0
    return np.tile(one, n_outputs)


def warm_start_of(model: Any, n_outputs: int, n_features: int) -> Array:
    """Return the coefficients of the last fit, of shape (n_outputs, n_features + 1); zeros where there are none."""
    if not (model.warm_start and hasattr(model, "coef_")):
        return np.zeros((n_outputs, n_features + 1))
    coef, wanted = np.atleast_2d(model.coef_), (n_outputs, n_features)
    if coef.shape != wanted:
        raise ValueError(f"warm_start: expected the last coef_ to have shape {wanted}, got {model.coef_.shape}")
    intercept = np.broadcast_to(np.reshape(model.intercept_, (-1, 1)), (n_outputs, 1))
    return np.hstack([coef, intercept]).astype(np.float64)
