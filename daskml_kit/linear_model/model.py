"""What linear models have in common: how a fit goes, and what is left of it."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any, ClassVar, TypeVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning

from daskml_kit.engines.computing import computing
from daskml_kit.engines.engine import Engine
from daskml_kit.engines.profile import Profile, print_pass, watching
from daskml_kit.linear_model.minimise import minimise
from daskml_kit.linear_model.pilot import sample_rows
from daskml_kit.linear_model.problem import Problem
from daskml_kit.queries.survey import Overview, Survey
from daskml_kit.solvers.result import Result
from daskml_kit.twin import SklearnTwin
from daskml_kit.typing import Array
from daskml_kit.validation import check_choice as check_choice
from daskml_kit.validation import check_number as check_number
from daskml_kit.validation import check_share as check_share

Key = TypeVar("Key", bound=Hashable)


class LinearModel(SklearnTwin, BaseEstimator):  # type: ignore[misc]
    """Base of the linear models."""

    asks_questions: ClassVar[bool] = True
    """Whether all that it learns of the data are answers to questions, which several fits can ask at once."""

    coef_: Array
    intercept_: Any
    n_features_in_: int
    profile_: Profile

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _survey(self, engine: Engine, *, labelled: bool, n_outputs: int = 1, seed: int = 0) -> Overview:
        """Ask for the overview of the data, and refuse data without rows."""
        d = self.n_features_in_
        rows = sample_rows(d, n_outputs * (d + 1))
        overview: Overview = engine.answer(Survey(labelled, rows, engine.n_blocks, seed))[0]
        self._require_rows(overview.n_rows, overview.weight)
        return overview

    def _require_rows(self, n_rows: int, weight: float) -> None:
        """Raise where there is nothing to fit."""
        if n_rows == 0:
            shape = (0, self.n_features_in_)
            raise ValueError(f"Found array with 0 sample(s) (shape={shape}) while a minimum of 1 is required.")
        if not weight > 0:
            raise ValueError(
                "sample_weight: expected some positive weights, got a sum of zero: sample weights are zero"
            )

    def _minimise(
        self, engine: Engine, problems: Mapping[Key, Problem], overview: Overview, *, max_iter: int | None = None
    ) -> dict[Key, Result]:
        """Solve the problems with the estimator's own solver and tolerances; warn where one stopped short."""
        limit = self.max_iter if max_iter is None else max_iter
        solver = getattr(self, "solver", "auto")
        results = minimise(engine, problems, overview, solver=solver, tol=self.tol, max_iter=limit)
        stopped = [result.n_iter for result in results.values() if not result.converged]
        if stopped:
            warnings.warn(
                f"{type(self).__name__} did not converge in {max(stopped)} iterations (max_iter={limit}, "
                f"tol={self.tol}): increase max_iter, or scale the features",
                ConvergenceWarning,
                stacklevel=3,
            )
        return results

    @contextmanager
    def _fitting(self) -> Iterator[None]:
        """Leave the estimator as it was if the fit fails or is interrupted; print passes where it is verbose.

        BLAS keeps to one thread.
        """
        before = dict(self.__dict__)
        try:
            # solvers factor matrices between passes: BLAS threads there wait for a busy neighbour (0.4 s for 20 ms)
            with computing(), watching(print_pass) if getattr(self, "verbose", 0) else nullcontext():
                yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise


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
