"""Data sets: generated block by block, the same rows for any blocks and workers; and flights of 2013."""

from daskml_kit.datasets.classification_data import make_blobs, make_classification, make_classification_df
from daskml_kit.datasets.flights import load_flights
from daskml_kit.datasets.ratings import make_ratings
from daskml_kit.datasets.regression_data import make_counts, make_regression

__all__ = [
    "load_flights",
    "make_blobs",
    "make_classification",
    "make_classification_df",
    "make_counts",
    "make_ratings",
    "make_regression",
]
