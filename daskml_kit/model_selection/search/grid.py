"""Grid search and randomized search with cross-validation."""

from __future__ import annotations

import os
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import dask
import numpy as np
import sklearn.model_selection
from dask.base import get_scheduler
from sklearn.model_selection import ParameterGrid, ParameterSampler
from sklearn.utils.metadata_routing import process_routing
from sklearn.utils.validation import check_is_fitted

from daskml_kit.arguments import check_folder, check_number, naming, random_state_of
from daskml_kit.base import NoCallbacks, check_common, constructor, forget, genuine_class, parameters_of, restored
from daskml_kit.composition import without_dask
from daskml_kit.data.collections import is_dask, without_bag
from daskml_kit.documentation import with_inherited_docs
from daskml_kit.model_selection.search.best_estimator import (
    BestEstimatorMethods,
    check_refitted,
    refit_on_all,
    score_on,
)
from daskml_kit.model_selection.search.cv_results import fill_failures, tabulate
from daskml_kit.model_selection.search.evaluate import (
    Evaluation,
    compute_n_splits,
    evaluate,
    names_of,
    plan_of,
    routing_enabled,
)
from daskml_kit.model_selection.search.progress import SearchProgress
from daskml_kit.model_selection.search.scoring import SINGLE, check_error_score, named_scoring, scorers_of
from daskml_kit.model_selection.search.search_plan import EvaluationSpec, RoutedParams, SearchPlan, with_params
from daskml_kit.model_selection.splits.base import legacy_random_state
from daskml_kit.model_selection.splits.folds import Folds


class SearchRounds:
    """Candidates of a search that were evaluated so far, on the same splits in each round.

    Parameters
    ----------
    spec : EvaluationSpec
        Its candidates are those of the rounds.
    X, y : as in `daskml_kit.model_selection.GridSearchCV.fit`
    cv : as in `daskml_kit.model_selection.search.evaluate.folds_of`
    params : RoutedParams
    checkpoint : path, optional
        Folder of the first round's checkpoint log; those of further rounds are in folders inside.
    new_progress : callable of a path or None
        Makes the progress of a round.

    Attributes
    ----------
    candidates : sequence of mappings
    found : Evaluation or None
        Outcomes of all rounds; None before the first.
    results : dict
        ``cv_results_`` of all rounds.
    """

    def __init__(
        self,
        spec: EvaluationSpec,
        X: Any,
        y: Any,
        cv: Any,
        params: RoutedParams,
        checkpoint: str | os.PathLike[str] | None,
        new_progress: Callable[[str | os.PathLike[str] | None], SearchProgress],
    ) -> None:
        self.spec, self.X, self.y, self.cv, self.params = spec, X, y, cv, params
        self.checkpoint, self.new_progress = checkpoint, new_progress
        self.candidates: Sequence[Mapping[str, Any]] = ()
        self.found: Evaluation | None = None
        self.results: dict[str, Any] = {}
        self._more: dict[str, list[Any]] = defaultdict(list)
        self._n_rounds = 0

    def evaluate(
        self,
        candidate_params: Iterable[Mapping[str, Any]],
        cv: Any = None,
        more_results: Mapping[str, Sequence[Any]] | None = None,
    ) -> dict[str, Any]:
        """Evaluate more candidates, and return ``cv_results_`` of all so far: what ``_run_search`` is called with.

        Parameters
        ----------
        candidate_params : iterable of mappings
        cv : optional
            Splits of this round in place of the search's, as many.
        more_results : mapping of lists, optional
            Columns of the results, with a value for each of these candidates.

        Raises
        ------
        ValueError
            As `daskml_kit.model_selection.search.evaluate.evaluate`; or where ``cv`` makes another number of splits.
        """
        candidates: Any = candidate_params
        if not isinstance(candidates, (Sequence, ParameterGrid)):  # a grid of millions stays one
            candidates = list(candidates)
        spec = self.spec._replace(candidates=candidates)
        progress = self.new_progress(self._folder())
        self._n_rounds += 1
        try:
            found = evaluate(spec, self.X, self.y, self.cv if cv is None else cv, self.params, progress)
        except KeyboardInterrupt:
            self._keep_finished(spec, progress)
            raise
        if cv is None:
            self.cv = found.folds  # a splitter without seed would make others in the next round
        for name, values in (more_results or {}).items():
            self._more[name].extend(values)
        self._add(spec.candidates, found)
        return self.results

    def _folder(self) -> str | os.PathLike[str] | None:
        if self.checkpoint is None or self._n_rounds == 0:
            return self.checkpoint
        return Path(self.checkpoint) / f"round-{self._n_rounds}"

    def _add(self, candidates: Sequence[Mapping[str, Any]], found: Evaluation) -> None:
        if self.found is not None:
            before, n = self.found, len(self.candidates)
            if found.plan.n_splits != before.plan.n_splits:
                raise ValueError(f"cv: expected {before.plan.n_splits} splits in each round, got {found.plan.n_splits}")
            found = before._replace(
                outcomes=before.outcomes.followed_by(found.outcomes),
                whole={**before.whole, **{n + number: model for number, model in found.whole.items()}},
                plan=before.plan._replace(reasons=[*before.plan.reasons, *found.plan.reasons]),
            )
            candidates = [*self.candidates, *candidates]
        self.candidates, self.found = candidates, found
        more = {name: np.asarray(values) for name, values in self._more.items()}
        self.results = {**more, **tabulate(candidates, found.outcomes, found.names, self.spec.with_train)}

    def _keep_finished(self, spec: EvaluationSpec, progress: SearchProgress) -> None:
        """Add the candidates of an interrupted round that are finished on all splits, if there is a score."""
        numbers = progress.outcomes.finished().tolist()
        outcomes = progress.outcomes.of(numbers)
        of = f"{len(numbers)} of {len(spec.candidates)} candidates"
        warnings.warn(f"interrupted: cv_results_ has the {of} that were finished on all splits", stacklevel=6)
        if len(outcomes.errors) == len(outcomes):
            return
        names = names_of(spec, outcomes)
        fill_failures(outcomes, names, spec.error_score, spec.with_train)
        self._more.clear()  # no column has a value for each of these candidates
        plan = progress.plan._replace(reasons=[progress.plan.reasons[number] for number in numbers])
        self._add([spec.candidates[number] for number in numbers], Evaluation(outcomes, {}, plan, Folds((), []), names))


