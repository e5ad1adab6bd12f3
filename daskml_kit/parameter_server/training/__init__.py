"""Training beside the blocks of a data set."""
