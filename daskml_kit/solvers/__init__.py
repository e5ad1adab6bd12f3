"""Solvers are generators: they yield questions about the data and receive the answers; they never see a row."""
