"""Hyperband."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sklearn.utils.validation import check_is_fitted

from daskml_kit.arguments import check_number
from daskml_kit.documentation import with_inherited_docs
from daskml_kit.model_selection.adaptive.base import (
    SEEDS,
    EarlyStoppingSearchCV,
    check_patience,
    draw_parameters,
    integer_seed,
)
from daskml_kit.model_selection.adaptive.partial_fit import Candidate
from daskml_kit.model_selection.adaptive.policies import (
    Bracket,
    Policy,
    brackets,
    calls_on,
    interleave,
    successive_halving,
)


@with_inherited_docs
@dataclass(eq=False, repr=False)
class HyperbandSearchCV(EarlyStoppingSearchCV):
    """Train models by several successive halvings at a time, which differ in how soon they stop models.

    The algorithm is that of Li et al. [1]_, and needs no choice between many models and long training.
    All brackets run side by side, on one split of the data. Attributes and the way of working are those of
    `IncrementalSearchCV`; ``model_id`` is, for one, ``"bracket=2-7"``.

    Parameters
    ----------
    max_iter : int, default 81
        Calls of ``partial_fit`` of the longest trained models.
    aggressiveness : int of at least 2, default 3
        Its inverse is the share of the models that is kept each time.
    patience : int or bool, default False
        As in `IncrementalSearchCV`; True is ``max_iter // aggressiveness``, and a smaller number than that is warned
        of.

    See Also
    --------
    SuccessiveHalvingSearchCV : One bracket.
    ASHASearchCV : Asynchronous successive halving, for many workers.

    References
    ----------
    .. [1] L. Li, K. Jamieson, G. DeSalvo, A. Rostamizadeh, A. Talwalkar, "Hyperband: a novel bandit-based approach to
       hyperparameter optimization", JMLR 18, 2018.

    Examples
    --------
    >>> import dask.array as da
    >>> import numpy as np
    >>> from sklearn.linear_model import SGDClassifier
    >>> X = da.random.default_rng(0).normal(size=(2_000, 3), chunks=(500, 3))
    >>> y = (X[:, 0] > 0).astype(int)
    >>> models, parameters = SGDClassifier(random_state=0), {"alpha": np.logspace(-4, 2, 100)}
    >>> search = HyperbandSearchCV(models, parameters, max_iter=9, random_state=0)
    >>> search.metadata["n_models"], search.metadata["partial_fit_calls"]
    (17, 69)
    >>> search.fit(X, y, classes=[0, 1]).metadata_ == search.metadata
    True
    """

    max_iter: int = 81
    aggressiveness: int = 3

    @property
    def metadata(self) -> dict[str, Any]:
        """Plan: ``n_models`` and ``partial_fit_calls`` of all together, and ``brackets``.

        Of each bracket there are the same two, the numbers of calls at which it makes ``decisions``, and the
        ``SuccessiveHalvingSearchCV params`` it amounts to.
        """
        seed = integer_seed(self.random_state)
        planned = []
        for bracket in self._brackets():
            decisions = [rung.calls for rung in bracket.ladder]
            planned.append(self._describe(bracket, bracket.n_models, calls_on(bracket.ladder), decisions, seed))
        return _total(planned)

    @property
    def metadata_(self) -> dict[str, Any]:
        """Work done, as in ``metadata``; it may be less with ``patience``."""
        check_is_fitted(self)
        done = []
        for bracket in self._brackets():
            models = [each for each in self.model_history_.values() if each[0]["bracket"] == bracket.number]
            calls = sum(records[-1]["partial_fit_calls"] for records in models)
            decisions = sorted({record["partial_fit_calls"] for records in models for record in records})
            done.append(self._describe(bracket, len(models), calls, decisions, self._seed))
        return _total(done)

    def _brackets(self) -> list[Bracket]:
        check_number("max_iter", self.max_iter, low=1, integer=True)
        check_number("aggressiveness", self.aggressiveness, low=2, integer=True)
        return brackets(int(self.max_iter), int(self.aggressiveness))

    def _describe(
        self, bracket: Bracket, n_models: int, calls: int, decisions: Sequence[int], seed: int
    ) -> dict[str, Any]:
        own = self.get_params(deep=False)
        same = {name: value for name, value in own.items() if name not in ("estimator", "parameters", "patience")}
        params = {
            **same,
            "patience": self._patience(),
            "n_initial_parameters": bracket.n_models,
            "n_initial_iter": bracket.n_calls,
            "random_state": _seed_of(bracket.number, seed),
        }
        return {
            "bracket": bracket.number,
            "n_models": n_models,
            "partial_fit_calls": calls,
            "decisions": list(decisions),
            "SuccessiveHalvingSearchCV params": params,
        }

    def _patience(self) -> int:
        return max(self.max_iter // self.aggressiveness, 2) if self.patience is True else check_patience(self.patience)

    def _plan(self, seed: int) -> dict[Any, Candidate]:
        self._seed = seed
        found = self._brackets()
        least = self.max_iter // self.aggressiveness
        if 0 < self._patience() < least and self.tol is not None:
            warnings.warn(
                f"patience={self.patience} stops models early that Hyperband gives a chance: set patience=True, or at "
                f"least {least}, or tol=None",
                UserWarning,
                stacklevel=3,
            )
        candidates = {}
        for bracket in found:
            own = _seed_of(bracket.number, seed)
            for number, params in enumerate(draw_parameters(self.parameters, bracket.n_models, own)):
                candidates[f"bracket={bracket.number}-{number}"] = Candidate(
                    params, (seed, bracket.number, number), bracket.number
                )
        return candidates

    def _policy(self, candidates: Mapping[Any, Candidate], slots: int) -> Policy:
        patience, policies = self._patience(), {}
        for bracket in self._brackets():
            own = [model for model, candidate in candidates.items() if candidate.bracket == bracket.number]
            policies[bracket.number] = self._in_rounds(successive_halving(own, bracket.ladder), patience)
        return interleave(policies, lambda model: candidates[model].bracket)


def _seed_of(bracket: int, seed: int) -> int:
    return (seed + bracket) % SEEDS


def _total(parts: list[dict[str, Any]]) -> dict[str, Any]:
    totals = {name: sum(part[name] for part in parts) for name in ("partial_fit_calls", "n_models")}
    return {**totals, "brackets": parts}
