"""Measurements side by side with peers; each module is a program, ``python -m benchmarks.linear --help``."""