PRE_DISPATCH = "2*n_jobs"


OF_DASK_ML = {"scheduler": None, "cache_cv": True, "iid": None}
"""Parameters of dask-ml's searches beside scikit-learn's."""


class Search(NoCallbacks, BestEstimatorMethods):
    """Mixin, before a scikit-learn search, that runs its fits here.

    Parameters
    ----------
    estimator : estimator
        Of ours or scikit-learn's API.
    scoring : str, callable, list, tuple, dict or None
        As in scikit-learn.
    n_jobs : int, optional
        Threads where there is no cluster.
    refit : bool, str or callable, default True
    cv : int, splitter, iterable or None
        Splitters of ours and of scikit-learn. None is five folds.
    error_score : "raise" or float, default nan
        Score of fits that fail.
    return_train_score : bool, default False
    cache_cv : bool, default True
        Accepted from users of dask-ml: False warns, as the rows of a split are always taken once.
    iid : bool, optional
        Accepted from users of dask-ml: warns, as each split has the same weight.
    """

    def candidates(self) -> Sequence[Mapping[str, Any]]:
        """Return the parameters to try."""
        raise NotImplementedError

    def plan(self: Any, X: Any = None, y: Any = None, groups: Any = None) -> SearchPlan:
        """Plan of the search: the candidates that share passes over the data, and why others do not.

        It is about those that `candidates` returns; a subclass whose ``_run_search`` asks for others has them, once it
        is fitted, in ``plan_``.

        Parameters
        ----------
        X, y, groups : as in `fit`, optional
            With them ``cv`` may be a splitter that needs them to say how many splits it makes.

        Returns
        -------
        SearchPlan
            Candidates that share passes, and the others with the reason.
        """
        return plan_of(self._spec(self.candidates()), compute_n_splits(self.cv, X, y, groups), RoutedParams())

    def fit(self: Any, X: Any, y: Any = None, *, groups: Any = None, checkpoint: Any = None, **params: Any) -> Any:
        """Fit and score all candidates on all splits, then the best on all rows.

        Interrupted by the keyboard, the search keeps the results of candidates that are finished on all splits.

        Parameters
        ----------
        X : Dask array or DataFrame, or anything in memory that the estimator takes
        y : as X, of shape (n_samples,) or (n_samples, n_outputs), optional
        groups : as y, optional
            For the splitter.
        checkpoint : path, optional
            A folder that keeps the scores of each finished fit: called again, an interrupted search repeats none. Fits
            that share passes are finished together.
        **params
            For the estimator's ``fit``; values with an entry for each row are split with them, and ``sample_weight``
            counts in scores too. With scikit-learn's metadata routing enabled, for splitter, estimator and scorers, as
            these request.

        Returns
        -------
        self
            The search, with its results and the best model.

        Raises
        ------
        ValueError
            Where parameters, scoring or ``cv`` are not understood, or all fits fail.
        CheckpointError
            Where the checkpoint is one of other data, splits or parameters.
        """
        with restored(self):
            spec = self._spec()
            names = list(spec.scoring)
            self._check_refit(names)
            check_folder(checkpoint)
            main_score = self.refit if isinstance(self.refit, str) and names != [SINGLE] else None
            new_progress = partial(SearchProgress, verbose=self.verbose, main_score=main_score)
            routed = self._routed(groups, params)
            rounds = SearchRounds(spec, X, y, self.cv, routed, checkpoint, new_progress)
            if self.scheduler is not None:
                with naming("scheduler"):
                    get_scheduler(scheduler=self.scheduler)
            with dask.config.set({} if self.scheduler is None else {"scheduler": self.scheduler}):
                interruption = self._run(rounds)
                found = self._conclude(rounds)
                if self.refit and interruption is None:
                    interruption = self._refit(found, X, y, routed.fit)
        if interruption is not None:  # what is finished is kept
            raise interruption
        return self

    def score(self: Any, X: Any, y: Any = None, **params: Any) -> float:
        """Score of the best estimator on the given data.

        Parameters
        ----------
        X : as in `fit`
        y : as X, optional
        **params
            For the scorer; only with data in memory.

        Returns
        -------
        float
            Also on Dask input.

        Raises
        ------
        ValueError
            Where ``refit`` names no scorer, or parameters are given for Dask input.
        """
        X = without_bag(X)
        if not is_dask(X):
            return float(super().score(X, y, **params))  # type: ignore[misc]
        check_refitted(self, "score")
        check_is_fitted(self)
        if params:
            raise ValueError(f"score: {', '.join(params)} not supported on Dask input")
        name = self.refit if self.multimetric_ else SINGLE
        scoring = named_scoring(self.scoring)
        if callable(self.scoring) and self.multimetric_:
            return score_on(self.best_estimator_, X, y, lambda *given: self.scoring(*given)[name])
        if name not in scoring:
            raise ValueError(f"score: refit names no scorer, expected one of {list(scoring)}, got {name!r}")
        return score_on(self.best_estimator_, X, y, scoring[name])

    def to_sklearn(self: Any) -> Any:
        """Return scikit-learn's search with the same parameters, results and best model, free of Dask.

        Returns
        -------
        sklearn.model_selection.GridSearchCV or RandomizedSearchCV
            Fitted where this one is.
        """
        genuine = genuine_class(type(self))
        twin = genuine(**without_dask({name: getattr(self, name) for name in parameters_of(genuine)}))
        dropped = {*self.get_params(deep=False), "plan_", "scorer_"}
        vars(twin).update({name: without_dask(value) for name, value in vars(self).items() if name not in dropped})
        if hasattr(self, "scorer_"):
            scorers = scorers_of(twin.estimator, named_scoring(twin.scoring))
            twin.scorer_ = scorers.get(SINGLE, scorers)
        return twin

    def _routed(self, groups: Any, params: Mapping[str, Any]) -> RoutedParams:
        if routing_enabled():
            routed = process_routing(self, "fit", **params, **({} if groups is None else {"groups": groups}))
            return RoutedParams(routed.splitter.split, routed.estimator.fit, routed.scorer.score)
        weight = params.get("sample_weight")
        return RoutedParams({"groups": groups}, params, {} if weight is None else {"sample_weight": weight})

    def _spec(self: Any, candidates: Sequence[Mapping[str, Any]] = ()) -> EvaluationSpec:
        if self.pre_dispatch != PRE_DISPATCH:
            raise ValueError(
                f"pre_dispatch: only {PRE_DISPATCH!r} is supported: fits share passes or are queued by Dask, got "
                f"{self.pre_dispatch!r}"
            )
        check_common(self)
        check_error_score(self.error_score)
        if self.iid is not None:
            message = "iid has no effect: as in scikit-learn, mean scores give each split the same weight"
            warnings.warn(message, FutureWarning, stacklevel=3)
        if not self.cache_cv:
            message = "cache_cv=False has no effect: the rows of a split are taken once, and read by all of its fits"
            warnings.warn(message, UserWarning, stacklevel=3)
        scoring = named_scoring(self.scoring)
        with_train = bool(self.return_train_score)
        return EvaluationSpec(self.estimator, candidates, scoring, self.error_score, with_train, self.n_jobs)

    def _check_refit(self, names: Sequence[str]) -> None:
        refit = getattr(self, "refit", True)
        if not (isinstance(refit, (bool, np.bool_, str)) or callable(refit)):
            raise ValueError(f"refit: expected True, False, a scorer's name or a callable, got {refit!r}")
        if names != [SINGLE] and refit is not False and not callable(refit) and refit not in names:
            raise ValueError(
                f"For multi-metric scoring, the parameter refit must be set to a scorer key or a callable to refit "
                f"the best candidate, or to False: expected one of {names}, got {refit!r}"
            )

    def _run_search(self, evaluate_candidates: Callable[..., Any]) -> None:
        """Ask for candidates to be evaluated; a subclass may do so in rounds, as scikit-learn's `BaseSearchCV` says."""
        evaluate_candidates(self.candidates())

    def _run(self, rounds: SearchRounds) -> KeyboardInterrupt | None:
        """Evaluate candidates; return an interruption from the keyboard, where some are finished."""
        try:
            self._run_search(rounds.evaluate)
        except KeyboardInterrupt as interruption:
            if rounds.found is None:
                raise
            return interruption
        return None

    def _conclude(self: Any, rounds: SearchRounds) -> Evaluation:
        found = rounds.found
        if found is None:
            raise ValueError(f"_run_search of {type(self).__name__} has evaluated no candidates")
        forget(self)
        self.multimetric_ = found.names != [SINGLE]
        self._check_refit(found.names)
        self.n_splits_, self.plan_ = found.plan.n_splits, found.plan
        self.cv_results_ = rounds.results
        scorers = scorers_of(self.estimator, rounds.spec.scoring)
        self.scorer_ = scorers.get(SINGLE, scorers)
        self._choose_best()
        return found

    def _choose_best(self: Any) -> None:
        if self.multimetric_ and self.refit is False:
            return
        if callable(self.refit):
            best = self.refit(self.cv_results_)
            if not isinstance(best, (int, np.integer)):
                raise TypeError(f"refit: best_index_ returned is not an integer: {best!r}")
            if not 0 <= best < len(self.cv_results_["params"]):
                raise IndexError(f"refit: best_index_ index out of range: {best} of {len(self.cv_results_['params'])}")
            self.best_index_ = best
        else:
            name = self.refit if self.multimetric_ else SINGLE
            self.best_index_ = self.cv_results_[f"rank_test_{name}"].argmin()
            self.best_score_ = self.cv_results_[f"mean_test_{name}"][self.best_index_]
        self.best_params_ = self.cv_results_["params"][self.best_index_]

    def _refit(self: Any, found: Evaluation, X: Any, y: Any, params: Mapping[str, Any]) -> KeyboardInterrupt | None:
        """Fit the best candidate on all rows; return an interruption from the keyboard, which leaves the scores."""
        started = time.perf_counter()
        known = found.whole.get(self.best_index_)
        try:
            if known is not None:
                best = known.kept()
            else:
                best = refit_on_all(with_params(self.estimator, self.best_params_), X, y, params)
        except KeyboardInterrupt as interruption:
            return interruption
        self.best_estimator_ = best
        self.refit_time_ = time.perf_counter() - started
        if hasattr(best, "feature_names_in_"):
            self.feature_names_in_ = best.feature_names_in_
        return None


