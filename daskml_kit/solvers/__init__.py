"""Solvers are generators: they yield reductions about the data and receive the answers; they never see a row."""
