"""NumPy and SciPy only: pure functions of one block's worth of numbers."""
