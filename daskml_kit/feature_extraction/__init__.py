"""Features of texts and dictionaries, by scikit-learn's names."""

from daskml_kit.feature_extraction.dictionaries import DictVectorizer, FeatureHasher

__all__ = ["DictVectorizer", "FeatureHasher"]
