"""Naive Bayes classification with scikit-learn's parameters and answers."""

from daskml_kit.naive_bayes.discrete import BernoulliNB, CategoricalNB, ComplementNB, MultinomialNB
from daskml_kit.naive_bayes.gaussian import GaussianNB

__all__ = ["BernoulliNB", "CategoricalNB", "ComplementNB", "GaussianNB", "MultinomialNB"]
