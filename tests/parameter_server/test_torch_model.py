"""PyTorch modules train as other models do."""

from __future__ import annotations

import pickle
import sys

import dask.array as da
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits

from daskml_kit.engines import open as opening
from daskml_kit.exceptions import DataError
from daskml_kit.parameter_server import Asynchronous, Synchronous, adam, load_into, torch_model, train


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X / 16, y


def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))


def accuracy(module, X, y):
    with torch.no_grad():
        return float((module(torch.from_numpy(X).float()).argmax(dim=1).numpy() == y).mean())


@pytest.mark.slow
@pytest.mark.parametrize("training", [Synchronous(virtual_workers=2), Asynchronous()], ids=["sync", "async"])
@pytest.mark.parametrize("where", ["memory", "cluster"])
def test_digits(client, digits, monkeypatch, training, where):
    X, y = digits
    module = network()
    if where == "cluster":
        monkeypatch.setattr(opening, "LOCAL_BYTES", 0)
        X, y = client.persist([da.from_array(X, chunks=(450, 64)), da.from_array(y, chunks=450)])
    model = torch_model(module, torch.nn.CrossEntropyLoss())
    found = train(*model, X, y, update=adam(0.01), epochs=30, batch_size=100, training=training)
    load_into(module, found.params)
    assert all(array.dtype == np.float32 for array in found.params.values())
    assert accuracy(module, *digits) > 0.95


def test_gradients_are_numpys():
    rng = np.random.default_rng(0)
    X, y, weight = rng.normal(size=(50, 3)), rng.normal(size=50), rng.uniform(size=50)
    module = torch.nn.Linear(3, 1).double()
    for loss, mass in ((torch.nn.MSELoss(), None), (torch.nn.MSELoss(reduction="none"), weight)):
        loss_and_grad, params = torch_model(module, loss)
        value, grads = pickle.loads(pickle.dumps(loss_and_grad))(params, X, y, *([] if mass is None else [mass]))
        share = np.full(50, 1 / 50) if mass is None else mass / mass.sum()
        error = X @ params["weight"][0] + params["bias"] - y
        assert value == pytest.approx(share @ error**2)
        assert_allclose(grads["weight"], 2 * (share * error) @ X[:, None].swapaxes(0, 1))
        assert_allclose(grads["bias"], [2 * share @ error])


def test_nothing_that_was_given_changes():
    module = torch.nn.Linear(2, 1)
    before = module.weight.detach().clone()
    loss_and_grad, params = torch_model(module, torch.nn.MSELoss())
    params["weight"] += 1
    X = np.ones((4, 2))
    X.flags.writeable = False
    threads = torch.get_num_threads()
    loss_and_grad(params, X, np.zeros(4))
    assert torch.equal(module.weight, before)
    assert torch.get_num_threads() == threads


def test_frozen_and_unused_parameters():
    module = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1))
    module[0].requires_grad_(False)
    module.register_parameter("unused", torch.nn.Parameter(torch.ones(3)))
    loss_and_grad, params = torch_model(module, torch.nn.MSELoss())
    assert sorted(params) == ["1.bias", "1.weight", "unused"]
    grads = loss_and_grad(params, np.ones((4, 2)), np.zeros(4))[1]
    assert_array_equal(grads["unused"], np.zeros(3))


def test_whole_numbers_are_for_embeddings():
    module = torch.nn.Sequential(torch.nn.Embedding(5, 2), torch.nn.Flatten(), torch.nn.Linear(4, 3))
    loss_and_grad, params = torch_model(module, torch.nn.CrossEntropyLoss())
    value, grads = loss_and_grad(params, np.array([[0, 4], [1, 1]], np.int32), np.array([2, 0], np.int8))
    assert np.isfinite(value)
    assert_array_equal(grads["0.weight"].any(axis=1), [True, True, False, False, True])


class Counting(torch.nn.Module):
    """Counts its batches in a buffer that nothing announces."""

    def __init__(self):
        super().__init__()
        self.line = torch.nn.Linear(2, 1)
        self.register_buffer("batches", torch.zeros(1))

    def forward(self, X):
        self.batches += 1
        return self.line(X)


def test_buffers_that_training_changes_are_named():
    norm = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2), torch.nn.Linear(2, 1))
    with pytest.raises(DataError, match=r"1\.running_mean, 1\.running_var"):
        torch_model(norm, torch.nn.MSELoss())
    torch_model(norm.eval(), torch.nn.MSELoss())
    loss_and_grad, params = torch_model(Counting(), torch.nn.MSELoss())
    with pytest.raises(DataError, match="buffers batches"):
        train(loss_and_grad, params, np.ones((4, 2)), np.ones(4))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: torch_model("model", torch.nn.MSELoss()), "module: expected"),
        (lambda: torch_model(torch.nn.Linear(1, 1), 3), "loss: expected"),
        (lambda: torch_model(torch.nn.ReLU(), torch.nn.MSELoss()), "require a gradient"),
        (lambda: torch_model(torch.nn.Linear(1, 1).half(), torch.nn.MSELoss()), "float16"),
        (lambda: load_into(torch.nn.Linear(1, 1), {"gradient": np.ones(1)}), "gradient"),
        (lambda: load_into(torch.nn.Linear(1, 1), {"bias": np.ones(2)}), r"shape \(1,\)"),
        (lambda: call_with(np.ones(3), weight=np.ones(3)), "reduction='none'"),
        (lambda: call_with(np.array(["a", "b", "c"])), "y: expected a dense array of numbers"),
    ],
)
def test_what_cannot_be_used_is_named(call, message):
    with pytest.raises(DataError, match=message):
        call()


def call_with(y, **options):
    loss_and_grad, params = torch_model(torch.nn.Linear(1, 1), torch.nn.MSELoss())
    return loss_and_grad(params, np.ones((3, 1)), y, **options)


def test_without_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match="pip install torch"):
        torch_model(None, None)
