"""Names of the types that cross floors."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
"""A dense NumPy array."""

Matrix: TypeAlias = NDArray[Any] | sp.csr_array | sp.csr_matrix
"""Rows by features, dense or CSR."""

Labels: TypeAlias = NDArray[Any]
"""The distinct labels of a classification target, sorted."""

Float = np.float64
