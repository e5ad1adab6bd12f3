"""Stratified folds of labels in memory that are whole numbers, without the row numbers of every split."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from daskml_kit.model_selection.splits.cut import id_dtype
from daskml_kit.model_selection.splits.folds import Folds
from daskml_kit.model_selection.splits.shares import dealt
from daskml_kit.model_selection.splits.splitter import each_once
from daskml_kit.model_selection.splits.strata import MAX_CLASSES


def plain_strata(y: Any, n_rows: int, n_splits: int) -> Folds | None:
    """Return the folds of `sklearn.model_selection.StratifiedKFold` without shuffle.

    None where y is not a plain column of whole numbers, of as many rows, or some class has fewer rows than there are
    folds: scikit-learn knows what to say about it.

    Examples
    --------
    >>> plain_strata(np.array([7, 7, 7, 3, 3]), 5, 2).ids[0]
    array([0, 0, 1, 0, 1], dtype=int16)
    """
    if not (isinstance(y, np.ndarray) and y.shape == (n_rows,) and y.dtype.kind in "iub"):
        return None
    codes, labels = pd.factorize(y)  # in the order of appearance, in which scikit-learn deals the classes
    counts = np.bincount(codes, minlength=1)
    if len(labels) > MAX_CLASSES or counts.min() < n_splits:
        return None
    order = np.argsort(codes.astype(np.uint16), kind="stable")  # 16 bits are sorted by radix, in linear time
    sizes = dealt(counts, n_splits)
    parts = np.tile(np.arange(n_splits, dtype=id_dtype(n_splits)), len(labels))
    ids = np.empty(n_rows, parts.dtype)
    ids[order] = np.repeat(parts, sizes.ravel())
    return Folds((ids,), each_once(n_splits))
