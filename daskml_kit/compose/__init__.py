"""Estimators that are composed of others."""

from sklearn.compose import make_column_selector

from daskml_kit.compose.column_transformer import ColumnTransformer, make_column_transformer
from daskml_kit.compose.target import TransformedTargetRegressor

__all__ = ["ColumnTransformer", "TransformedTargetRegressor", "make_column_selector", "make_column_transformer"]
