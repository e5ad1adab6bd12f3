"""Encoding of categories by the mean target of their rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Any, NamedTuple, Self

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import sklearn.preprocessing
from sklearn.base import clone

from daskml_kit.arguments import check_choice, check_number
from daskml_kit.base import DaskTransformer, fitting, prepare, spec_of_table, with_head
from daskml_kit.blockwise import map_rows
from daskml_kit.data.block import Block
from daskml_kit.data.collections import dask_vector, is_dask
from daskml_kit.engines.open import open_engine, open_table
from daskml_kit.exceptions import DataError
from daskml_kit.preprocessing.categories import fit_tallies, made_up
from daskml_kit.reductions.moments import joined
from daskml_kit.reductions.reduction import SingleReduction
from daskml_kit.reductions.value_counts import Columns, Counts
from daskml_kit.solvers.run import run
from daskml_kit.typing import Array
from daskml_kit.validation import like, plain_strings, seed_of


class GroupMoments(NamedTuple):
    """Rows of groups, and for each target the mean and the sum of squares about it; groups along the first axis."""

    count: Array  # type: ignore[assignment]  # a tuple has a method of this name, which nothing here calls
    mean: Array
    squares: Array

    def joined(self, other: GroupMoments) -> GroupMoments:
        """Return the moments of the rows of both."""
        mean, squares = joined(
            (self.count[..., None], self.mean, self.squares), (other.count[..., None], other.mean, other.squares)
        )
        return GroupMoments(self.count + other.count, mean, squares)


@dataclass(frozen=True, eq=False)
class CategoryTargets(SingleReduction):
    """Moments of the targets for each category of each feature in each fold, those of all rows of a fold last.

    The rows are codes of categories, -1 for none, and in the last column the number of a fold.

    Parameters
    ----------
    n_categories : tuple of int
        Of each feature.
    n_folds : int
    labels : array, optional
        Where given, there is a target of zeros and ones for each of these values.

    Examples
    --------
    >>> rows, y = np.array([[0, 0], [1, 0], [1, 0]]), np.array([2.0, 3.0, 5.0])
    >>> [moments.mean.ravel().tolist() for moments in CategoryTargets((2,), 1).chunk(Block(rows, y))]
    [[2.0, 4.0], [3.3333333333333335]]
    """

    n_categories: tuple[int, ...]
    n_folds: int
    labels: Any = None

    def chunk(self, block: Block) -> list[GroupMoments]:
        codes = np.asarray(block.X).astype(np.intp)
        y = np.asarray(block.y)
        targets = y.astype(np.float64)[:, None] if self.labels is None else (y[:, None] == self.labels) * 1.0
        fold = codes[:, -1]
        widths = zip(codes[:, :-1].T, self.n_categories, strict=True)
        parts = [self._groups(own, fold, width, targets) for own, width in widths]
        return [*parts, self._groups(np.zeros_like(fold), fold, 1, targets)]

    def combine(self, a: list[GroupMoments], b: list[GroupMoments]) -> list[GroupMoments]:
        return [x.joined(y) for x, y in zip(a, b, strict=True)]

    def _groups(self, codes: Array, fold: Array, width: int, targets: Array) -> GroupMoments:
        known = codes >= 0
        place, n_groups = (fold * width + codes)[known], self.n_folds * width
        count = np.bincount(place, minlength=n_groups).astype(np.float64)
        mean, squares = np.zeros((2, n_groups, targets.shape[1]))
        for at, target in enumerate(targets[known].T):
            total = np.bincount(place, target, minlength=n_groups)
            mean[:, at] = np.divide(total, count, out=np.zeros(n_groups), where=count > 0)
            squares[:, at] = np.bincount(place, (target - mean[place, at]) ** 2, minlength=n_groups)
        return GroupMoments(
            count.reshape(self.n_folds, width),
            mean.reshape(self.n_folds, width, -1),
            squares.reshape(self.n_folds, width, -1),
        )


MISSING, MOST_CLASSES = -2, 1000


class Encodings(NamedTuple):
    """Encodings of each feature, its classes side by side, as scikit-learn keeps them, and the mean targets."""

    values: list[Array]
    mean: Array


class CrossFittedTransformer(DaskTransformer):
    """Mixin of an encoder by a target, whose ``fit_transform`` encodes each row by what other folds have taught.

    Its methods are not those of a class of scikit-learn's, which would put their results in a data frame in memory.
    """

    categories: Any
    target_type: Any
    smooth: Any
    cv: Any

    def fit(self, X: Any, y: Any = None) -> Self:  # type: ignore[override]
        """Learn the encodings of all rows.

        Parameters
        ----------
        X : Dask DataFrame or array, or anything that scikit-learn takes, of shape (n_samples, n_features)
        y : array, Dask array or Series of shape (n_samples,)

        Returns
        -------
        TargetEncoder
            Itself.

        Raises
        ------
        DataError
            Where X or y cannot be used; it says why.
        """
        if y is None:
            raise ValueError("This TargetEncoder estimator requires y to be passed, but the target y is None.")
        if not is_dask(X):
            return self._fit_any(X, y, {})
        with fitting(self):
            self._learn(X, y, n_folds=1)
        return self

    def fit_transform(self, X: Any, y: Any = None, **params: Any) -> Any:
        """Learn the encodings, and encode each row by those of the other folds.

        Parameters
        ----------
        X : Dask DataFrame or array, or anything that scikit-learn takes, of shape (n_samples, n_features)
        y : array, Dask array or Series of shape (n_samples,)
        **params
            For a splitter of data in memory, by scikit-learn's metadata routing.

        Returns
        -------
        array or Dask array of shape (n_samples, n_features) or (n_samples, n_features * n_classes)
            Lazy on Dask input.
        """
        if not is_dask(X):
            return super().fit_transform(X, y, **params)
        if params:
            raise TypeError(f"TargetEncoder.fit_transform: {', '.join(params)} not possible on Dask input")
        check_number("cv", self.cv, low=2, integer=True)
        check_choice("shuffle", getattr(self, "shuffle", True), (True, "deprecated"))
        with fitting(self):
            rows, folds = self._learn(X, y, n_folds=int(self.cv))
        table = plain_strings(X)
        meta = self.to_sklearn().transform(like(self._example, table))[:0]
        if not isinstance(meta, np.ndarray):
            raise DataError(f"set_output: expected 'default' where rows are cross-fitted, got {type(meta).__module__}")
        width = meta.shape[1]
        return rows.map_blocks(_encoded, folds, chunks=(rows.chunks[0], (width,)), dtype=meta.dtype, meta=meta)

    def _learn(self, X: Any, y: Any, n_folds: int) -> tuple[da.Array, list[Encodings]]:
        """Fit, and return the rows as codes with their folds, and what the other folds teach for each."""
        if y is None:
            raise ValueError("This TargetEncoder estimator requires y to be passed, but the target y is None.")
        if np.ndim(y) == 2 and y.shape[1] == 1:
            y = dask_vector(y, "y").ravel() if is_dask(y) else np.asarray(y)[:, 0]
        if np.ndim(y) != 1:
            raise DataError(f"y should be a 1d array, got an array of shape {y.shape} instead.")
        table = prepare(self, X)
        kind, labels = self._targets(y)
        codes = {"handle_unknown": "use_encoded_value", "unknown_value": -1, "encoded_missing_value": MISSING}
        with open_table(table) as engine:
            source: Any = engine
            head, (tallies,) = run(source, {None: with_head(spec_of_table(table), Counts())})[None]
        ordinal = sklearn.preprocessing.OrdinalEncoder
        encoder = fit_tallies(ordinal, {**codes, "categories": self.categories, "dtype": np.int64}, head, tallies)
        widths = tuple(map(len, encoder.categories_))
        state: Any = getattr(self, "random_state", None)
        seed = 0 if isinstance(state, str) else seed_of(state)
        rows = map_rows(encoder, "transform", table, np.empty((0, len(widths)), np.int64))
        chunks = (rows.chunks[0], (len(widths) + 1,))
        meta = np.empty((0, chunks[1][0]), np.int64)
        rows = rows.map_blocks(_with_folds, widths, n_folds, seed, chunks=chunks, dtype=meta.dtype, meta=meta)
        with open_engine(rows, y, many_passes=False) as engine:
            (found,) = engine.answer(CategoryTargets(widths, n_folds, _columns(kind, labels)))
        if not np.isfinite(found[-1].mean).all():
            raise DataError("y: expected finite numbers, got NaN or infinity")
        folds = [[GroupMoments(*(field[k] for field in part)) for part in found] for k in range(n_folds)]
        genuine = clone(self.to_sklearn()).set_params(target_type=kind)
        example = made_up(head, tallies)
        n_rows = max(example.shape[0], 0 if labels is None else len(labels), 2)
        at = np.resize(np.arange(example.shape[0]), n_rows)
        genuine.fit(
            example.iloc[at] if hasattr(example, "iloc") else example[at],
            np.linspace(0.5, 1, n_rows) if labels is None else np.resize(labels, n_rows),
        )
        whole = self._encodings(reduce(_joined, folds))
        genuine.encodings_, mean = whole.values, whole.mean
        genuine.target_mean_ = mean if kind == "multiclass" else mean[0]
        genuine.set_params(target_type=self.target_type)
        self._keep(self._learned(genuine, head))
        others = [[fold for k, fold in enumerate(folds) if k != own] for own in range(n_folds)]
        return rows, [self._encodings(reduce(_joined, rest)) for rest in others if rest]

    def _targets(self, y: Any) -> tuple[str, Array | None]:
        """Return the kind of the target, and the sorted labels of classes."""
        check_choice("target_type", self.target_type, ("auto", "continuous", "binary", "multiclass"))
        if self.target_type == "continuous":
            return "continuous", None
        if not is_dask(y):
            vector = dd.from_pandas(pd.Series(np.asarray(y)), npartitions=1)
        else:
            vector = y if isinstance(y, dd.Series) else dd.from_dask_array(dask_vector(y, "y"))
        with open_table(vector.to_frame(name="y")) as engine:
            (found,) = engine.answer(Columns("y", MOST_CLASSES))
        if found.present[0] < found.n_rows:
            raise DataError(f"y: expected a value in each row, got {found.n_rows - found.present[0]} that are missing")
        labels = found.labels
        if labels is not None and (found.whole or labels.dtype == object):
            kind = self.target_type if self.target_type != "auto" else "binary" if len(labels) <= 2 else "multiclass"
            if kind == "binary" and len(labels) > 2:
                raise DataError(f"y: expected two labels for target_type='binary', got {len(labels)}")
            dtype = getattr(vector.dtype, "numpy_dtype", vector.dtype)  # of nullable and Arrow types
            own = labels.astype(dtype) if object not in (dtype, labels.dtype) else labels
            return kind, np.asarray(own.tolist()) if own.dtype == object else own
        if labels is None and (found.whole or self.target_type != "auto"):
            raise DataError(f"y: expected at most {MOST_CLASSES} labels, got more; give target_type='continuous'")
        if self.target_type != "auto":
            raise DataError(f"y: expected labels for target_type={self.target_type!r}, got numbers with fractions")
        return "continuous", None

    def _encodings(self, moments: list[GroupMoments]) -> Encodings:
        *features, whole = moments
        mean, variance = whole.mean[0], whole.squares[0] / whole.count[0]
        values = []
        for part in features:
            count = part.count[:, None]
            with np.errstate(invalid="ignore", divide="ignore"):
                if self.smooth == "auto":
                    share = variance * count / (variance * count + part.squares / count)
                else:
                    share = count / (count + self.smooth)
            share = np.where(np.isnan(share), 0.0, share)  # of a category without rows
            values += list((share * part.mean + (1 - share) * mean).T)
        return Encodings(values, mean)


class TargetEncoder(CrossFittedTransformer, sklearn.preprocessing.TargetEncoder):  # type: ignore[misc]
    """Encode each category of each column as the mean target of its rows, shrunk towards that of all rows.

    A fit reads y once, X once to find the categories and once, with y, for sums of each category. `fit_transform` is
    not ``fit(X, y).transform(X)``: each row is encoded by what the rows of other folds have taught (cross fitting).
    On Dask input folds are drawn at random within each block. Parameters, attributes and methods are those of
    `sklearn.preprocessing.TargetEncoder`.

    Parameters
    ----------
    categories : "auto" or list of array, default "auto"
    target_type : {"auto", "continuous", "binary", "multiclass"}, default "auto"
        Unless "auto", or classes have to be found, y is not read by itself.
    smooth : "auto" or float, default "auto"
        Rows that all rows count like; "auto" is by empirical Bayes.
    cv : int, default 5
        The number of folds; on Dask input no splitter.
    shuffle : bool, default True
        On Dask input always: False is refused there. Deprecated in scikit-learn 1.9.
    random_state : int, RandomState or None, default None
        Seed of the folds; None is 0. Deprecated in scikit-learn 1.9.

    Attributes
    ----------
    encodings_ : list of array
        Of each feature, or for many classes of each feature and class.
    categories_ : list of array
    target_type_ : str
    target_mean_ : float or array of shape (n_classes,)
    classes_ : array of shape (n_classes,) or None

    See Also
    --------
    OrdinalEncoder : Encoding without a target.

    References
    ----------
    Micci-Barreca, "A preprocessing scheme for high-cardinality categorical attributes in classification and prediction
    problems", 2001.

    Examples
    --------
    >>> import dask.dataframe as dd
    >>> import pandas as pd
    >>> frame = dd.from_pandas(pd.DataFrame({"city": ["Oslo", "Rome", "Oslo", "Rome"]}), npartitions=2)
    >>> TargetEncoder(smooth=0).fit(frame, da.from_array(np.array([1.5, 3.0, 2.5, 5.0]), chunks=2)).encodings_
    [array([2., 4.])]
    """


def _columns(kind: str, labels: Array | None) -> Any:
    return None if labels is None else labels[-1:] if kind == "binary" else labels


def _joined(a: list[GroupMoments], b: list[GroupMoments]) -> list[GroupMoments]:
    return [x.joined(y) for x, y in zip(a, b, strict=True)]


def _with_folds(codes: Array, widths: tuple[int, ...], n_folds: int, seed: int, block_info: Any = None) -> Array:
    """Return the codes, missing values as the last category, and in one more column the number of a fold."""
    number = block_info[0]["chunk-location"][0] if block_info else 0
    fold = np.random.default_rng((seed, number)).permutation(len(codes)) % n_folds
    return np.column_stack([np.where(codes == MISSING, np.array(widths) - 1, codes), fold])


def _encoded(rows: Array, folds: list[Encodings]) -> Array:
    """Return rows encoded by what the other folds have taught."""
    *codes, fold = rows.T
    n_targets = len(folds[0].mean)
    result = np.empty((len(rows), len(folds[0].values)))
    for number, encodings in enumerate(folds):
        own = fold == number
        for at, values in enumerate(encodings.values):
            code = codes[at // n_targets][own]
            result[own, at] = np.where(code < 0, encodings.mean[at % n_targets], values[code])
    return result
