"""Arguments out of range are named, and those that scikit-learn refuses are refused."""

from __future__ import annotations

import datetime

import numpy as np
import pytest

from daskml_kit.datasets import (
    load_flights,
    make_blobs,
    make_classification,
    make_classification_df,
    make_counts,
    make_ratings,
    make_regression,
)

NOON = datetime.datetime(2020, 1, 1, 12, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (make_classification, {"n_samples": 0}, "n_samples: expected an integer of at least 1, got 0"),
        (make_classification, {"n_samples": 2.5}, "n_samples: .* got 2.5"),
        (make_classification, {"n_classes": 2.5}, "'n_classes' parameter .* Got 2.5"),
        (make_classification, {"n_redundant": -1}, "'n_redundant' parameter .* Got -1"),
        (make_classification, {"n_features": 3}, "informative, redundant and repeated features must sum to less"),
        (
            make_classification,
            {"n_classes": 3},
            r"n_classes\(3\) \* n_clusters_per_class\(2\) must be smaller or equal",
        ),
        (make_classification, {"weights": [0.2] * 4}, "Weights specified but incompatible with number of classes"),
        (make_classification, {"weights": [0.8, 0.8]}, "weights: expected shares .* at most 1"),
        (make_classification, {"weights": [-0.1]}, "weights: expected shares of at least 0"),
        (make_classification, {"flip_y": 1.5}, "'flip_y' parameter .* Got 1.5"),
        (make_classification, {"class_sep": -1}, "'class_sep' parameter .* Got -1"),
        (make_classification, {"hypercube": "x"}, "'hypercube' parameter .* Got 'x'"),
        (make_classification, {"shift": [1, 2]}, "shift: .* one for each of 20 features"),
        (make_classification, {"scale": np.nan}, "scale: expected a finite number"),
        (make_classification, {"random_state": "x"}, "cannot be used to seed"),
        (make_regression, {"n_targets": 0}, "'n_targets' parameter .* Got 0"),
        (make_regression, {"noise": -1.0}, "'noise' parameter .* Got -1.0"),
        (make_regression, {"effective_rank": 0}, "'effective_rank' parameter .* Got 0"),
        (make_regression, {"tail_strength": 2}, "'tail_strength' parameter .* Got 2"),
        (make_regression, {"bias": [1, 2]}, "bias: .* each of 1 targets"),
        (make_blobs, {"n_samples": 0}, "n_samples: .* at least 1"),
        (make_blobs, {"n_samples": 3.5}, "n_samples: .* got 3.5"),
        (make_blobs, {"n_samples": [3, -1]}, r"n_samples\[1\]: .* at least 0, got -1"),
        (make_blobs, {"n_samples": [0, 0]}, "n_samples: .* at least 1, got 0"),
        (make_blobs, {"n_samples": [], "centers": None}, "n_samples: .* at least 1, got 0"),
        (make_blobs, {"n_samples": [3, 4], "centers": 2}, "Parameter `centers` must be array"),
        (
            make_blobs,
            {"n_samples": [3, 4], "centers": np.eye(3)},
            "Length of `n_samples` not consistent with number of centers",
        ),
        (make_blobs, {"centers": 0}, "'centers' parameter .* Got 0"),
        (make_blobs, {"centers": [[np.inf, 0]]}, "centers"),
        (make_blobs, {"cluster_std": [1, 2]}, "Length of `clusters_std` not consistent with number of centers"),
        (make_blobs, {"cluster_std": -1}, "'cluster_std' parameter .* Got -1"),
        (make_blobs, {"center_box": (1, 0)}, "center_box: expected finite bounds, the lower first"),
        (make_blobs, {"center_box": (0, np.inf)}, "center_box: expected finite bounds, the lower first"),
        (make_counts, {"n_informative": 101}, "n_informative: expected at most n_features=100, got 101"),
        (make_counts, {"scale": np.inf}, "scale: expected a finite number"),
        (make_classification_df, {"response_rate": 2}, "response_rate: expected a number from 0 to 1"),
        (make_classification_df, {"predictability": -1}, "predictability: expected a number from 0 to 1"),
        (make_classification_df, {"dates": (NOON.date(), NOON.date())}, "dates: expected the first a second or more"),
        (make_classification_df, {"dates": (NOON, NOON)}, "dates: expected dates without a time zone"),
        (make_ratings, {"n_users": 10, "n_items": 10, "n_ratings": 101}, "n_ratings: expected at most 100"),
        (make_ratings, {"n_factors": 0}, "n_factors: .* at least 1"),
        (make_ratings, {"rating_range": (5, 1)}, "rating_range: expected finite bounds, the lower first"),
        (make_ratings, {"popularity": -1}, "popularity: .* at least 0"),
        (load_flights, {"npartitions": 0}, "npartitions: .* at least 1"),
        (load_flights, {"columns": ["carier"]}, r"columns: expected some of year, .*; got \['carier'\]"),
        (load_flights, {"columns": []}, "columns: expected some of"),
    ],
)
def test_a_wrong_argument_is_named(make, options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_what_the_frames_decide_themselves_cannot_be_given():
    with pytest.raises(TypeError, match="flip_y"):
        make_classification_df(flip_y=0.5)


def test_counts_too_large_for_an_integer_name_the_scale():
    _, y = make_counts(1000, 5, n_informative=5, scale=100.0, random_state=0)
    with pytest.raises(ValueError, match="scale: too large"):
        y.compute()


def test_arguments_are_left_as_they_were():
    centers, weights = np.zeros((2, 2)), [0.3]
    make_blobs(centers=centers, cluster_std=2.0)[0].compute()
    make_classification(weights=weights, random_state=0)
    assert not centers.any()
    assert weights == [0.3]
    returned = make_blobs(centers=centers, return_centers=True)[2]
    assert not np.shares_memory(returned, centers)
