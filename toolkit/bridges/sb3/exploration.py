"""State-dependent exploration (gSDE) of Stable-Baselines3's policies, kept over steps and over a resume.

The library draws the matrices of its noise where it collects. The toolkit collects here, so this draws them: at
the beginning of each rollout or after each training phase, and every ``sde_sample_freq`` steps.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import torch
from gymnasium import spaces

from toolkit.errors import UsageError

MATRICES = ("exploration_mat", "exploration_matrices")  # [F, A] for one observation, [N, F, A] for N


def require_box(action_space: gymnasium.Space[Any]) -> None:
    """Raise UsageError unless actions are continuous."""
    if not isinstance(action_space, spaces.Box):
        raise UsageError(f"use_sde needs Box actions; this environment's are {action_space}. Leave out --use-sde")


class LastingNoise:
    """The noise of ``holder``, the part of a policy with ``action_dist`` and ``reset_noise``.

    It lasts ``every`` steps; ``phase`` is the length of a rollout, after which it is drawn anew in any case.
    """

    def __init__(self, holder: Any, every: int, phase: int) -> None:
        self._holder, self.every, self.phase = holder, every if every > 0 else phase, phase
        self.age = 0  # steps acted since the rollout began

    def before(self, count: int) -> None:
        """To be called before each step that explores, for ``count`` environments."""
        place = self.age % self.phase
        if place % self.every == 0:
            self._holder.reset_noise(count)
        self.age += 1

    def learned(self) -> None:
        """A training phase is over: what it learned takes effect with new matrices."""
        self.age = 0

    def state_dict(self) -> dict[str, Any]:
        return {"age": self.age, **{name: getattr(self._holder.action_dist, name).detach() for name in MATRICES}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.age = state["age"]
        for name in MATRICES:
            mine: torch.Tensor = getattr(self._holder.action_dist, name)
            setattr(self._holder.action_dist, name, state[name].to(mine.device, copy=True))
