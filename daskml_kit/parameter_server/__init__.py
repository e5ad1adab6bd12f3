"""Training by many trainers on parameters that a few servers hold: synchronous, stale-synchronous, asynchronous."""

from daskml_kit.numerics.row_sparse import Rows
from daskml_kit.optim import (
    adagrad,
    adam,
    add,
    chain,
    clip,
    clip_norm,
    inverse_scaling,
    momentum,
    sgd,
)
from daskml_kit.parameter_server.client import Trainer
from daskml_kit.parameter_server.server import ParameterServer
from daskml_kit.parameter_server.torch import load_into, torch_model
from daskml_kit.parameter_server.training.coordinator import Trained
from daskml_kit.parameter_server.training.history import History
from daskml_kit.parameter_server.training.train import train

__all__ = [
    "History",
    "ParameterServer",
    "Rows",
    "Trained",
    "Trainer",
    "adagrad",
    "adam",
    "add",
    "chain",
    "clip",
    "clip_norm",
    "inverse_scaling",
    "load_into",
    "momentum",
    "sgd",
    "torch_model",
    "train",
]
