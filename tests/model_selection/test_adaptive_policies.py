"""Policies of adaptive searches, without any data: scores are made up."""

from __future__ import annotations

import random
from collections import defaultdict

import pytest

from daskml_kit.model_selection.adaptive.policies import (
    Budget,
    Rung,
    brackets,
    calls_on,
    in_rounds,
    interleave,
    inverse_decay,
    levels,
    promote,
    rungs,
    successive_halving,
    tell,
    train_to_plateau,
    with_patience,
)


def simulate(policy, score_of, pick=lambda running: 0):
    """Use the budgets of a policy up one by one, in the order that ``pick`` says; return the calls at each score."""
    calls = defaultdict(list)
    running = list(next(policy))
    while running:
        model, goal = running.pop(pick(running))
        assert goal > (calls[model] or [0])[-1], "a budget of no more calls than the model has had"
        calls[model].append(goal)
        running += tell(policy, {"model_id": model, "partial_fit_calls": goal, "score": score_of(model, goal)})
    return dict(calls)


def test_hyperband_has_the_brackets_of_the_paper():
    found = {b.number: [tuple(rung) for rung in b.ladder] for b in brackets(81, 3)}
    assert found == {
        4: [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
        3: [(34, 3), (11, 9), (3, 27), (1, 81)],
        2: [(15, 9), (5, 27), (1, 81)],
        1: [(8, 27), (2, 81)],
        0: [(5, 81)],
    }


@pytest.mark.parametrize("max_iter", [1, 2, 3, 8, 26, 27, 100, 243, 1023])
@pytest.mark.parametrize("aggressiveness", [2, 3, 4])
def test_no_bracket_goes_beyond_max_iter(max_iter, aggressiveness):
    found = brackets(max_iter, aggressiveness)
    assert aggressiveness ** (len(found) - 1) <= max_iter < aggressiveness ** len(found)
    for bracket in found:
        calls = [rung.calls for rung in bracket.ladder]
        assert calls == sorted(set(calls))
        assert 1 <= calls[0] <= calls[-1] <= max_iter
        assert len(calls) <= bracket.number + 1


@pytest.mark.parametrize("pick", [lambda r: 0, lambda r: len(r) - 1, lambda r: random.Random(0).randrange(len(r))])
def test_halving_keeps_the_best_whatever_order_they_finish_in(pick):
    ladder = rungs(9, 2, 3)
    calls = simulate(in_rounds(successive_halving(range(9), ladder)), lambda model, _: model, pick)
    assert calls == {**{model: [2] for model in range(6)}, 6: [2, 6], 7: [2, 6], 8: [2, 6, 18]}
    assert calls_on(ladder) == sum(each[-1] for each in calls.values())


def test_a_score_that_is_no_number_is_the_worst():
    scores = {0: float("nan"), 1: -5.0, 2: float("nan")}
    calls = simulate(in_rounds(successive_halving(range(3), rungs(3, 1, 3))), lambda model, _: scores[model])
    assert calls == {0: [1], 1: [1, 3], 2: [1]}


def test_halving_stops_at_max_iter():
    assert rungs(100, 2, 3, max_iter=10) == [Rung(100, 2), Rung(33, 6), Rung(11, 10)]


def test_a_bracket_goes_on_while_another_waits():
    policy = interleave(
        {
            "a": in_rounds(successive_halving(["a0", "a1"], rungs(2, 1, 2))),
            "b": in_rounds(successive_halving(["b"], rungs(1, 9, 2))),
        },
        lambda model: model[0],
    )
    assert next(policy) == [Budget("a0", 1), Budget("a1", 1), Budget("b", 9)]
    assert tell(policy, {"model_id": "a0", "partial_fit_calls": 1, "score": 0.1}) == []
    assert tell(policy, {"model_id": "a1", "partial_fit_calls": 1, "score": 0.2}) == [Budget("a1", 2)]


def test_models_that_plateau_are_left_where_they_are():
    def score(model, calls):
        return calls if model == "better" else 0.5

    rounds = with_patience(successive_halving(["flat", "better"], [Rung(2, 9), Rung(2, 20)]), 4, 0.01)
    calls = simulate(in_rounds(rounds), score)
    assert calls == {"flat": [4, 8], "better": [4, 8, 9, 13, 17, 20]}


def test_tol_none_turns_patience_off():
    calls = simulate(train_to_plateau(["flat"], 2, 7, 4, None), lambda model, calls: 0.5)
    assert calls == {"flat": [2, 4, 6, 7]}


def test_models_trained_steadily_do_not_wait_for_each_other():
    calls = simulate(
        train_to_plateau("ab", 1, 6, 3, 0.01), lambda model, calls: calls if model == "a" else 0, lambda r: -1
    )
    assert calls == {"a": [1, 2, 3, 4, 5, 6], "b": [1, 2, 3]}


def test_decay_gives_models_up_in_the_inverse_of_the_time():
    calls = simulate(in_rounds(inverse_decay(range(20), 1.0, 100)), lambda model, _: model)
    left = [sum(1 for each in calls.values() if each[-1] > k) for k in range(5)]
    assert left == [20, 5, 4, 3, 2]
    assert calls[19][-1] == max(each[-1] for each in calls.values())


@pytest.mark.parametrize(("rate", "n_models", "longest"), [(0.0, 4, 3), (1.0, 1, None)])
def test_decay_ends_at_max_iter(rate, n_models, longest):
    calls = simulate(in_rounds(inverse_decay(range(n_models), rate, 10, longest)), lambda model, _: 0.0)
    assert {each[-1] for each in calls.values()} == {10}


def test_asha_keeps_every_slot_busy_while_there_are_models_to_begin():
    policy = promote(range(30), levels(1, 3, 27), 3, 4)
    running, begun = list(next(policy)), 4
    rng = random.Random(1)
    while begun < 30:
        assert len(running) == 4
        model, calls = running.pop(rng.randrange(4))
        new = tell(policy, {"model_id": model, "partial_fit_calls": calls, "score": rng.random()})
        begun += sum(budget.calls == 1 for budget in new)
        running += new
    assert len(running) == 4


def test_asha_does_not_wait_for_a_straggler():
    policy = promote(range(9), levels(1, 3, 9), 3, 2)
    running, calls = list(next(policy)), {}
    straggler = running.pop(0)
    while running:
        model, goal = running.pop()
        calls[model] = goal
        running += tell(policy, {"model_id": model, "partial_fit_calls": goal, "score": model})
    assert straggler.model not in calls
    assert len(calls) == 8
    assert max(calls.values()) == 9


@pytest.mark.parametrize("seed", range(5))
def test_asha_promotes_the_best_and_few_others(seed):
    rng = random.Random(seed)
    models = list(range(81))
    rng.shuffle(models)
    calls = simulate(promote(models, levels(1, 3, 81), 3, 4), lambda model, _: model, lambda r: rng.randrange(len(r)))
    assert calls[80] == [1, 3, 9, 27, 81]
    on_rung = [sum(goal in each for each in calls.values()) for goal in levels(1, 3, 81)]
    assert on_rung[0] == 81
    assert all(27 / 3**k <= n <= 2 * 27 / 3**k + 6 for k, n in enumerate(on_rung[1:]))
