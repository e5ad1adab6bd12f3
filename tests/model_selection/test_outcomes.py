"""Outcomes in columns are the mapping that was put in."""

import math
import tracemalloc

import numpy as np
import pytest

from daskml_kit.model_selection.search.cv_results import Outcome, Outcomes
from daskml_kit.model_selection.search.progress import SearchProgress
from daskml_kit.model_selection.search.search_plan import SearchPlan


def test_what_was_put_in_comes_out():
    outcomes, model = Outcomes(3, 2), object()
    given = {
        (0, 1): Outcome({"a": 0.5, "b": -1.0}, {"a": 0.75, "b": -2.0}, 1.5, 0.25, 7, estimator=model),
        (2, 0): Outcome({"a": 0.125, "b": 3.0}, None, 2.5, 0.5, 8),
    }
    for place, outcome in given.items():
        outcomes[place] = outcome
    assert len(outcomes) == 2
    assert dict(outcomes) == given
    assert (1, 1) not in outcomes
    with pytest.raises(KeyError):
        outcomes[1, 1]


def test_a_place_that_is_filled_again_forgets_what_was_there():
    outcomes = Outcomes(1, 1)
    outcomes[0, 0] = Outcome({}, error="Traceback")
    assert outcomes.errors == {(0, 0): "Traceback"}
    outcomes[0, 0] = Outcome({"a": 1.0}, {"a": 2.0})
    outcomes[0, 0] = Outcome({"b": 3.0})
    assert outcomes.errors == {}
    assert len(outcomes) == 1
    assert outcomes[0, 0].train is None
    assert outcomes[0, 0].test["b"] == 3.0
    assert math.isnan(outcomes[0, 0].test["a"])


def test_those_finished_on_all_splits_can_be_taken_apart():
    outcomes = Outcomes(4, 2)
    for place in [(0, 0), (1, 0), (1, 1), (3, 0), (3, 1)]:
        outcomes[place] = Outcome({"a": float(place[0] + 10 * place[1])})
    finished = outcomes.finished()
    assert finished.tolist() == [1, 3]
    chosen = outcomes.of(finished)
    assert chosen.scores("test", "a").tolist() == [[1.0, 11.0], [3.0, 13.0]]
    assert np.isnan(outcomes.scores("test", "a")[0, 1])
    assert np.isnan(outcomes.scores("train", "a")).all()


@pytest.mark.slow
def test_a_fit_takes_less_than_a_hundred_bytes():
    n_candidates = 20_000
    with SearchProgress() as progress:
        progress.begin(SearchPlan(2, ["alone"] * n_candidates))
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for place in np.ndindex(n_candidates, 2):
            progress.keep({place: Outcome({"score": place[0] / n_candidates}, None, 0.1, 0.1, 10)})
        taken = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
    assert progress.current.best == (n_candidates - 1) / n_candidates
    assert taken < 100 * 2 * n_candidates
