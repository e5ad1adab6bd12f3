"""Transformation of blocks by fitted scikit-learn transformers, with one look at each distinct value of a category."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import sklearn
from sklearn.compose import ColumnTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.preprocessing import OneHotEncoder

from daskml_kit.data.coded import CodedRows, code_type, coded, side_by_side
from daskml_kit.typing import Array


def transform_rows(model: Any, rows: Any) -> Any:
    """Return ``model.transform(rows)``; of a data frame's one-hot columns, codes are looked up rather than values.

    Parameters
    ----------
    model : scikit-learn transformer
        Fitted.
    rows : array, CSR matrix or DataFrame

    Examples
    --------
    >>> frame = pd.DataFrame({"city": pd.Categorical(["Oslo", "Rome", "Oslo"])})
    >>> transform_rows(OneHotEncoder().fit(frame), frame).toarray()
    array([[1., 0.],
           [0., 1.],
           [1., 0.]])
    """
    found = None
    if isinstance(rows, pd.DataFrame) and len(rows) and sklearn.get_config()["transform_output"] == "default":
        if isinstance(model, FrozenEstimator):
            return transform_rows(model.estimator, rows)
        if isinstance(model, OneHotEncoder):
            found = _one_hot(model, rows)
        elif isinstance(model, ColumnTransformer):
            found = _side_by_side(model, rows)
    return model.transform(rows) if found is None else found


def codes_of(values: Any) -> tuple[Array, Any]:
    """Return a code of each value, and the distinct values; None, NaN and pd.NA are three values, and come last.

    Examples
    --------
    >>> codes, distinct = codes_of(pd.Series(["b", "a", "b"]))
    >>> codes, distinct.tolist()
    (array([0, 1, 0]), ['b', 'a'])
    """
    if isinstance(values.dtype, pd.CategoricalDtype):
        own, counts = counted_codes(values)
        there = np.flatnonzero(counts)
        place = np.empty(len(counts), np.intp)
        place[there] = np.arange(len(there))
        return place[own], categories_at(values, there)
    rows = values.iloc if hasattr(values, "iloc") else values
    codes, _ = pd.factorize(values)
    missing = np.flatnonzero(codes < 0)
    if len(missing):
        of_objects = values.dtype == object  # others hold one kind
        kinds = pd.factorize(np.array([_kind(value) for value in rows[missing]]))[0] if of_objects else 0
        codes[missing] = codes.max() + 1 + kinds
    first = np.empty(int(codes.max(initial=-1)) + 1, np.intp)
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    return codes, rows[first]


def counted_codes(values: pd.Series[Any]) -> tuple[Array, Array]:
    """Return the codes of a categorical column plus one, which missing values have zero of, and the rows of each.

    Examples
    --------
    >>> codes, counts = counted_codes(pd.Series(["b", None, "b"], dtype="category"))
    >>> codes.tolist(), counts.tolist()
    ([1, 0, 1], [1, 2])
    """
    codes = np.asarray(values.cat.codes)
    wide = codes.astype(np.min_scalar_type(-len(values.cat.categories) - 2))  # of which none overflows
    wide += 1
    return wide, np.bincount(wide)


def categories_at(values: pd.Series[Any], codes: Array) -> pd.Series[Any]:
    """Return values of a categorical column by their codes plus one."""
    return pd.Series(pd.Categorical.from_codes(codes - 1, dtype=values.dtype), name=values.name)


def _kind(value: Any) -> str:
    return "None" if value is None else "NA" if value is pd.NA else "NaN"


def _one_hot(encoder: OneHotEncoder, frame: pd.DataFrame) -> Any:
    """Return the encoded rows as CSR; None where scikit-learn has to do it."""
    if not encoder.sparse_output or frame.shape[1] != encoder.n_features_in_:
        return None
    objects = (values for _, values in frame.items() if values.dtype == np.object_)
    if any(values.hasnans for values in objects):
        return None  # of None beside NaN scikit-learn looks at the whole column
    looked_up = [_looked_up(frame.iloc[:, position]) for position in range(frame.shape[1])]
    codes, there, distinct = zip(*looked_up, strict=True)
    edges = np.cumsum([0, *_widths(encoder)])
    width = int(edges[-1])
    places = _columns_of(encoder, distinct, edges)
    if places is None:
        places = _encoded(encoder, frame, distinct, edges)
    if places is None:
        return None
    indices = np.empty((len(frame), frame.shape[1]), code_type(width))
    for position, (own, used) in enumerate(zip(codes, there, strict=True)):
        table = np.full(used[-1] + 1, width, indices.dtype)
        table[used] = places[position]
        np.take(table, own, out=indices[:, position], mode="clip")  # with checks it would go through a buffer
    spans, no_numbers = np.stack([edges[:-1], edges[1:]], axis=1), np.empty((len(frame), 0), encoder.dtype)
    return coded(_kind_of_results(), indices, no_numbers, np.empty(0, np.intp), width, spans)


@cache
def _kind_of_results() -> Any:
    """Return SciPy's class of the sparse results of scikit-learn, which differs between versions."""
    return type(OneHotEncoder().fit_transform([[0]]))


