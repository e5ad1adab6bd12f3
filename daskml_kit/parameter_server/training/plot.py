"""Pictures of a training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from daskml_kit.parameter_server.training.history import History


def plot_history(history: History) -> Any:
    """Draw what `History.plot` says."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("History.plot needs matplotlib: pip install 'daskml_kit[plot]'") from error
    figure = Figure(figsize=(11, 6.5), layout="constrained")
    axes = figure.subplots(2, 2)
    _losses(axes[0, 0], history, [epoch.seconds for epoch in history.epochs], "seconds")
    _losses(axes[0, 1], history, list(np.cumsum([epoch.pushes for epoch in history.epochs])), "pushes")
    lags = sorted(history.lags)
    axes[1, 0].bar(range(len(lags)), [history.lags[lag] for lag in lags], tick_label=[str(lag) for lag in lags])
    axes[1, 0].set(xlabel="updates missed by the parameters of a push", ylabel="pushes", title="staleness")
    workers = sorted(history.idle)
    axes[1, 1].barh(workers, [100 * history.idle[worker] for worker in workers])
    axes[1, 1].set(xlabel="% of the time", xlim=(0, 100), title="workers waiting")
    return figure


def _losses(axes: Any, history: History, places: list[Any], label: str) -> None:
    axes.plot(places, [epoch.loss for epoch in history.epochs], "o-", label="training, as it went")
    held = [epoch.validation_loss for epoch in history.epochs]
    if np.isfinite(held).any():
        axes.plot(places, held, "s-", label="held out")
    axes.set(xlabel=label, ylabel="loss")
    axes.legend()
