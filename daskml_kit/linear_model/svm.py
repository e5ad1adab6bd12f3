"""The linear support vector machine."""

from __future__ import annotations

import numpy as np
import sklearn.svm

from daskml_kit.arguments import check_choice, check_number
from daskml_kit.linear_model.base import Classes, LinearClassifier, free_coefficients, spread_penalty
from daskml_kit.numerics.losses import SquaredHinge
from daskml_kit.numerics.targets import OneVsRest
from daskml_kit.reductions.summary import DataSummary
from daskml_kit.solvers.objective import Problem
from daskml_kit.solvers.types import DataSpec, Fit


class LinearSVC(LinearClassifier, sklearn.svm.LinearSVC):  # type: ignore[misc]
    r"""Linear support vector classification with the squared hinge, one class against the rest.

    .. math:: \tfrac12 \|w\|_2^2 + C \sum_i s_i \max(0, 1 - y_i (x_i^\top w + b))^2

    All classes are fitted in the same passes.

    Parameters
    ----------
    penalty : {"l2", "l1"}, default "l2"
    loss : {"squared_hinge"}, default "squared_hinge"
        The hinge itself is not smooth: not supported.
    dual : {"auto", False}, default "auto"
        The primal is solved; True is not supported.
    tol : float, default 1e-4
        On the gradients of the mean objective; see `LogisticRegression`.
    C : float, default 1.0
        Inverse strength of the penalty.
    multi_class : {"ovr"}, default "ovr"
    fit_intercept : bool, default True
    intercept_scaling : float, default 1
        The intercept is never penalized here, where scikit-learn's liblinear penalizes it unless this is large; so only
        1 is accepted.
    class_weight : dict or "balanced", optional
        Factors of the weights of each class's rows.
    verbose : int, default 0
        Above 0, show a bar of the passes.
    random_state : int, RandomState, Generator or None, optional
        Seed of the sample of rows that the first guess is made from.
    max_iter : int, default 1000

    Attributes
    ----------
    coef_ : array of shape (1, n_features) or (n_classes, n_features)
    intercept_ : array of shape (1,) or (n_classes,), or 0.0 where none is fitted
    classes_ : array of shape (n_classes,)
    n_iter_ : int
    profile_ : daskml_kit.engines.engine.Profile
        Passes, seconds and solver of the last fit.

    See Also
    --------
    LogisticRegression : The log-loss, with probabilities.
    SGDClassifier : The hinge itself, by small steps.

    References
    ----------
    Fan, Chang, Hsieh, Wang and Lin, "LIBLINEAR: a library for large linear classification", 2008.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array([[0.0], [1.0], [2.0], [3.0]], chunks=(2, 1))
    >>> LinearSVC().fit(X, da.from_array([1, 1, 2, 2], chunks=2)).predict(X).compute()
    array([1, 1, 2, 2])
    """

    def _fit_steps(self, spec: DataSpec) -> Fit:
        summary, classes = yield from self._summarize_classes(spec)
        problems = self._problems(spec, summary, classes)
        results = yield from self._minimize(problems, summary, spec)
        rows = np.vstack([problems[key].unravel(result.w) for key, result in results.items()])
        coef = rows.astype(summary.precision)
        return {
            "classes_": classes.labels,
            "coef_": coef[:, :-1],
            "intercept_": coef[:, -1] if self.fit_intercept else 0.0,
            "n_iter_": max(result.n_iter for result in results.values()),
        }

    def _problems(self, spec: DataSpec, summary: DataSummary, classes: Classes) -> dict[int, Problem]:
        d, n_classes = spec.n_features, len(classes.labels)
        weights = classes.factors(self.class_weight)
        free = free_coefficients(1, d, self.fit_intercept)
        scale = 1 / summary.weight
        strength = spread_penalty(scale / self.C, 1, d, self.fit_intercept)
        none = np.zeros(len(free))
        l1, l2 = (strength, none) if self.penalty == "l1" else (none, strength)
        problems = {}
        for k in [1] if n_classes == 2 else range(n_classes):
            # liblinear weighs the rest of more than two classes by one
            pair = None if weights is None else np.array([[weights[0] if n_classes == 2 else 1.0, weights[k]]])
            target = OneVsRest(classes.stored[k : k + 1], pair)
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