@with_inherited_docs
class GridSearchCV(Search, sklearn.model_selection.GridSearchCV):  # type: ignore[misc]
    """Search over every combination of a grid of parameters, with cross-validation.

    Fits of our own linear models advance in lock step: one pass over the data answers the reductions of all candidates
    on all folds, and X is not copied. Any other estimator is fitted by itself, on the workers of a cluster if there is
    one, a step of a pipeline with the same parameters on the same fold once. `plan` says which is which.

    Parameters
    ----------
    param_grid : dict of lists, or list of such dicts
    verbose : int
        Above 0 a bar shows the finished fits and the best mean score so far.
    pre_dispatch : str
        Only scikit-learn's default.
    scheduler : str, callable or None
        Dask's scheduler of the fits where there is no client, such as "threads" or "synchronous"; None is the
        configured one.

    Attributes
    ----------
    cv_results_, best_estimator_, best_score_, best_params_, best_index_, scorer_, n_splits_, refit_time_, multimetric_
        As in scikit-learn.
    plan_ : SearchPlan
        Candidates that shared passes over the data, and why others did not.

    See Also
    --------
    RandomizedSearchCV : Draws from distributions in place of a grid.
    HyperbandSearchCV : Stops bad candidates early.
    sklearn.model_selection.GridSearchCV : The same on data in memory.

    Examples
    --------
    >>> import dask.array as da
    >>> from daskml_kit.linear_model import LogisticRegression
    >>> X = da.random.default_rng(0).normal(size=(1_000, 3), chunks=(250, 3))
    >>> search = GridSearchCV(LogisticRegression(), {"C": [0.01, 1.0]}, cv=3).fit(X, (X[:, 0] > 0).astype(int))
    >>> search.best_params_
    {'C': 1.0}
    >>> print(search.plan_)
    6 fits: 2 candidates on 3 splits
      2 candidates share passes over the data
    """

    __init__ = constructor(sklearn.model_selection.GridSearchCV, **OF_DASK_ML)

    def candidates(self) -> Sequence[Mapping[str, Any]]:
        """Return every combination of the grid.

        Returns
        -------
        ParameterGrid
            In scikit-learn's order.
        """
        with naming("param_grid"):
            return ParameterGrid(self.param_grid)  # type: ignore[no-any-return]


