"""Filling in of missing values."""

from daskml_kit.impute.simple import SimpleImputer

__all__ = ["SimpleImputer"]
