"""The lasso, an elastic net without its l2 penalty."""

from __future__ import annotations

from daskml_kit.linear_model.elastic_net import ElasticNet


class Lasso(ElasticNet):
    """Linear regression with an l1 penalty: `ElasticNet` with ``l1_ratio=1``, and its parameters but that.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array([[0.0, 1.0], [1.0, 1.0], [2.0, 0.0]], chunks=(1, 2))
    >>> Lasso(alpha=0.1).fit(X, 3 * X[:, 0]).coef_.round(4)
    array([2.85, 0.  ])
    """

    l1_ratio = 1.0

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        fit_intercept: bool = True,
        precompute: bool = False,
        copy_X: bool = True,
        max_iter: int = 1000,
        tol: float = 1e-4,
        warm_start: bool = False,
        positive: bool = False,
        random_state: int | None = None,
        selection: str = "cyclic",
    ) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.precompute = precompute
        self.copy_X = copy_X
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.positive = positive
        self.random_state = random_state
        self.selection = selection