def _encoded(encoder: OneHotEncoder, frame: pd.DataFrame, distinct: Sequence[Any], edges: Array) -> list[Array] | None:
    """Return the output column of each distinct value, the width for none, as scikit-learn tells them."""
    n_rows = max(map(len, distinct))
    columns = [values.iloc[np.resize(np.arange(len(values)), n_rows)].reset_index(drop=True) for values in distinct]
    # scikit-learn encodes each distinct value: unknown, missing, dropped and infrequent ones are its affair
    known = encoder.transform(pd.concat(columns, axis=1).set_axis(frame.columns, axis=1))
    width = known.shape[1]
    if edges[-1] != width:
        return None
    value, column = known.nonzero()
    feature = np.searchsorted(edges, column, side="right") - 1
    places = np.full((frame.shape[1], n_rows), width)
    places[feature, value] = column
    return [own[: len(values)] for own, values in zip(places, distinct, strict=True)]


def _columns_of(encoder: OneHotEncoder, distinct: Sequence[Any], edges: Array) -> list[Array] | None:
    """Return the same by a look-up; None where values are not all words or whole numbers, or not all have a column.

    scikit-learn looks for missing values in each column several times, which for thousands of categories takes longer
    than to encode the rows.
    """
    if encoder.drop_idx_ is not None or encoder.handle_unknown not in ("ignore", "error"):
        return None
    if any(rare is not None for rare in getattr(encoder, "infrequent_categories_", None) or []):
        return None
    found = []
    for values, categories, start in zip(distinct, encoder.categories_, edges, strict=False):
        known, asked = _hashable(categories), _hashable(values)
        if known is None or asked is None or known[0] != asked[0]:
            return None
        column = dict(zip(known[1], range(start, start + len(known[1])), strict=True))
        places = [column.get(value, -1) for value in asked[1]]
        if -1 in places:
            if encoder.handle_unknown == "error":
                return None  # which scikit-learn tells
            places = [int(edges[-1]) if place < 0 else place for place in places]
        found.append(np.array(places, np.intp))
    return found


def _hashable(values: Any) -> tuple[type, list[Any]] | None:
    """Return values that are all words, or all whole numbers, with their type; None of others."""
    array = np.asarray(values)
    if array.dtype.kind in "iuU":
        return (str if array.dtype.kind == "U" else int), array.tolist()
    if array.dtype == np.object_ and all(type(value) is str for value in array.tolist()):
        return str, array.tolist()
    return None


def _looked_up(values: pd.Series[Any]) -> tuple[Array, Array, Any]:
    """Return a code of each value, the codes that are there, ascending, and their values."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        codes, counts = counted_codes(values)
        there = np.flatnonzero(counts)
        return codes, there, categories_at(values, there)
    codes, distinct = codes_of(values)
    return codes, np.arange(len(distinct)), distinct


def _widths(encoder: OneHotEncoder) -> list[int]:
    """Return the number of output columns of each feature."""
    widths = [len(categories) for categories in encoder.categories_]
    for position, rare in enumerate(getattr(encoder, "infrequent_categories_", None) or []):
        widths[position] -= 0 if rare is None else len(rare) - 1
    for position, dropped in enumerate([] if encoder.drop_idx_ is None else encoder.drop_idx_):
        widths[position] -= dropped is not None
    return widths


def _side_by_side(model: ColumnTransformer, frame: pd.DataFrame) -> Any:
    """Return the results of the parts of a sparse `ColumnTransformer`; None where scikit-learn has to do it."""
    names = getattr(model, "feature_names_in_", None)
    if not model.sparse_output_ or model.transformer_weights or names is None or list(names) != list(frame.columns):
        return None
    parts = []
    for _, part, columns in model.transformers_:
        if isinstance(part, str) and part == "drop":
            continue
        chosen = _chosen(frame, columns)
        if chosen is None:
            return None
        if chosen.ndim == 1 or chosen.shape[1]:
            parts.append(chosen if isinstance(part, str) else transform_rows(part, chosen))
    sparse = [part for part in parts if sp.issparse(part)]
    if not sparse or not all(sp.issparse(part) or _is_numeric(part) for part in parts):
        return None
    if len(parts) == 1:
        return parts[0]
    kind = sp.csr_matrix if all(isinstance(part, sp.spmatrix) for part in sparse) else sp.csr_array
    if all(isinstance(part, CodedRows) for part in sparse):
        arrays = [part if sp.issparse(part) else np.asarray(part) for part in parts]
        return side_by_side(arrays, kind, np.result_type(*(array.dtype for array in arrays)))
    return sp.hstack([part if sp.issparse(part) else kind(np.asarray(part)) for part in parts], format="csr")


def _chosen(frame: pd.DataFrame, columns: Any) -> Any:
    if isinstance(columns, str):
        return frame[columns]
    if isinstance(columns, (list, np.ndarray, pd.Index)) and all(isinstance(name, str) for name in columns):
        return frame[list(columns)]
    return None


def _is_numeric(part: Any) -> bool:
    kinds = part.dtypes if isinstance(part, pd.DataFrame) else [part.dtype]
    return getattr(part, "ndim", 0) == 2 and all(isinstance(kind, np.dtype) and kind.kind in "fiub" for kind in kinds)
