"""The compiled loops of the sum tree; importing this imports numba."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(cache=True)
def update(nodes: NDArray[np.float64], leaves: int, indices: NDArray[np.int64], priorities: NDArray[np.float64]) -> None:
    """Set leaves and add up their ancestors from the children, so that no rounding error accumulates."""
    for k in range(len(indices)):
        node = leaves + indices[k]
        nodes[node] = priorities[k]
        node >>= 1
        while node >= 1:
            nodes[node] = nodes[2 * node] + nodes[2 * node + 1]
            node >>= 1


@numba.njit(cache=True)
def draw(nodes: NDArray[np.float64], leaves: int, uniforms: NDArray[np.float64], indices: NDArray[np.int64],
         priorities: NDArray[np.float64]) -> None:
    """The leaf under which each share of the total falls; a leaf of priority zero is never reached."""
    for k in range(len(uniforms)):
        share = uniforms[k] * nodes[1]
        node = 1
        while node < leaves:
            left = 2 * node
            if share < nodes[left] or nodes[left + 1] <= 0.0:
                node = left
            else:
                share -= nodes[left]
                node = left + 1
        indices[k] = node - leaves
        priorities[k] = nodes[node]
