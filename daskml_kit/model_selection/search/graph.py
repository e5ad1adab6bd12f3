"""Any estimator over folds and candidates, in tasks that share folds and fitted transformers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from distributed import rejoin, secede
from sklearn import get_config

from daskml_kit.engines.blocks import is_dask
from daskml_kit.engines.opening import find_client, in_task
from daskml_kit.errors import DataError
from daskml_kit.model_selection.search.agenda import Agenda, families_of
from daskml_kit.model_selection.search.cluster_pool import ClusterPool
from daskml_kit.model_selection.search.data import Data
from daskml_kit.model_selection.search.distributed import fit_in_turn, numbers_in_turn
from daskml_kit.model_selection.search.fitting import Study
from daskml_kit.model_selection.search.lanes import Lanes
from daskml_kit.model_selection.search.local_pool import LocalPool
from daskml_kit.model_selection.search.outcome import Outcome, Place
from daskml_kit.model_selection.splits.folds import Folds

Keep = Callable[[Place, Outcome], None]


def run_graph(
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
    known: Collection[Place] = frozenset(),
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
    >>> run_graph(Ridge(), [{"alpha": 1e-9}], X, X[:, 0], folds, scorers, keep=found.__setitem__, **options)
    >>> [(key, round(found[key].test["r2"], 6)) for key in sorted(found)]
    [((0, 0), 1.0), ((0, 1), 1.0)]
    """
    study = Study(estimator, scorers, return_train_score, error_score, return_estimator, get_config())
    data = Data.of(X, y, folds, fit_params, score_params)
    in_turn = numbers_in_turn(estimator, candidates) if is_dask(X) else []
    fit_in_turn(study, candidates, in_turn, data, keep, known)
    if len(in_turn) == len(candidates):
        return
    families, is_open = families_of(estimator, candidates)
    if in_turn:
        families = [left for numbers in families if len(left := numbers[~np.isin(numbers, in_turn)])]
        done = set(in_turn)
        known = {place for place in known if place[0] not in done}
    agenda = Agenda(families, len(folds.splits), is_open=is_open, known=known)
    with _open_pool(study, candidates, data, n_jobs) as pool:
        Lanes(pool, agenda, keep).run()


@contextmanager
def _open_pool(
    study: Study, candidates: Sequence[Mapping[str, Any]], data: Data, n_jobs: int | None
) -> Iterator[LocalPool | ClusterPool]:
    """Open a pool of the cluster's workers, or of threads; a task whose data are in memory keeps to itself."""
    if n_jobs == 0:
        raise DataError("n_jobs: expected a number of threads, or -1 for all, got 0")
    client, inside = find_client(), in_task()
    if client is None or (inside and not data.is_lazy):
        n_threads = 1 if n_jobs is None and inside else n_jobs if n_jobs is None or n_jobs > 0 else None
        with LocalPool(study, candidates, data, n_threads) as threads:
            yield threads
        return
    if inside:
        secede()  # else this task would hold the thread that its own fits need
    try:
        with ClusterPool(client, study, candidates, data) as workers:
            yield workers
    finally:
        if inside:
            rejoin()
