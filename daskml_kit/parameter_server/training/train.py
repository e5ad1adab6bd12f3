"""Training of anybody's own model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp

from daskml_kit.data.collections import is_dask, n_features_of
from daskml_kit.engines.open import open_engine
from daskml_kit.exceptions import DataError
from daskml_kit.optim import Update, adam, add
from daskml_kit.parameter_server.training.config import Setting, checked
from daskml_kit.parameter_server.training.coordinator import Trained, train_on
from daskml_kit.parameter_server.training.updates import Gradients, LocalSteps, LossAndGradient, Step
from daskml_kit.typing import Array


def train(
    loss_and_grad: LossAndGradient,
    params: Mapping[str, Any],
    X: Any,
    y: Any = None,
    *,
    sample_weight: Any = None,
    update: Update | None = None,
    local: Update | None = None,
    **setting: Any,
) -> Trained:
    """Train a model that is given by its loss and gradient, by stochastic gradients.

    Parameters
    ----------
    loss_and_grad : callable
        ``f(params, X, y)``, with sample weights ``f(params, X, y, weight)``: returns the mean loss of the rows, and
        its gradient as a mapping of the parameters' names to arrays, or `Rows`. It sees NumPy arrays (or CSR).
    params : mapping of str to array
        Where training starts.
    X, y, sample_weight : arrays, Dask arrays or frames
        On Dask data under a client, trainers are tasks beside the blocks; in memory they are threads.
    update : Update, default ``adam()``
        What the servers do with a gradient.
    local : Update, optional
        With this rule a trainer goes a step of its own for each mini-batch; servers then add up how far trainers went,
        and ``update`` is not used.
    mode : {"sync", "stale", "async"}, default "sync"
        Synchronous steps, the same bits for any number of workers; or gradients that are applied as they come, by
        trainers of which none is more than ``staleness`` pushes ahead of the slowest ("stale"), or by any ("async").
    staleness : int, default 4
        With ``mode="stale"``.
    epochs : int, default 1
        How often each row is visited.
    batch_size : int, default 256
        Rows of a mini-batch: in a synchronous step of all lanes together, else of one trainer.
    push_every : int, optional
        Mini-batches between two pushes. By default 1, in asynchronous mode as many as hide the time of a push.
    lanes : int, default 8
        The pieces of a synchronous step, and so the most trainers that can take part. Results depend on it, and not on
        how many take part.
    backup : int, default 0
        How many pieces a synchronous step does not wait for; the result then depends on who is late.
    servers, replicas, on_nan : see `ParameterServer`
    shuffle : bool, default True
        Whether rows are visited in an order drawn anew each epoch; False is the order of the data within a block.
    validation_fraction : float, default 0.0
        The share of the rows that is held out, and judged after each epoch.
    patience : int, optional
        Training ends when the loss, that of the rows held out if there are any, has not become better by ``tol`` in so
        many epochs.
    tol : float, default 1e-4
    top_k : float, optional
        The share of a gradient's rows that is pushed, the rest is added to the next (asynchronous modes).
    snapshot : path, optional
        A directory where the state is written after each epoch, for `ParameterServer.restore`.
    random_state : int, default 0
    n_jobs : int, optional
        Threads where there is no cluster.
    verbose : int, default 0
        Above 0, a bar with loss and rows a second.

    Returns
    -------
    Trained
        ``params`` and ``history``.

    Raises
    ------
    DataError
        Where an argument cannot be used.
    LostServerError
        Where parameters were lost with all workers that held them.

    Examples
    --------
    >>> def squares(params, X, y):
    ...     error = X @ params["w"] - y
    ...     return (error**2).mean(), {"w": 2 * X.T @ error / len(y)}
    >>> X = np.random.default_rng(0).normal(size=(1000, 2))
    >>> from daskml_kit.parameter_server import sgd
    >>> found = train(squares, {"w": np.zeros(2)}, X, X @ [1.0, -2.0], update=sgd(0.1), epochs=10)
    >>> found.params["w"].round(3)
    array([ 1., -2.])
    """
    unknown = set(setting).difference(Setting._fields)
    if unknown:
        raise TypeError(f"train: unexpected argument {sorted(unknown)[0]!r}; expected {', '.join(Setting._fields)}")
    if not callable(loss_and_grad):
        raise DataError(f"loss_and_grad: expected a function, got {loss_and_grad!r}")
    if local is not None and update is not None:
        raise DataError("update: expected none beside local, since servers then add up how far trainers went")
    step: Step = Gradients(loss_and_grad) if local is None else LocalSteps(loss_and_grad, local)
    rule = add() if local is not None else update or adam()
    wanted = checked(Setting(**setting))
    n_features_of(X)
    matrix = X if is_dask(X) or sp.issparse(X) else np.asarray(X)
    with open_engine(matrix, y, sample_weight, n_jobs=wanted.n_jobs) as engine:
        return train_on(engine, step, as_floats(params), rule, wanted)


def as_floats(params: Mapping[str, Any]) -> dict[str, Array]:
    """Return the parameters as arrays of floats; whole numbers become float64."""
    arrays = {name: np.asarray(array) for name, array in params.items()}
    return {name: a if a.dtype.kind == "f" else a.astype(np.float64) for name, a in arrays.items()}
