"""Features of texts and dictionaries, by scikit-learn's names."""

from daskml_kit.feature_extraction.dict_vectorizer import DictVectorizer
from daskml_kit.feature_extraction.feature_hasher import FeatureHasher

__all__ = ["DictVectorizer", "FeatureHasher"]
