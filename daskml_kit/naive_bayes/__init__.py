"""Naive Bayes classification with scikit-learn's parameters and answers."""

from daskml_kit.naive_bayes.bayes import BernoulliNB, CategoricalNB, ComplementNB, GaussianNB, MultinomialNB

__all__ = ["BernoulliNB", "CategoricalNB", "ComplementNB", "GaussianNB", "MultinomialNB"]
