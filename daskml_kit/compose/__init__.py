"""Different transformers for different columns."""

from daskml_kit.compose.column_transformer import ColumnTransformer, make_column_transformer

__all__ = ["ColumnTransformer", "make_column_transformer"]
