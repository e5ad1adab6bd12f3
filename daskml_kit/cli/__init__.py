"""What the command line does: read a table, train a model on it, test it, and save it."""
