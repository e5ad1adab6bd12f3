"""Spectral clustering by the Nyström approximation of the affinities."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import sklearn.cluster
from sklearn.base import clone
from sklearn.metrics.pairwise import PAIRWISE_KERNEL_FUNCTIONS

from daskml_kit.arguments import check_choice, check_number, naming, random_state_of
from daskml_kit.base import DaskEstimator, constructor, forget, restored
from daskml_kit.blockwise import map_rows
from daskml_kit.cluster.base import SAMPLE_ROWS, check_row_count
from daskml_kit.cluster.k_means import KMeans
from daskml_kit.data.collections import is_dask
from daskml_kit.exceptions import DataError
from daskml_kit.reductions.affinities import Degrees, Embedding, Kernel, KernelSums, NormalizedGram
from daskml_kit.reductions.picked_rows import CountRows, Picked, RowCounts, rows_drawn
from daskml_kit.solvers.types import DataSpec, Fit
from daskml_kit.typing import Array
from daskml_kit.validation import check_fit, seed_of

SMALLEST = 1e-10
"""Eigenvalue of the landmarks' affinities, in shares of the largest, below which it is noise."""
FLOOR = 1e-3
"""Degree of a row that no landmark is near, in shares of a landmark's degree."""
FIXED: dict[str, tuple[Any, ...]] = {
    "eigen_solver": (None,),
    "n_neighbors": (10,),
    "eigen_tol": ("auto", 0.0),
}
"""Parameters of scikit-learn that say how to decompose an affinity matrix of all rows, which is made in memory only."""
OF_ALL_ROWS = {
    "affinity": ("nearest_neighbors", "precomputed", "precomputed_nearest_neighbors"),
    "assign_labels": ("discretize", "cluster_qr"),
}
"""Values of parameters that need such a matrix, or its eigenvectors as scikit-learn finds them."""
LANDMARKS = 100


