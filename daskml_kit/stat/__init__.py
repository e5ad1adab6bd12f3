"""Statistics of columns: descriptions and correlations."""

from daskml_kit.stat.correlation import corr
from daskml_kit.stat.description import describe

__all__ = ["corr", "describe"]
