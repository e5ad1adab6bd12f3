"""Search over any estimator by a task for each batch of fits, which share folds and fitted transformers."""

from __future__ import annotations

import itertools
import time
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import dask
import dask.array as da
import numpy as np
from sklearn import config_context, get_config
from sklearn.base import ClassifierMixin, RegressorMixin, clone
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags

from daskml_kit.data.collections import array_bytes, fits, is_dask
from daskml_kit.engines.open import find_client
from daskml_kit.model_selection.search.cv_results import FitKey, Outcome, decide_by_kind, with_params
from daskml_kit.model_selection.search.dispatcher import Dispatcher
from daskml_kit.model_selection.search.fit_and_score import FitSpec, outcome_of, score
from daskml_kit.model_selection.search.fold import Fold, FoldData
from daskml_kit.model_selection.search.task_pool import open_fit_pool
from daskml_kit.model_selection.search.work_queue import WorkQueue, shared_groups
from daskml_kit.model_selection.splits.folds import Folds

DISTRIBUTED = ("daskml_kit", "xgboost.dask", "lightgbm.dask", "dask_ml")
"""Packages whose estimators take Dask data, known by their names: an estimator of theirs has imported them."""
MAX_LOST = 3
"""Repetitions of a fit on Dask data that failed while a worker was lost."""
NOTICED_AFTER = 1.0
"""Seconds within which the scheduler notices that a worker is lost."""
Keep = Callable[[FitKey, Outcome], None]


def run_tasks(
    estimator: Any,
    candidates: Sequence[Mapping[str, Any]],
    X: Any,
    y: Any,
    folds: Folds,
    scorers: Mapping[str, Callable[..., Any]],
    *,
    fit_params: Mapping[str, Any],
    score_params: Mapping[str, Any],
    keep: Keep,
    return_train_score: bool,
    error_score: Any,
    return_estimator: bool = False,
    n_jobs: int | None = None,
    known: Collection[FitKey] = frozenset(),
) -> None:
    """Fit and score each candidate on each split; ``keep`` is called with (candidate, split) and outcome as they come.

    Each fit has a single thread, and sees a NumPy array, a CSR matrix or a data frame. A fold is made once for the
    workers of a machine, which work on one fold at a time where there are candidates enough. Transformers in a pipeline
    are fitted once for all candidates that have them and the steps before them in common; those without a seed make one
    draw for all of these. They are fitted anew only where an idle worker would otherwise wait for much longer. The time
    of a shared fit is that of the candidate which came first.

    Candidates that are themselves distributed are given Dask data, and fitted one after another, first.

    Parameters
    ----------
    estimator : estimator
    candidates : sequence of mappings
        Parameters; it may be lazy, as `ParameterGrid` is.
    X, y : Dask collection, or array, CSR matrix or data frame
        y may be None.
    folds : Folds
    scorers : mapping of str to callable
        Scorers of scikit-learn's kind.
    fit_params, score_params : mapping
        Of these the ones with a value for each row are split, too.
    keep : callable
    return_train_score, return_estimator : bool
    error_score : float or "raise"
    n_jobs : int, optional
        Threads where there is no cluster: by default one a processor, inside a Dask task one; -1 is all.
    known : collection of (candidate, split)
        Fits that are not to be done.

    Raises
    ------
    LostDataError
        Where data was lost that cannot be computed again.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.metrics import get_scorer
    >>> from daskml_kit.model_selection import KFold
    >>> X = np.arange(8.0).reshape(4, 2)
    >>> options = dict(fit_params={}, score_params={}, return_train_score=False, error_score="raise")
    >>> folds, scorers = KFold(2).assign(X), {"r2": get_scorer("r2")}
    >>> found = {}
    >>> run_tasks(Ridge(), [{"alpha": 1e-9}], X, X[:, 0], folds, scorers, keep=found.__setitem__, **options)
    >>> [(key, round(found[key].test["r2"], 6)) for key in sorted(found)]
    [((0, 0), 1.0), ((0, 1), 1.0)]
    """
    spec = FitSpec(estimator, scorers, return_train_score, error_score, return_estimator, get_config())
    data = FoldData.of(X, y, folds, fit_params, score_params, pairwise=get_tags(estimator).input_tags.pairwise)
    on_dask = distributed_candidates(estimator, candidates) if is_dask(X) else []
    fit_sequentially(spec, candidates, on_dask, data, keep, known)
    if len(on_dask) == len(candidates):
        return
    groups, is_open = shared_groups(estimator, candidates)
    if on_dask:
        groups = [left for numbers in groups if len(left := numbers[~np.isin(numbers, on_dask)])]
        known = {key for key in known if key[0] not in set(on_dask)}
    queue = WorkQueue(groups, len(folds.splits), is_open=is_open, known=known)
    with open_fit_pool(spec, candidates, data, n_jobs) as pool:
        Dispatcher(pool, queue, keep).run()


