"""Mapping of features to a uniform or normal distribution by their quantiles."""

from __future__ import annotations

from typing import Any

import numpy as np
import sklearn.preprocessing

from daskml_kit.arguments import check_number
from daskml_kit.base import DaskTransformer, of_numbers
from daskml_kit.reductions.frames import rows_like
from daskml_kit.reductions.quantiles import quantiles
from daskml_kit.reductions.row_sample import RowSample, SampledRows
from daskml_kit.solvers.run import lockstep
from daskml_kit.solvers.types import DataSpec, Fit
from daskml_kit.validation import seed_of


class QuantileTransformer(DaskTransformer, sklearn.preprocessing.QuantileTransformer):  # type: ignore[misc]
    """Map each feature to a uniform or a normal distribution by its quantiles.

    One pass draws a sample of rows without replacement, whose quantiles are taken; with ``subsample=None`` those of all
    rows are, exactly, in two or three passes. Parameters, attributes and methods are those of
    `sklearn.preprocessing.QuantileTransformer`; data of no more than ``subsample`` rows give its numbers.

    Parameters
    ----------
    n_quantiles : int, default 1000
    output_distribution : {"uniform", "normal"}, default "uniform"
    ignore_implicit_zeros : bool, default False
        Whether only stored numbers of CSR blocks count; needs ``subsample``.
    subsample : int or None, default 10000
        The rows of the sample; None takes all rows.
    random_state : int, RandomState or None, default None
        Seed of the sample; None is 0.
    copy : bool, default True
        On Dask input a copy is always made: False is refused there.

    Attributes
    ----------
    n_quantiles_ : int
    quantiles_ : array of shape (n_quantiles_, n_features)
    references_ : array of shape (n_quantiles_,)

    See Also
    --------
    RobustScaler : Scaling by quantiles, which keeps the shape of the distribution.
    PowerTransformer : The same by a function with one parameter.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array(np.array([[1.0], [2.0], [50.0]]), chunks=2)
    >>> QuantileTransformer(n_quantiles=3).fit_transform(X).compute()
    array([[0. ],
           [0.5],
           [1. ]])
    """

    @property
    def many_passes(self) -> bool:
        """Return whether one pass over the data is not enough."""
        return self.subsample is None

    @property
    def transforms_rows(self) -> bool:
        """Return whether no sample is drawn, which of data in memory is another."""
        return self.subsample is None

    def _fit_steps(self, spec: DataSpec) -> Fit:
        check_number("n_quantiles", self.n_quantiles, low=1, integer=True)
        if self.subsample is not None:
            check_number("subsample", self.subsample, low=1, integer=True)
        elif self.ignore_implicit_zeros:
            raise ValueError("ignore_implicit_zeros: expected False where subsample=None takes all rows, got True")
        n_rows = self.n_quantiles if self.subsample is None else self.subsample
        asked: dict[str, Any] = {"sample": drawn(n_rows, seed_of(self.random_state))}
        if self.subsample is None:
            asked["quantiles"] = quantiles(np.linspace(0, 1, self.n_quantiles))
        head, found = yield from of_numbers(spec, lockstep(asked))
        sample = found["sample"]
        sampled = self.subsample is not None or sample.complete
        rows = sample.X if sampled else found["quantiles"]
        kind = sklearn.preprocessing.QuantileTransformer
        genuine = kind(**self._sklearn_parameters(kind)).fit(rows_like(rows, head))
        if not sampled:
            genuine.quantiles_ = rows  # which scikit-learn has interpolated: no two that were equal may differ
        return self._learned(genuine, head)


def drawn(n_rows: int, seed: int) -> Fit:
    """Ask for a sample of rows, and return it."""
    sample: SampledRows = yield RowSample(n_rows, seed)
    return sample
