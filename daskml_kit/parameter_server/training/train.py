"""Training of a model of one's own, given by its loss and gradient."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp

from daskml_kit.activity import recorded
from daskml_kit.arguments import check_mapping
from daskml_kit.data.collections import is_dask, n_features_of
from daskml_kit.engines.open import open_engine
from daskml_kit.exceptions import DataError
from daskml_kit.optim import Update, adam, add
from daskml_kit.parameter_server.layout import check_real
from daskml_kit.parameter_server.training.config import (
    Training,
    TrainingConfig,
    apart_from_places,
    check_training,
    checked,
    seed_of,
)
from daskml_kit.parameter_server.training.coordinator import TrainingResult, train_on
from daskml_kit.parameter_server.training.reached import Reached, resumed
from daskml_kit.parameter_server.training.updates import GradientStep, LocalSgdStep, LossAndGradient, WorkerStep
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
    training: Training | None = None,
    epochs: int = 1,
    batch_size: int = 256,
    shuffle: bool = True,
    validation_fraction: float = 0.0,
    patience: int | None = None,
    tol: float = 1e-4,
    on_nan: str = "raise",
    random_state: Any = 0,
    n_jobs: int | None = None,
    verbose: int = 0,
    checkpoint: str | os.PathLike[str] | None = None,
) -> TrainingResult:
    """Train a model that is given by its loss and gradient, by stochastic gradients on a parameter server.

    Parameters
    ----------
    loss_and_grad : callable
        ``f(params, X, y)``, with sample weights ``f(params, X, y, weight)``: returns the mean loss of the rows, and
        its gradient as a mapping of the parameters' names to arrays, or `SparseRows`. It sees NumPy arrays (or CSR).
    params : mapping of str to array
        Where training starts.
    X : array, Dask array or frame of shape (n_samples, n_features)
        On Dask data under a client, workers are tasks beside the blocks; in memory they are threads.
    y : array, Dask array or frame of shape (n_samples,) or (n_samples, n_outputs), optional
        Targets.
    sample_weight : array of shape (n_samples,), optional
        Weights of the rows.
    update : Update, default ``adam()``
        Rule by which the servers apply a gradient.
    local : Update, optional
        With this rule a worker makes a local step for each minibatch (local SGD); servers then average how far workers
        went, and ``update`` is not used.
    training : Synchronous or Asynchronous, default ``Synchronous()``
        Whether workers make each step together, with the same bits for any number of them, or push as they go.
    epochs : int, default 1
        How often each row is visited.
    batch_size : int, default 256
        Rows of a minibatch: in a synchronous step of all virtual workers together, else of one worker.
    shuffle : bool, default True
        Whether rows are visited in an order drawn anew each epoch; False is the order of the data within a block.
    validation_fraction : float, default 0.0
        The share of the rows of each block that is held out; their loss is computed after each epoch.
    patience : int, optional
        Training ends when the loss, that of the validation rows if there are any, has not become better by ``tol`` in
        so many epochs.
    tol : float, default 1e-4
        Used with ``patience``.
    on_nan : {"raise", "skip"}, default "raise"
        Whether a gradient that is not finite is an error, or is left out.
    random_state : int, RandomState, Generator or None, default 0
        Seed of the orders of rows and of the choice of validation rows; None draws it anew.
    n_jobs : int, optional
        Threads where there is no cluster; by default one a processor.
    verbose : int, default 0
        Above 0, a progress bar with loss and rows a second.
    checkpoint : path, optional
        A folder that keeps what the last epoch has reached: called again with the same arguments and data, also on
        another cluster, a training that was interrupted goes on from there. ``loss_and_grad`` is told by its name
        only. `ParameterServer.restore` takes the folder, too.

    Returns
    -------
    TrainingResult
        ``params`` and ``history``.

    Raises
    ------
    DataError
        Where an argument cannot be used.
    CheckpointError
        Where the folder belongs to other data or arguments, is damaged, or cannot be written.
    LostSchedulerError
        Where the scheduler of the cluster was lost.
    LostServerError
        Where parameters were lost with all workers that held them again and again; after the first loss, training goes
        on from the end of its last epoch, with a warning.

    See Also
    --------
    torch_model : Makes the first two arguments from a PyTorch module.
    ParameterServer : For a training loop of one's own.

    References
    ----------
    S. Stich, Local SGD converges fast and communicates little, ICLR 2019 (``local``).

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
    if not callable(loss_and_grad):
        raise DataError(f"loss_and_grad: expected a function, got {loss_and_grad!r}")
    check_mapping("params", params)
    for name, rule in (("update", update), ("local", local)):
        if rule is not None and not (hasattr(rule, "init") and hasattr(rule, "apply")):
            raise DataError(f"{name}: expected a rule such as sgd(0.1), got {rule!r}")
    if local is not None and update is not None:
        raise DataError("update: expected none beside local, since servers then add up how far workers went")
    step: WorkerStep = GradientStep(loss_and_grad) if local is None else LocalSgdStep(loss_and_grad, local)
    applied = add() if local is not None else update or adam()
    config = checked(
        TrainingConfig(
            training=check_training(training),
            epochs=epochs,
            batch_size=batch_size,
            shuffle=shuffle,
            validation_fraction=validation_fraction,
            patience=patience,
            tol=tol,
            on_nan=on_nan,
            random_state=seed_of(random_state),
            verbose=verbose,
        )
    )
    n_features_of(X)
    matrix = X if is_dask(X) or sp.issparse(X) else np.asarray(X)
    floats = {name: _floats(name, array) for name, array in params.items()}
    told = getattr(loss_and_grad, "__qualname__", type(loss_and_grad).__qualname__)
    drawn = config.random_state if isinstance(random_state, (int, np.integer)) else random_state
    unlike = config._replace(training=apart_from_places(training), random_state=0, verbose=0)
    setting = told, floats, applied, local, unlike, drawn
    rows = open_engine(matrix, y, sample_weight, n_jobs=n_jobs, checkpoint=checkpoint, setting=setting)
    with recorded(f"train {told}"), rows as engine:
        reached, config = resumed(engine, applied, config, Reached(floats))
        return train_on(engine, step, applied, config, reached)


def _floats(name: str, values: Any) -> Array:
    """Return a parameter as an array of floats."""
    array = np.asarray(values)
    check_real(array, f"params[{name!r}]")
    return array if array.dtype.kind == "f" else array.astype(np.float64)