def is_distributed(estimator: Any) -> bool:
    """Return whether the estimator takes Dask data; in a pipeline each step has to.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> is_distributed(Ridge())
    False
    """
    if isinstance(estimator, Pipeline):
        return all(step in (None, "passthrough") or is_distributed(step) for _, step in estimator.steps)
    modules = [base.__module__ for base in type(estimator).__mro__]
    return any(module == name or module.startswith(f"{name}.") for module in modules for name in DISTRIBUTED)


def distributed_candidates(estimator: Any, candidates: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return the numbers of the candidates that take Dask data: in a pipeline they may put other steps in.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from daskml_kit.linear_model import Lasso
    >>> distributed_candidates(Pipeline([("model", Ridge())]), [{"model__alpha": 0.1}, {"model": Lasso()}])
    [1]
    """
    if not isinstance(estimator, Pipeline):
        return list(range(len(candidates))) if is_distributed(estimator) else []
    decisions = decide_by_kind(candidates, lambda params: is_distributed(with_params(estimator, params)))
    return [number for number, decision in enumerate(decisions) if decision]


def fit_sequentially(
    spec: FitSpec,
    candidates: Sequence[Mapping[str, Any]],
    numbers: Sequence[int],
    data: FoldData,
    keep: Keep,
    known: Collection[FitKey] = frozenset(),
) -> None:
    """Fit numbered candidates on the Dask data of each split, but where known; score them by their predictions."""
    for split in range(len(data.folds.splits)):
        missing = [number for number in numbers if (number, split) not in known]
        if not missing:
            continue
        fold = Fold(_persisted(data.take(split)), data.constants)
        targets = dask.compute(*(fold.side("y", side) for side in (0, 1)))
        for number in missing:
            with config_context(**spec.config):
                keep((number, split), _outcome(spec, fold, targets, candidates[number]))


def _persisted(sides: Mapping[str, tuple[Any, Any]]) -> Mapping[str, tuple[Any, Any]]:
    """Return the sides of a split computed once for all candidates, where they fit in memory."""
    parts = [part for parts in sides.values() for part in parts]
    known = all(isinstance(part, da.Array) for part in parts)
    if not known or not fits(find_client(), sum(map(array_bytes, parts))):
        return sides
    return dask.persist(sides)[0]  # type: ignore[no-any-return]


class ComputedPredictions:
    """Fitted estimator whose predictions on Dask data are in memory, each computed once.

    Parameters
    ----------
    estimator : estimator
    y : Dask collection or array
        The target of the rows that it is scored on, which a ``score`` of its own takes as it is; scikit-learn's takes
        the one in memory.
    """

    def __init__(self, estimator: Any, y: Any) -> None:
        self.estimator, self.y = estimator, y
        self.found: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.estimator, name)
        if name not in ("predict", "predict_proba", "predict_log_proba", "decision_function", "transform"):
            return value

        def computed(X: Any) -> Any:
            if name not in self.found:
                (self.found[name],) = dask.compute(value(X))
            return self.found[name]

        computed.__name__ = name
        return computed

    def score(self, X: Any, y: Any = None, **params: Any) -> Any:
        own = type(self.estimator).score
        if own in (ClassifierMixin.score, RegressorMixin.score):
            return own(self, X, y, **params)
        target = () if y is None else (self.y,)
        return dask.compute(self.estimator.score(X, *target, **params))[0]


def _outcome(spec: FitSpec, fold: Fold, targets: Sequence[Any], params: Mapping[str, Any]) -> Outcome:
    def score_side(fitted: Any, fold: Fold, side: int) -> dict[str, float]:
        params = {
            name: dask.compute(value)[0] if is_dask(value) else value for name, value in fold.score_params(side).items()
        }
        warned: list[str] = []
        predictions = ComputedPredictions(fitted, fold.side("y", side))
        scores = score(spec, predictions, fold.X[side], targets[side], params, warned)
        for message in warned:
            warnings.warn(message, UserWarning, stacklevel=2)
        return scores

    estimator = with_params(spec.estimator, params)
    return outcome_of(spec, fold, estimator, lambda: (_fitted(estimator, fold), fold), score_side)


def _fitted(estimator: Any, fold: Fold) -> Any:
    """Return a candidate fitted, anew where its fit failed after a worker was lost: not all packages outlive that.

    It may fail again, as LightGBM does where a process keeps its broken connection to the lost worker; then its error
    is raised.
    """
    target = fold.side("y", 0)
    given = (fold.X[0],) if target is None else (fold.X[0], target)
    workers = _workers()
    for n_lost in itertools.count():
        model = clone(estimator)
        try:
            model.fit(*given, **fold.fit_params)
            break
        except Exception:
            if n_lost == MAX_LOST or not _lost_any(workers):
                raise
    return model


def _lost_any(workers: set[str]) -> bool:
    """Return whether one of these workers is gone, which a fit may hear before the scheduler does."""
    deadline = time.monotonic() + (NOTICED_AFTER if workers else 0)
    while workers <= _workers():
        if time.monotonic() > deadline:
            return False
        time.sleep(NOTICED_AFTER / 20)
    return True


def _workers() -> set[str]:
    client = find_client()
    return set() if client is None else set(client.nthreads())
