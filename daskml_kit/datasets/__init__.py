"""Data to try things on: generated block by block, the same rows for any blocks and workers."""

from daskml_kit.datasets.blobs import make_blobs
from daskml_kit.datasets.dataframes import make_classification_df
from daskml_kit.datasets.flights import load_flights
from daskml_kit.datasets.make_classification import make_classification
from daskml_kit.datasets.make_regression import make_counts, make_regression
from daskml_kit.datasets.ratings import make_ratings

__all__ = [
    "load_flights",
    "make_blobs",
    "make_classification",
    "make_classification_df",
    "make_counts",
    "make_ratings",
    "make_regression",
]
