"""Parameter server: synchronous, stale-synchronous and asynchronous training on parameters that servers hold."""

from daskml_kit.numerics.row_sparse import SparseRows
from daskml_kit.optim import adagrad, adam, add, chain, clip, clip_norm, inverse_scaling, momentum, sgd
from daskml_kit.parameter_server.client import WorkerClient
from daskml_kit.parameter_server.server import ParameterServer
from daskml_kit.parameter_server.torch import load_into, torch_model
from daskml_kit.parameter_server.training.config import Asynchronous, Synchronous
from daskml_kit.parameter_server.training.coordinator import TrainingResult
from daskml_kit.parameter_server.training.history import History
from daskml_kit.parameter_server.training.train import train

__all__ = [
    "Asynchronous",
    "History",
    "ParameterServer",
    "SparseRows",
    "Synchronous",
    "TrainingResult",
    "WorkerClient",
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
