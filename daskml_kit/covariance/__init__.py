"""Covariance estimation with scikit-learn's parameters and answers."""

from daskml_kit.covariance.estimators import OAS, EmpiricalCovariance, LedoitWolf, ShrunkCovariance

__all__ = ["OAS", "EmpiricalCovariance", "LedoitWolf", "ShrunkCovariance"]
