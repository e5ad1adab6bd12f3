"""Where a fit is computed follows from what its steps cost, and is told."""

from __future__ import annotations

import logging
import time

import dask.array as da
import numpy as np
import pytest
from distributed import futures_of
from numpy.testing import assert_array_equal

from daskml_kit.engines import open as opening
from daskml_kit.linear_model import Ridge
from daskml_kit.model_selection.splits.folds import compute_tasks
from daskml_kit.neural_network import MLPClassifier, MLPRegressor
from daskml_kit.neural_network.mlp_training import has_short_steps
from daskml_kit.parameter_server import Synchronous
from daskml_kit.recommendation import MatrixFactorization

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X = np.random.default_rng(0).integers(0, 9, size=(400, 2)).astype(float)
Y = (X[:, 0] > 4).astype(int)
MODELS = {
    "MLPClassifier": MLPClassifier((3,), max_iter=2, random_state=0),
    "MLPRegressor": MLPRegressor(hidden_layer_sizes=(3,), max_iter=2, random_state=0),
    "MatrixFactorization": MatrixFactorization(2, max_iter=2, batch_size=100, random_state=0),
}


@pytest.fixture
def held(client, monkeypatch):
    """Data on the workers that is too large to be fetched, but for short steps."""
    monkeypatch.setattr(opening, "LOCAL_BYTES", X.nbytes // 4)
    return client.persist([da.from_array(X, chunks=(100, 2)), da.from_array(Y, chunks=100)])


def parameters_of(model):
    return model.coefs_ if hasattr(model, "coefs_") else [model.user_factors_, model.item_factors_]


@pytest.mark.parametrize("name", MODELS)
def test_short_steps_are_made_here_with_the_bits_of_the_workers(name, held, caplog):
    with caplog.at_level(logging.INFO, logger="daskml_kit.engines"):
        here = MODELS[name].fit(*held)
    assert here.profile_.where == "in threads of this process, which fetched 0.0064 MB of X"
    assert here.profile_.where in caplog.text
    found = parameters_of(here)
    there = MODELS[name].set_params(training=Synchronous()).fit(*held)
    assert there.profile_.where == "on the workers of the cluster"
    for ours, expected in zip(found, parameters_of(there), strict=True):
        assert_array_equal(ours, expected)
    MODELS[name].set_params(training=None)


@pytest.mark.parametrize("local_bytes", [0, 10**6], ids=["on workers", "fetched"])
def test_what_was_computed_is_released_before_the_next_step(client, monkeypatch, local_bytes):
    monkeypatch.setattr(opening, "LOCAL_BYTES", local_bytes)
    lazy = da.ones((40, 2), chunks=(20, 2)) + 1
    client.loop.add_callback(time.sleep, 0.1)  # a busy event loop drops futures late
    assert len(compute_tasks(list(lazy.to_delayed().ravel()))) == 2
    assert not client.futures
    with opening.open_engine(lazy, lazy[:, 0]):
        client.loop.add_callback(time.sleep, 0.1)
    assert not client.futures
    kept = lazy.persist()
    with opening.open_engine(kept, lazy[:, 0]):
        pass
    assert sorted(client.futures) == sorted(future.key for future in futures_of(kept))


def test_only_short_steps_fetch_more():
    assert has_short_steps(MLPClassifier((100,)), 784)
    assert not has_short_steps(MLPClassifier((1_000, 1_000)), 784)
    assert not has_short_steps(MLPClassifier((100,), batch_size=100_000), 784)
    assert not has_short_steps(MLPClassifier((100,), training=Synchronous()), 784)
    assert not has_short_steps(MLPClassifier((100,), solver="lbfgs"), 784)


def test_every_fit_tells_where_it_was(held, monkeypatch, capsys):
    assert Ridge().fit(*held).profile_.where == "on the workers of the cluster"
    assert Ridge().fit(X, Y).profile_.where == "in threads of this process"
    monkeypatch.setattr(opening, "LOCAL_BYTES", X.nbytes)
    assert "fetched 0.0064 MB" in Ridge().fit(*held).profile_.where
    MLPClassifier((3,), max_iter=1, verbose=True).fit(*held)
    assert "in threads of this process, which fetched 0.0064 MB of X" in capsys.readouterr().err
