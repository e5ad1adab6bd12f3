"""Cross-validation splitters: folds as one integer id per row, on Dask and on data in memory."""