class SpectralClustering(DaskEstimator, sklearn.cluster.SpectralClustering):  # type: ignore[misc]
    r"""Spectral clustering where affinities are approximated by those with some landmarks (Nyström's method).

    Let C be the affinities of the rows with l landmarks, which are drawn from them, and A those of the landmarks. All
    affinities are about :math:`C A^{-1} C^\top`, with the degrees :math:`d = C A^{-1} C^\top 1`. The eigenvectors of
    :math:`d^{-1/2} C A^{-1} C^\top d^{-1/2}` are found from an l x l matrix, orthogonal as all of an affinity matrix
    are, and k-means is over the rows of the leading ones, scaled to unit length. That takes three passes and those of
    k-means; the matrix of all affinities is never made.

    Data in memory is fitted by scikit-learn, which makes that matrix, where a parameter asks for what only it has: an
    ``eigen_solver``, nearest neighbors, affinities that are precomputed, or other assignments of labels.

    Parameters
    ----------
    n_clusters : int, default 8
    eigen_solver : {None, "arpack", "lobpcg", "amg"}, default None
        Of scikit-learn, for data in memory.
    n_components : int, default 100
        Landmarks: with more the approximation is better; all rows where there are not more. Where scikit-learn fits,
        its number of eigenvectors, and 100 is as many as clusters.
    random_state : int, RandomState or None, optional
        Of the landmarks and of k-means.
    n_init : "auto" or int, default 10
        Starts of k-means.
    gamma : float, default 1.0
        Coefficient of the kernels "rbf", "poly", "sigmoid", "laplacian" and "chi2".
    affinity : str or callable, default "rbf"
        A kernel of `sklearn.metrics.pairwise.pairwise_kernels`, or a function of two arrays of rows, and of ``gamma``,
        ``degree``, ``coef0`` and ``kernel_params`` by name.
        Data in memory may have scikit-learn's "nearest_neighbors", or affinities that are precomputed.
    n_neighbors : int, default 10
        Of scikit-learn, for data in memory.
    eigen_tol : "auto" or float, default "auto"
        Of scikit-learn, for data in memory.
    assign_labels : {"kmeans", "discretize", "cluster_qr"} or estimator, default "kmeans"
        An estimator is fitted in its place to the embedding, which is a Dask array where X is on Dask. Data in memory
        may have scikit-learn's other assignments.
    degree : float, default 3
        Degree of the kernel "poly".
    coef0 : float, default 1
        Coefficient of the kernels "poly" and "sigmoid".
    kernel_params : dict, optional
        Further arguments of the kernel.
    n_jobs : int, optional
        Threads of the passes before k-means where there is no cluster.
    verbose : bool, default False
        Whether to show a bar of the passes.
    persist_embedding : bool, default False
        Whether the embedding of a Dask X is persisted; else it is computed once if it fits into half the free memory.
    kmeans_params : dict, optional
        Parameters of `KMeans`, or of ``assign_labels``.

    Attributes
    ----------
    labels_ : array or lazy Dask array of shape (n_samples,)
    affinity_matrix_ : array of shape (n_samples, n_samples)
        There where scikit-learn has fitted, in place of all below.
    assign_labels_ : estimator
        The fitted k-means.
    eigenvalues_ : array of shape (n_clusters,)
        The largest eigenvalues of the normalized affinities, descending; fewer of fewer distinct landmarks.
    profile_ : daskml_kit.engines.engine.Profile
        Of the passes before k-means, which has its own.

    See Also
    --------
    KMeans : Clusters of rows that need no affinity.

    References
    ----------
    Fowlkes, Belongie, Chung and Malik, "Spectral grouping using the Nyström method", 2004. Chen, Song, Bai, Lin and
    Chang, "Parallel spectral clustering in distributed systems", 2011.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array(np.array([[0.0], [0.5], [9.0], [9.5]]), chunks=(2, 1))
    >>> labels = SpectralClustering(2, random_state=0).fit_predict(X).compute()
    >>> bool(labels[0] == labels[1] and labels[2] == labels[3] and labels[0] != labels[2])
    True
    """

    _embedding: Embedding

    __init__ = constructor(
        sklearn.cluster.SpectralClustering, n_components=LANDMARKS, persist_embedding=False, kmeans_params=None
    )

    def fit(self, X: Any, y: Any = None) -> Self:  # type: ignore[override]
        """Find the clusters of the rows of X.

        Parameters
        ----------
        X : Dask array or DataFrame, NumPy array, pandas DataFrame or sparse matrix, of shape (n_samples, n_features)
        y : ignored

        Returns
        -------
        SpectralClustering
            Itself.

        Raises
        ------
        DataError
            Where the data cannot be used; it names the argument and the block.
        """
        with restored(self):
            forget(self)
            if not is_dask(X) and self._wants_all_affinities():
                return self._fit_all_affinities(X)
            self._fit_blocks(X)
            embedding = self._embedding
            del self._embedding
            if is_dask(X):
                rows = map_rows(embedding, "transform", X, np.empty((0, len(self.eigenvalues_))))
                rows = rows.persist() if self.persist_embedding else rows
            else:
                rows = embedding.transform(check_fit(self, X).X)
            self.assign_labels_ = self._assigner().fit(rows)
            self.labels_ = self.assign_labels_.labels_
        return self

    def fit_predict(self, X: Any, y: Any = None) -> Any:  # type: ignore[override]
        """Find the clusters of the rows of X, and return the cluster of each.

        Parameters
        ----------
        X : Dask array or DataFrame, NumPy array, pandas DataFrame or sparse matrix, of shape (n_samples, n_features)
        y : ignored

        Returns
        -------
        array or lazy Dask array of shape (n_samples,)
            ``labels_``.
        """
        return self.fit(X).labels_

    def _fit_steps(self, spec: DataSpec) -> Fit:
        rows = max(SAMPLE_ROWS, self.n_components)
        counts: RowCounts = yield CountRows()
        check_row_count(counts.n_rows, self.n_clusters)
        sample: Picked = yield rows_drawn(counts, rows, spec.n_features, seed_of(self.random_state))
        n_rows = len(sample.weight)
        chosen = random_state_of(self.random_state).choice(n_rows, min(self.n_components, n_rows), replace=False)
        landmarks, kernel = sample.X[np.sort(chosen)], self._kernel()
        sums: Array = yield KernelSums(kernel, landmarks)
        affinity = kernel(landmarks, landmarks)
        if not np.isfinite(affinity).all() or (sums <= 0).any():
            raise DataError("affinity: expected a kernel of positive sums, as those of similarities are")
        values, vectors = np.linalg.eigh((affinity + affinity.T) / 2)
        used = values > values[-1] * SMALLEST
        whitening = vectors[:, used] / np.sqrt(values[used])
        degrees = Degrees(whitening.T @ sums, float(FLOOR * np.median(sums)))
        gram: Array = yield NormalizedGram(Embedding(kernel, landmarks, whitening), degrees)
        values, vectors = (found[..., ::-1][..., : self.n_clusters] for found in np.linalg.eigh(gram))
        return {"eigenvalues_": values, "_embedding": Embedding(kernel, landmarks, whitening @ vectors)}

    def _wants_all_affinities(self) -> bool:
        return any(not _is_one_of(getattr(self, name), known) for name, known in FIXED.items()) or any(
            _is_one_of(getattr(self, name), known) for name, known in OF_ALL_ROWS.items()
        )

    def _fit_all_affinities(self, X: Any) -> Self:
        if self.kmeans_params is not None or not isinstance(self.assign_labels, str):
            raise ValueError("kmeans_params and an estimator as assign_labels: not possible where scikit-learn fits")
        self._keep({name: value for name, value in vars(self.to_sklearn().fit(X)).items() if name.endswith("_")})
        return self

    def _kernel(self) -> Kernel:
        own = {"gamma": self.gamma, "degree": self.degree, "coef0": self.coef0, **(self.kernel_params or {})}
        return Kernel(self.affinity, own)

    def _assigner(self) -> Any:
        if isinstance(self.assign_labels, str):
            model = KMeans(
                self.n_clusters, n_init=self.n_init, random_state=self.random_state, verbose=int(self.verbose)
            )
        else:
            model = clone(self.assign_labels)
        return model.set_params(**(self.kmeans_params or {}))

    def _sklearn_parameters(self, genuine: type[Any]) -> dict[str, Any]:
        labels = self.assign_labels if isinstance(self.assign_labels, str) else "kmeans"
        eigenvectors = self.n_components if self._wants_all_affinities() and self.n_components != LANDMARKS else None
        return {**super()._sklearn_parameters(genuine), "n_components": eigenvectors, "assign_labels": labels}

    def to_sklearn(self) -> Any:
        """Return the scikit-learn estimator with the same parameters, free of Dask; labels of Dask data are left out.

        Returns
        -------
        sklearn.cluster.SpectralClustering
            Without the landmarks, which it does not have.
        """
        twin = super().to_sklearn()
        vars(twin).pop("assign_labels_", None)
        return twin

    def _check_parameters(self) -> None:
        for name in ("n_clusters", "n_components"):
            check_number(name, getattr(self, name), low=1, integer=True)
        for name, values in FIXED.items():
            value = getattr(self, name)
            if not _is_one_of(value, values):
                raise ValueError(f"{name}={value!r} is not supported on Dask data: leave {values[0]!r}")
        if not callable(self.affinity):
            check_choice("affinity", self.affinity, tuple(PAIRWISE_KERNEL_FUNCTIONS))
        check_number("gamma", self.gamma, low=0)
        check_number("degree", self.degree, low=0)
        check_number("coef0", self.coef0, low=-np.inf)
        if not isinstance(self.n_init, str) or self.n_init != "auto":
            check_number("n_init", self.n_init, low=1, integer=True)
        for name in ("kernel_params", "kmeans_params"):
            if not isinstance(getattr(self, name), dict | None):
                raise ValueError(f"{name}: expected a dict or None, got {getattr(self, name)!r}")
        if isinstance(self.assign_labels, str):
            check_choice("assign_labels", self.assign_labels, ("kmeans",))
        elif not hasattr(self.assign_labels, "fit"):
            raise ValueError(f"assign_labels: expected 'kmeans' or an estimator, got {self.assign_labels!r}")
        with naming("kmeans_params"):
            self._assigner()


def _is_one_of(value: Any, values: tuple[Any, ...]) -> bool:
    return any(value is known or (type(value) is type(known) and value == known) for known in values)
