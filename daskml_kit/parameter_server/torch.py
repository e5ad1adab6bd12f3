"""PyTorch modules as models of the parameter server."""

from __future__ import annotations

import io
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from daskml_kit.exceptions import DataError
from daskml_kit.parameter_server.training.updates import LossAndGradient
from daskml_kit.typing import Array, Matrix


@dataclass
class TorchLoss:
    """Loss and gradients of a PyTorch module on NumPy arrays; each thread has a copy of the module.

    Parameters
    ----------
    pickled : bytes
        The module and its loss, as PyTorch pickles them.
    names : tuple of str
        The parameters that are trained.
    """

    pickled: bytes
    names: tuple[str, ...]
    _own: Any = field(default_factory=threading.local, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        return {"pickled": self.pickled, "names": self.names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _own=threading.local())

    def __call__(
        self, params: Mapping[str, Array], X: Matrix, y: Array, weight: Array | None = None
    ) -> tuple[float, dict[str, Array]]:
        torch = import_torch()
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            tensors = {name: _tensor(params[name]).requires_grad_() for name in self.names}
            value = self._loss(tensors, X, y, weight)
            grads = torch.autograd.grad(value, list(tensors.values()), allow_unused=True)
        finally:
            torch.set_num_threads(threads)
        pairs = zip(tensors.items(), grads, strict=True)
        found = {name: np.zeros(t.shape, params[name].dtype) if g is None else g.numpy() for (name, t), g in pairs}
        return float(value.detach()), found

    def _loss(self, tensors: dict[str, Any], X: Matrix, y: Array, weight: Array | None) -> Any:
        torch = import_torch()
        first = not hasattr(self._own, "pair")
        if first:
            self._own.pair = torch.load(io.BytesIO(self.pickled), weights_only=False)
        module, loss = self._own.pair
        dtype = next(iter(tensors.values())).dtype
        buffers = {name: buffer.clone() for name, buffer in module.named_buffers()} if first else {}
        output = torch.func.functional_call(module, tensors, (_inputs("X", X, dtype),))
        changed = [name for name, buffer in module.named_buffers() if first and not torch.equal(buffer, buffers[name])]
        if changed:
            raise _no_buffers(changed)
        target = _inputs("y", y, dtype)
        if target.is_floating_point() and output.ndim == 2 and output.shape[1] == 1 and target.ndim == 1:
            target = target[:, None]
        return _mean(loss(output, target), len(y), weight)


def torch_model(module: Any, loss: Any) -> tuple[LossAndGradient, dict[str, Array]]:
    """PyTorch module and its loss as the first two arguments of `train`.

    Tasks get the module pickled, and work with one thread of PyTorch's. Numbers with a fraction are cast to the dtype
    of the parameters, whole numbers become ``int64``, as embeddings and the cross entropy take them; a target of one
    dimension fits an output of one column. The module works in the mode it is in, by default that of training; layers
    that draw at random, such as dropout, draw from PyTorch's own generator, so that not even synchronous training has
    the same bits again.

    Parameters
    ----------
    module : torch.nn.Module
        Parameters that require no gradient stay as they are.
    loss : callable
        ``loss(output, y)``, such as ``torch.nn.CrossEntropyLoss()``: the mean over the rows, or with
        ``reduction="none"`` the loss of each, which sample weights need.

    Returns
    -------
    loss_and_grad : callable
        Loss and gradients, as `train` takes them; picklable.
    params : dict of str to array
        Copies of the parameters by PyTorch's names; `load_into` puts trained ones back.

    Raises
    ------
    DataError
        Where training changes buffers, such as the running means of batch normalization, which would be another in
        each worker; some are found at once, some in the first step.
    ImportError
        Without PyTorch: ``pip install torch``.

    See Also
    --------
    load_into : Puts trained parameters back.

    Examples
    --------
    >>> import torch
    >>> from daskml_kit.parameter_server import load_into, sgd, torch_model, train
    >>> X = np.random.default_rng(0).normal(size=(1000, 2))
    >>> module = torch.nn.Sequential(torch.nn.Linear(2, 1))
    >>> found = train(*torch_model(module, torch.nn.MSELoss()), X, X @ [1.0, -2.0], update=sgd(0.1), epochs=20)
    >>> load_into(module, found.params)
    >>> [round(number, 2) for number in module[0].weight[0].tolist()]
    [1.0, -2.0]
    """
    torch = import_torch()
    if not isinstance(module, torch.nn.Module):
        raise DataError(f"module: expected a torch.nn.Module, got {type(module).__name__}")
    if not callable(loss):
        raise DataError(f"loss: expected a function of output and y, got {loss!r}")
    running = [
        f"{place}.{name}".lstrip(".")
        for place, part in module.named_modules()
        if part.training and getattr(part, "track_running_stats", False)
        for name, _ in part.named_buffers(recurse=False)
    ]
    if running:
        raise _no_buffers(running)
    trained = {name: tensor for name, tensor in module.named_parameters() if tensor.requires_grad}
    if not trained:
        raise DataError("module: expected some parameters that require a gradient, got none")
    for name, tensor in trained.items():
        if tensor.dtype not in (torch.float32, torch.float64):
            raise DataError(f"module: expected parameters of float32 or float64, got {name!r} of {tensor.dtype}")
    file = io.BytesIO()
    torch.save((module, loss), file)
    params = {name: tensor.detach().cpu().numpy().copy() for name, tensor in trained.items()}
    return TorchLoss(file.getvalue(), tuple(trained)), params


def load_into(module: Any, params: Mapping[str, Array]) -> None:
    """Load trained parameters into a PyTorch module, in place.

    Parameters
    ----------
    module : torch.nn.Module
        Is written to.
    params : mapping of str to array
        Such as `TrainingResult.params`, by PyTorch's names.

    Raises
    ------
    DataError
        Where a name is not one of the module's, or a shape is not that of its parameter.

    See Also
    --------
    torch_model : Makes the parameters that are trained.

    Examples
    --------
    >>> import torch
    >>> module = torch.nn.Linear(2, 1)
    >>> load_into(module, {"bias": np.array([0.5], np.float32)})
    >>> module.bias.tolist()
    [0.5]
    """
    torch = import_torch()
    known = dict(module.named_parameters())
    for name, array in params.items():
        if name not in known:
            raise DataError(f"params: expected names of the module's parameters, {', '.join(known)}, got {name!r}")
        if tuple(known[name].shape) != np.shape(array):
            raise DataError(f"params[{name!r}]: expected shape {tuple(known[name].shape)}, got {np.shape(array)}")
    with torch.no_grad():
        for name, array in params.items():
            known[name].copy_(_tensor(np.asarray(array)))


def import_torch() -> Any:
    """Return PyTorch, or raise an ImportError that says how to install it."""
    try:
        import torch
    except ImportError as error:
        raise ImportError("torch_model needs PyTorch: pip install torch") from error
    return torch


def _tensor(array: Array) -> Any:
    """Return a tensor of the same memory, where PyTorch may have it."""
    fine = array.flags.writeable and array.dtype.isnative and all(stride >= 0 for stride in array.strides)
    return import_torch().from_numpy(array if fine else np.array(array, array.dtype.newbyteorder("=")))


def _inputs(name: str, array: Any, dtype: Any) -> Any:
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
        kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise DataError(f"{name}: expected a dense array of numbers, got {kind}")
    tensor = _tensor(array.astype(np.int64, copy=False) if array.dtype.kind in "iub" else array)
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def _mean(loss: Any, n_rows: int, weight: Array | None) -> Any:
    """Return the mean of the losses of rows, or the mean that the loss function has made already."""
    if loss.ndim == 0:
        if weight is None:
            return loss
        raise DataError("loss: expected one with reduction='none' beside sample weights, got the mean of the rows")
    rows = loss.reshape(n_rows, -1).mean(dim=1)
    if weight is None:
        return rows.mean()
    mass = _tensor(weight).to(rows.dtype)
    return (rows * mass).sum() / mass.sum()


def _no_buffers(names: list[str]) -> DataError:
    return DataError(
        f"module: training changes the buffers {', '.join(names)}, which workers would not share: use layers without "
        "running statistics, such as GroupNorm or LayerNorm, or track_running_stats=False"
    )
