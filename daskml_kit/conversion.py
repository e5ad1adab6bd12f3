"""Conversion of models to plain scikit-learn, for deployment where neither Dask nor this package is installed."""

from __future__ import annotations

import io
import pickle
from contextlib import suppress
from typing import Any

from daskml_kit.composition import without_dask
from daskml_kit.exceptions import ConversionError

FOREIGN = ("daskml_kit", "dask", "distributed")


def to_sklearn(model: Any) -> Any:
    """Return a model as scikit-learn's own objects, with the same parameters and fitted state.

    Estimators inside a pipeline, a search, a vote or any other of scikit-learn's meta-estimators are converted with it.

    Parameters
    ----------
    model : estimator
        Fitted or not, of ours or scikit-learn's. It is not changed.

    Returns
    -------
    estimator
        One whose pickle needs neither Dask nor this package. Of an adaptive search or a `ParallelPostFit` it is the
        fitted model that these hold.

    Raises
    ------
    ConversionError
        Where scikit-learn has no such model; the message names the part.

    See Also
    --------
    joblib.dump : Writes the result to a file.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from daskml_kit.linear_model import Ridge
    >>> from daskml_kit.preprocessing import StandardScaler
    >>> model = make_pipeline(StandardScaler(), Ridge()).fit(np.eye(3), [1.0, 2.0, 3.0])
    >>> [type(step).__module__.split(".")[0] for step in to_sklearn(model)]
    ['sklearn', 'sklearn']
    """
    plain = without_dask(model)
    with suppress(pickle.PicklingError, AttributeError, TypeError):  # a function of the user that no pickle takes
        Inspector(type(model).__name__).dump(plain)
    return plain


class Inspector(pickle.Pickler):
    """Pickler that refuses what would need Dask or this package to be loaded; all that it writes is thrown away."""

    def __init__(self, name: str) -> None:
        super().__init__(io.BytesIO(), protocol=pickle.HIGHEST_PROTOCOL)
        self.name = name

    def persistent_id(self, value: Any) -> None:
        """Look at each object before it is written."""
        kind = value if isinstance(value, type) or (callable(value) and hasattr(value, "__qualname__")) else type(value)
        if str(kind.__module__).split(".")[0] in FOREIGN:
            part = kind.__qualname__
            held = "it" if part == self.name else f"{self.name} holds a {part}, which"
            raise ConversionError(f"cannot convert {self.name} to scikit-learn: {held} has no counterpart there")
