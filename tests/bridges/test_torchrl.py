"""TorchRL's side of the bridges."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces

from toolkit.core.clock import Clock
from toolkit.core.seeding import Streams
from toolkit.errors import UsageError
from toolkit.registry import registry


def test_a_buffer_that_sums_rewards_is_refused() -> None:
    with pytest.raises(UsageError, match="learns from single steps"):
        registry.make("agent", "torchrl-dqn", observation_space=spaces.Box(0, 1, (2,), np.float32), n_envs=1,
                      action_space=spaces.Discrete(2), streams=Streams(0), clock=Clock(9), device=torch.device("cpu"),
                      buffer="n-step")
