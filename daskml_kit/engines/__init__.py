"""Where reductions are answered: local threads, or the workers of a Dask cluster."""
