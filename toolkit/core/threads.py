"""How many threads a run computes on."""

from __future__ import annotations

import threadpoolctl
import torch


def use_threads(count: int) -> None:
    """Torch computes on ``count`` threads from now on, NumPy's products on one.

    Agents hand small arrays to and fro between the two. With a pool of threads each, one spins on the cores that the
    other works on: ppo with 512 environments on two threads takes 3.5 times as long.
    """
    threadpoolctl.threadpool_limits(limits=1, user_api="blas")
    torch.set_num_threads(count)  # second, for builds where both libraries share one BLAS
