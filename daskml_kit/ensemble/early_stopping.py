"""Early stopping of gradient boosting on Dask data, by validation rows that all workers judge alike."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Self

import dask
import numpy as np
from distributed import get_client
from sklearn.base import clone, is_classifier

from daskml_kit.arguments import check_inner, check_number, random_state_of
from daskml_kit.base import restored
from daskml_kit.composition import without_dask
from daskml_kit.data.align import align_rows
from daskml_kit.data.collections import is_dask, join
from daskml_kit.model_selection.search.slivers import fit_on_dask, is_of
from daskml_kit.model_selection.search.task_search import is_distributed
from daskml_kit.model_selection.splits.folds import labels_of
from daskml_kit.reductions.summary import position_of
from daskml_kit.typing import Array, Labels
from daskml_kit.wrappers import ParallelPostFit, given_rows, validation_split


class EarlyStopping(ParallelPostFit):
    """Gradient boosting of LightGBM or XGBoost that ends when it no longer gets better on validation rows.

    The validation rows are drawn from those of ``fit``, in a search from the training rows of each split. On Dask data
    all workers come to the same decision: XGBoost's add up their scores, LightGBM's, which would judge by the rows that
    they have themselves, are each given all validation rows. The fitted model is that of one process, and predicts
    lazily on each block.

    Parameters
    ----------
    estimator : estimator
        Of ``xgboost.dask`` or LightGBM's on Dask, such as ``lightgbm.DaskLGBMClassifier()``; for data in memory one of
        those packages' others.
    scoring : str or callable, optional
        Score of `score`; by default the estimator's own.
    early_stopping_rounds : int, default 10
        Trees without an improvement of the estimator's first metric after which it ends.
    validation_fraction : float, default 0.1
        Part of the rows, of each class, that validates; LightGBM's workers each have room for them.
    random_state : int, RandomState, Generator or None, optional
        Seed of the draw of these rows.

    Attributes
    ----------
    estimator_ : estimator
        Fitted, free of Dask. Its own attributes (``classes_``, ``evals_result_``, ...) are this one's, too.
    best_iteration_ : int
        Number of trees with the best score, by which it predicts.

    See Also
    --------
    daskml_kit.model_selection.GridSearchCV : Takes this, or the packages' own estimators.

    References
    ----------
    Prechelt, "Early stopping - but when?", Neural Networks: Tricks of the Trade (1998).

    Examples
    --------
    >>> from lightgbm import LGBMRegressor
    >>> X = np.random.default_rng(0).normal(size=(500, 2))
    >>> model = EarlyStopping(LGBMRegressor(n_estimators=500, verbose=-1), random_state=0).fit(X, X[:, 0])
    >>> model.best_iteration_ < 500
    True
    """

    def __init__(
        self,
        estimator: Any = None,
        scoring: Any = None,
        early_stopping_rounds: int = 10,
        validation_fraction: float = 0.1,
        random_state: Any = None,
    ) -> None:
        super().__init__(estimator, scoring)
        self.early_stopping_rounds = early_stopping_rounds
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, **fit_params: Any) -> Self:
        """Fit a clone of the estimator to all rows but those that validate.

        Parameters
        ----------
        X : Dask array or DataFrame, or what the estimator takes in memory, of shape (n_samples, n_features)
        y : as X, of shape (n_samples,)
        **fit_params
            For the estimator's ``fit``. ``sample_weight`` weighs the validation rows, too.

        Returns
        -------
        EarlyStopping
            Itself.

        Raises
        ------
        TypeError
            Where the estimator is of another package, or takes no data of this kind.
        """
        self._check(X, y, fit_params)
        weight = fit_params.pop("sample_weight", None)
        given = given_rows(X, y, weight)
        train, test = validation_split(self.estimator, given, self.validation_fraction, self.random_state)
        fit = _fit_lightgbm if is_of("lightgbm", self.estimator) else _fit_xgboost
        with restored(self):
            model = fit(clone(self.estimator), train, test, self.early_stopping_rounds, fit_params)
            self.estimator_ = without_dask(model)
            lightgbm = is_of("lightgbm", model)
            self.best_iteration_ = int(model.best_iteration_ if lightgbm else model.best_iteration + 1)
        return self

    def _check(self, X: Any, y: Any, fit_params: Mapping[str, Any]) -> None:
        check_inner("estimator", self.estimator, "fit")
        check_number("early_stopping_rounds", self.early_stopping_rounds, low=1, integer=True)
        check_number("validation_fraction", self.validation_fraction, low=0, below=1, strict=True)
        random_state_of(self.random_state)
        if y is None:
            raise ValueError("y: expected a target, got None")
        if not is_of("lightgbm", self.estimator) and not is_of("xgboost", self.estimator):
            raise TypeError(f"estimator: expected one of LightGBM or XGBoost, got {self.estimator!r}")
        if is_dask(X) != is_distributed(self.estimator):
            kind = "a Dask collection" if is_dask(X) else "data in memory"
            raise TypeError(f"estimator: expected one that takes {kind}, as X is, got {type(self.estimator).__name__}")
        if taken := {"eval_set", "eval_X", "eval_y", "early_stopping_rounds"} & set(fit_params):
            raise TypeError(f"{', '.join(sorted(taken))}: the rows that validate are drawn from X by EarlyStopping")


def _fit_xgboost(
    model: Any, train: Mapping[str, Any], test: Mapping[str, Any], rounds: int, params: Mapping[str, Any]
) -> Any:
    model.set_params(early_stopping_rounds=rounds)
    weights = {"sample_weight_eval_set": [test["sample_weight"]]} if "sample_weight" in test else {}
    validation = {"eval_set": [(test["X"], test["y"])], "verbose": False, **weights}
    return fit_on_dask(model, **train, **validation, **params)


def _fit_lightgbm(
    model: Any, train: Mapping[str, Any], test: Mapping[str, Any], rounds: int, params: Mapping[str, Any]
) -> Any:
    labels = labels_of(train["y"]) if is_classifier(model) else None
    add: Any
    if is_dask(test["X"]):
        blocks = {column.name: column.blocks for column in align_rows(test).columns}
        # A future among the arguments of LightGBM's tasks: Dask sends what it holds to each of their workers.
        add = get_client().compute(dask.delayed(AddValidation.of)(labels, **blocks))
    else:
        add = AddValidation.of(labels, **{name: [part] for name, part in test.items()})
    stop = import_module("lightgbm").early_stopping(rounds, first_metric_only=True, verbose=False)
    return fit_on_dask(model, **train, **{**params, "callbacks": [*params.get("callbacks", ()), add, stop]})


class AddValidation:
    """Callback of LightGBM that has each worker judge by the same rows.

    LightGBM's own early stopping then comes to the same decision on all of them. Workers that ended one after another
    would wait for each other for ever.

    Parameters
    ----------
    X : array or DataFrame
    y : array
        Labels as their positions among all.
    sample_weight : array, optional
    """

    order, before_iteration = 0, True

    def __init__(self, X: Any, y: Array, sample_weight: Array | None = None) -> None:
        self.X, self.y, self.sample_weight = X, y, sample_weight

    @classmethod
    def of(cls, labels: Labels | None, X: Any, y: Any, sample_weight: Any = None) -> AddValidation:
        """Return the callback of the rows of all blocks."""
        target = np.asarray(join(y))
        codes = target if labels is None else position_of(labels, target)
        return cls(join(X), codes, None if sample_weight is None else np.asarray(join(sample_weight)))

    def __call__(self, env: Any) -> None:
        if env.iteration == env.begin_iteration:
            train = env.model.train_set
            rows = train.create_valid(self.X, self.y, weight=self.sample_weight, params=train.get_params())
            env.model.add_valid(rows, "validation")
