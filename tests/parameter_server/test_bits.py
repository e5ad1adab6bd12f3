"""Synchronous steps: the bits of a reduction over blocks and a step on the driver, for any number of workers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import dask.array as da
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from daskml_kit.engines import open as opening
from daskml_kit.engines.open import open_engine
from daskml_kit.optim import Update
from daskml_kit.parameter_server import ParameterServer, Synchronous, adam, chain, clip_norm, momentum, sgd, train
from daskml_kit.parameter_server.layout import Layout
from daskml_kit.parameter_server.protocol import StepPart, WeightedGradient
from daskml_kit.parameter_server.state_machine import GradientSum
from daskml_kit.parameter_server.training.minibatches import MinibatchOrder

CHUNKS = (300, 90, 0, 411, 7, 192, 200)
BATCH, EPOCHS = 16, 2
PARAMS = {"w": np.zeros(5), "b": np.zeros(())}


def make(seed=0):
    X = da.random.default_rng(seed).normal(size=(sum(CHUNKS), 5), chunks=(CHUNKS, 5))
    return X, X @ np.arange(5.0) + da.sin(X[:, 0] * 7)


def squares(params, X, y):
    residual = X @ params["w"] + params["b"] - y
    return float(residual @ residual) / (2 * len(y)), {"w": X.T @ residual / len(y), "b": residual.mean()}


@dataclass(frozen=True, eq=False)
class StepOfBlocks(GradientSum):
    """One synchronous step as a reduction about the data, a virtual worker a block."""

    order: MinibatchOrder
    layout: Layout
    epoch: int
    number: int
    params: dict = field(default_factory=dict)

    def chunk(self, block):
        if self.number >= self.order.n_batches(block.n_rows):
            return WeightedGradient(0.0, None)
        (batch,) = self.order.shuffled(block, self.epoch).batches(self.number, self.number + 1)
        gradients = squares(self.params, batch.X, batch.y)[1]
        scaled = {name: np.asarray(g) * batch.mass for name, g in gradients.items()}
        return WeightedGradient(batch.mass, self.layout.flatten(scaled))


def reduced(engine, rule: Update):
    """Return the parameters after steps that are passes over the data, applied here."""
    order, layout = MinibatchOrder(3, BATCH), Layout.of(PARAMS, 1)
    vector = layout.flatten(PARAMS)
    state = rule.init(vector)
    for epoch in range(EPOCHS):
        for number in range(max(order.n_batches(n) for n in CHUNKS)):
            params = {name: array.copy() for name, array in layout.unflatten(vector).items()}
            (total,) = engine.answer(StepOfBlocks(order, layout, epoch, number, params))
            vector, state = rule.apply(total.total / total.weight, state, vector)
    return layout.unflatten(vector)


def trained(X, y, rule, n_jobs=None, **training):
    return train(
        squares,
        PARAMS,
        X,
        y,
        update=rule,
        epochs=EPOCHS,
        batch_size=BATCH * len(CHUNKS),
        random_state=3,
        training=Synchronous(virtual_workers=len(CHUNKS), **training),
        n_jobs=n_jobs,
    ).params


@pytest.mark.parametrize("rule", [sgd(0.1), momentum(0.05), adam(0.1), chain(clip_norm(0.5), adam(0.1))])
def test_threads_give_the_bits_of_a_reduction(rule):
    X, y = make()
    with open_engine(X, y, n_jobs=2) as engine:
        expected = reduced(engine, rule)
    for n_jobs in (1, 2, 4):
        found = trained(X, y, rule, n_jobs=n_jobs)
        for name in PARAMS:
            assert_array_equal(found[name], expected[name])


@pytest.mark.slow
@pytest.mark.parametrize("servers", [1, 2])
def test_a_cluster_gives_the_bits_of_a_reduction(client, monkeypatch, servers):
    X, y = make()
    with open_engine(X, y, n_jobs=1) as engine:
        local = reduced(engine, adam(0.1))
    monkeypatch.setattr(opening, "LOCAL_BYTES", 0)
    X, y = client.persist([X, y])
    with open_engine(X, y) as engine:
        expected = reduced(engine, adam(0.1))
    found = trained(X, y, adam(0.1), servers=servers)
    for name in PARAMS:
        assert_array_equal(expected[name], local[name])
        assert_array_equal(found[name], expected[name])


@pytest.mark.parametrize("n_workers", [1, 2, 4])
def test_workers_by_hand_share_the_virtual_workers_of_a_step(n_workers):
    rng = np.random.default_rng(0)
    gradients = rng.normal(size=(3, 4, 5))
    with ParameterServer({"w": np.zeros(5)}, sgd(0.1), virtual_workers=4, client="local") as server:
        workers = [server.worker(str(number)) for number in range(n_workers)]
        leaves = np.array_split(np.arange(4), n_workers)
        for step in gradients:
            parts = [[StepPart(int(leaf), 1.0 + leaf, {"w": step[leaf]}) for leaf in own] for own in leaves]
            with ThreadPoolExecutor(n_workers) as pool:
                list(pool.map(lambda worker, own: worker.push_step(own), workers, parts))
        found = server.pull()["w"]
    w = np.zeros(5)
    for step in gradients:
        parts = [step[leaf] * (1.0 + leaf) for leaf in range(4)]
        w -= 0.1 * (((parts[0] + parts[1]) + (parts[2] + parts[3])) / 10.0)
    assert_array_equal(found, w)
