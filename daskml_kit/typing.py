"""Names of the types that cross floors."""

from __future__ import annotations

from typing import Any, TypeAlias

from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
"""A dense NumPy array."""

Matrix: TypeAlias = Any
"""Rows by features: a dense NumPy array, or a SciPy CSR array or matrix, which have no common type."""

Labels: TypeAlias = NDArray[Any]
"""The distinct labels of a classification target, sorted."""
