"""Engines: reductions answered by local threads, or by the workers of a Dask cluster."""
