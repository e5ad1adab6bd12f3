"""Training by many trainers on parameters that a few servers hold: synchronous, stale-synchronous, asynchronous."""

from daskml_kit.numerics.rows import Rows
from daskml_kit.parameter_server.server import ParameterServer
from daskml_kit.parameter_server.torch_model import load_into, torch_model
from daskml_kit.parameter_server.trainer import Trainer
from daskml_kit.parameter_server.training.history import History
from daskml_kit.parameter_server.training.run import Trained
from daskml_kit.parameter_server.training.train import train
from daskml_kit.solvers.updates import (
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
