"""Filling in of missing values."""

from daskml_kit.impute.iterative import IterativeImputer
from daskml_kit.impute.simple import MissingIndicator, SimpleImputer

__all__ = ["IterativeImputer", "MissingIndicator", "SimpleImputer"]
