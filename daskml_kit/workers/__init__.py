"""Worker pools of long tasks, on threads of this process or on the workers of a Dask cluster."""