@with_inherited_docs
class RandomizedSearchCV(Search, sklearn.model_selection.RandomizedSearchCV):  # type: ignore[misc]
    """Search over parameters that are drawn from distributions, with cross-validation.

    Parameters are scikit-learn's; fits run as those of `GridSearchCV` do.

    Parameters
    ----------
    param_distributions : dict of lists or distributions, or list of such dicts
    n_iter : int, default 10
        Number of candidates.
    verbose : int, default 0
        Above 0 a bar shows the finished fits and the best mean score so far.
    pre_dispatch : str, default "2*n_jobs"
        Only scikit-learn's default.
    random_state : int, RandomState, Generator or None, optional
        Seed of the draws.
    scheduler : str, callable or None
        Dask's scheduler of the fits where there is no client; None is the configured one.

    See Also
    --------
    GridSearchCV : Every combination of a grid.

    Examples
    --------
    >>> import dask.array as da
    >>> from scipy.stats import loguniform
    >>> from daskml_kit.linear_model import Ridge
    >>> X = da.random.default_rng(0).normal(size=(1_000, 3), chunks=(250, 3))
    >>> search = RandomizedSearchCV(Ridge(), {"alpha": loguniform(1e-3, 1e3)}, n_iter=4, cv=3, random_state=0)
    >>> len(search.fit(X, X.sum(axis=1)).cv_results_["params"])
    4
    """

    __init__ = constructor(sklearn.model_selection.RandomizedSearchCV, **OF_DASK_ML)

    def candidates(self) -> Sequence[Mapping[str, Any]]:
        """Return ``n_iter`` draws from the distributions.

        Returns
        -------
        list of dict
            The parameters of each candidate.
        """
        draw = random_state_of(legacy_random_state(self.random_state))
        check_number("n_iter", self.n_iter, low=1, integer=True)
        with naming("param_distributions"):
            return list(ParameterSampler(self.param_distributions, self.n_iter, random_state=draw))
