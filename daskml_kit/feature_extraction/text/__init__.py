"""Features of texts, by scikit-learn's names."""

from daskml_kit.feature_extraction.text.count_vectorizer import CountVectorizer
from daskml_kit.feature_extraction.text.hashing_vectorizer import HashingVectorizer
from daskml_kit.feature_extraction.text.tfidf_transformer import TfidfTransformer
from daskml_kit.feature_extraction.text.tfidf_vectorizer import TfidfVectorizer

__all__ = ["CountVectorizer", "HashingVectorizer", "TfidfTransformer", "TfidfVectorizer"]
