"""The linear support vector machine."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import sklearn.svm

from daskml_kit.engines.open import open_engine
from daskml_kit.linear_model.base import (
    LinearClassifier,
    check_choice,
    check_number,
    class_weights,
    encode_targets,
    free_coefficients,
    spread_penalty,
)
from daskml_kit.numerics.losses import SquaredHinge
from daskml_kit.numerics.targets import OneVsRest
from daskml_kit.reductions.summary import DataSummary
from daskml_kit.solvers.objective import Problem
from daskml_kit.typing import Labels
from daskml_kit.validation import check_fit


class LinearSVC(LinearClassifier):
    r"""Linear support vector classification with the squared hinge, one class against the rest.

    .. math:: \tfrac12 \|w\|_2^2 + C \sum_i s_i \max(0, 1 - y_i (x_i^\top w + b))^2

    All classes are fitted in the same passes.

    Parameters
    ----------
    penalty : {"l2", "l1"}, default "l2"
    loss : {"squared_hinge"}, default "squared_hinge"
        The hinge itself is not smooth: not supported.
    dual : {"auto", False}, default "auto"
    tol : float, default 1e-4
        On the gradients of the mean objective; see `LogisticRegression`.
    C : float, default 1.0
    multi_class : {"ovr"}, default "ovr"
    fit_intercept : bool, default True
    intercept_scaling : float, default 1
        The intercept is never penalized here, where scikit-learn's liblinear penalizes it unless this is large; so only
        1 is accepted.
    class_weight : dict or "balanced", optional
    verbose : int, default 0
        Above 0, print a line for each pass.
    random_state : int, optional
        Seed of the sample of rows that the first guess is made from.
    max_iter : int, default 1000

    Attributes
    ----------
    coef_ : array of shape (1, n_features) or (n_classes, n_features)
    intercept_ : array of shape (1,) or (n_classes,), or 0.0 where none is fitted
    classes_ : array of shape (n_classes,)
    n_iter_ : int
    profile_ : daskml_kit.engines.profile.Profile

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array([[0.0], [1.0], [2.0], [3.0]], chunks=(2, 1))
    >>> LinearSVC().fit(X, da.from_array([1, 1, 2, 2], chunks=2)).predict(X).compute()
    array([1, 1, 2, 2])
    """

    def __init__(
        self,
        penalty: str = "l2",
        loss: str = "squared_hinge",
        *,
        dual: Any = "auto",
        tol: float = 1e-4,
        C: float = 1.0,
        multi_class: str = "ovr",
        fit_intercept: bool = True,
        intercept_scaling: float = 1,
        class_weight: Any = None,
        verbose: int = 0,
        random_state: int | None = None,
        max_iter: int = 1000,
    ) -> None:
        self.penalty = penalty
        self.loss = loss
        self.dual = dual
        self.tol = tol
        self.C = C
        self.multi_class = multi_class
        self.fit_intercept = fit_intercept
        self.intercept_scaling = intercept_scaling
        self.class_weight = class_weight
        self.verbose = verbose
        self.random_state = random_state
        self.max_iter = max_iter

    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, checkpoint: Any = None) -> Self:
        """Fit the model to X of shape (n_samples, n_features) and labels y of shape (n_samples,).

        ``checkpoint`` is a folder that keeps each pass's answer: called again, an interrupted fit resumes there.
        """
        self._check_parameters()
        with self._fitting():
            inputs = check_fit(self, X, y, sample_weight, labeled=True)
            with open_engine(*inputs, checkpoint=checkpoint, setting=self.get_params()) as engine:
                summary = self._survey(engine, labeled=True, seed=self.random_state or 0)
                classes = self._classes(summary)
                summary = encode_targets(engine, summary)
                problems = self._problems(summary, classes)
                results = self._minimize(engine, problems, summary)
            rows = np.vstack([problems[key].unravel(result.w) for key, result in results.items()])
            coef = rows.astype(summary.precision)
            self.classes_, self.profile_ = classes, engine.profile
            self.n_iter_ = max(result.n_iter for result in results.values())
            self.coef_, self.intercept_ = coef[:, :-1], coef[:, -1] if self.fit_intercept else 0.0
        return self

    def to_sklearn(self) -> Any:
        """Return the fitted `sklearn.svm.LinearSVC`."""
        return self._hand_over(sklearn.svm.LinearSVC(**self.get_params()), "coef_", "intercept_", "classes_", "n_iter_")

    def _problems(self, summary: DataSummary, classes: Labels) -> dict[int, Problem]:
        d, n_classes = self.n_features_in_, len(classes)
        weights, stored = class_weights(self.class_weight, classes, summary), summary.labels
        if stored is None:
            raise TypeError("the survey was not asked for labels")
        free = free_coefficients(1, d, self.fit_intercept)
        scale = 1 / summary.weight
        strength = spread_penalty(scale / self.C, 1, d, self.fit_intercept)
        none = np.zeros(len(free))
        l1, l2 = (strength, none) if self.penalty == "l1" else (none, strength)
        problems = {}
        for k in [1] if n_classes == 2 else range(n_classes):
            # liblinear weighs the rest of more than two classes by one
            pair = None if weights is None else np.array([[weights[0] if n_classes == 2 else 1.0, weights[k]]])
            target = OneVsRest(stored[k : k + 1], pair)
            problems[k] = Problem(SquaredHinge(), target, (1, d + 1), free, l2, l1, scale, none)
        return problems

    def _check_parameters(self) -> None:
        check_choice("penalty", self.penalty, ("l2", "l1"))
        check_choice("multi_class", self.multi_class, ("ovr",))
        check_number("C", self.C, low=0, strict=True)
        check_number("tol", self.tol, low=0, strict=True)
        check_number("max_iter", self.max_iter, low=0, integer=True)
        if self.loss != "squared_hinge":
            raise ValueError(
                f"loss: expected 'squared_hinge', got {self.loss!r}: a solver for the plain hinge is missing"
            )
        if self.dual not in ("auto", False):
            raise ValueError(f"dual: expected 'auto' or False, got {self.dual!r}: a dual solver is missing")
        if self.intercept_scaling != 1:
            raise ValueError("intercept_scaling: expected 1, since the intercept is never penalized here")
