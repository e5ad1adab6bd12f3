"""Base of the naive Bayes classifiers."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from daskml_kit.base import DaskEstimator, lazily, restored


class NaiveBayes(DaskEstimator):
    """Naive Bayes classifier that is fitted in one pass, and goes on learning in memory."""

    many_passes: ClassVar[Any] = False
    _written: ClassVar[tuple[str, ...]] = ()
    """Fitted arrays, or lists of them, that scikit-learn's ``partial_fit`` writes into, also where it then fails."""

    predict_joint_log_proba = lazily("predict_joint_log_proba", "logarithms of the joint probabilities")

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Go on learning from more rows in memory.

        Parameters
        ----------
        X : array, data frame or sparse matrix of shape (n_samples, n_features)
        y : array of shape (n_samples,)
        classes : array, optional
            All labels there will be; the first call needs them.
        sample_weight : array of shape (n_samples,), optional

        Returns
        -------
        estimator
            Itself.
        """
        with restored(self):
            for name in self._written:
                held = getattr(self, name, None)
                if held is not None:
                    setattr(self, name, [part.copy() for part in held] if isinstance(held, list) else held.copy())
            super().partial_fit(X, y, classes, sample_weight)  # type: ignore[misc]
        return self
