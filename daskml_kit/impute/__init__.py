"""Filling in of missing values."""

from daskml_kit.impute.iterative import IterativeImputer
from daskml_kit.impute.missing_indicator import MissingIndicator
from daskml_kit.impute.simple import SimpleImputer

__all__ = ["IterativeImputer", "MissingIndicator", "SimpleImputer"]
