"""``rollout``: the steps collected since the last update, given once and forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np

from toolkit.agents.base import Array, Steps


class RolloutBuffer:
    """Holds the last rollout; `batches` gives it whole, since an on-policy agent makes its own minibatches."""

    def __init__(self, *, capacity: int, n_envs: int, observation_space: gymnasium.Space[Any],
                 action_space: gymnasium.Space[Any], generator: np.random.Generator) -> None:
        self._steps: Steps | None = None

    def __len__(self) -> int:
        return self._steps.count if self._steps else 0

    def add(self, steps: Steps) -> None:
        self._steps = steps

    def batches(self, count: int, batch_size: int) -> Iterator[Steps]:
        """The rollout, once."""
        if self._steps is not None:
            yield self._steps
        self._steps = None

    def prioritize(self, batches: Any, priorities: Array) -> None:
        """A rollout has no priorities."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing: a checkpoint is made between training phases, when the rollout is used up."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._steps = None
