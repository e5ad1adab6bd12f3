"""Scaling and encoding of features."""

from daskml_kit.preprocessing.one_hot import OneHotEncoder
from daskml_kit.preprocessing.scaler import StandardScaler

__all__ = ["OneHotEncoder", "StandardScaler"]
