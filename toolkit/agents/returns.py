"""Returns and advantages of rollouts, as pure functions on time-major arrays.

Letters: T steps, N environments. Times: ``r[t]`` follows the action at t, ``v[t]`` is the value of
the observation at t, ``v_next[t]`` that of the true observation after it (the last one of the
episode where it ended).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def generalized_advantages(r: Array, v: Array, v_next: Array, terminated: Array, truncated: Array, gamma: float,
                           gae_lambda: float) -> Array:
    """Generalized advantage estimation (Schulman et al., 2016, equation 16); all arrays [T, N].

    ``delta[t] = r[t] + gamma * v_next[t] * (1 - terminated[t]) - v[t]``, and ``advantage[t] = delta[t] +
    gamma * gae_lambda * advantage[t + 1]`` within an episode. A truncated step bootstraps from
    ``v_next`` and ends the sum, a terminated one does not bootstrap.
    """
    delta = r + gamma * v_next * ~terminated - v
    carry = gamma * gae_lambda * ~(terminated | truncated)
    advantages = np.empty_like(delta)
    following = np.zeros(delta.shape[1], delta.dtype)
    for t in range(len(delta) - 1, -1, -1):
        following = delta[t] + carry[t] * following
        advantages[t] = following
    return advantages


def discounted_returns(r: Array, ended: Array, gamma: float, bootstrap: Array | None = None) -> Array:
    """``g[t] = r[t] + gamma * g[t + 1]`` within an episode; all arrays [T, N].

    Where ``ended[t]``, the sum stops with ``r[t] + gamma * bootstrap[t]`` (zero without ``bootstrap``).
    """
    returns = np.empty_like(r)
    following = np.zeros(r.shape[1], r.dtype)
    for t in range(len(r) - 1, -1, -1):
        last = 0.0 if bootstrap is None else bootstrap[t]
        following = r[t] + gamma * np.where(ended[t], last, following)
        returns[t] = following
    return returns


def next_values(v: Array, final_rows: Array, final_copies: Array, final_values: Array) -> Array:
    """``v_next`` [T, N] from the values of all T + 1 rows and those of the side table's observations."""
    following = v[1:].copy()
    following[final_rows, final_copies] = final_values
    return following


def explained_variance(values: Array, returns: Array) -> float:
    """``1 - var(returns - values) / var(returns)``: 1 is perfect, 0 as good as a constant; NaN for constant returns."""
    spread = _scatter(returns)
    return float("nan") if spread == 0 else 1.0 - _scatter(returns - values) / spread


def _scatter(values: Array) -> float:
    """The sum of squared deviations from the mean of [B]; np.var takes four times as long on a rollout's few numbers."""
    away = values - values.mean()
    return float(away @ away)
