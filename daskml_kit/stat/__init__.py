"""Descriptions of data, correlations and tests, in few passes."""

from daskml_kit.stat.chi_square import chi2_contingency, chisquare, crosstab
from daskml_kit.stat.description import corr, describe
from daskml_kit.stat.kolmogorov_smirnov import ks_2samp, kstest

__all__ = ["chi2_contingency", "chisquare", "corr", "crosstab", "describe", "ks_2samp", "kstest"]
