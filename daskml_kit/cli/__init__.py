"""Command line parts: read a table, train a model on it, test it, and save it."""
