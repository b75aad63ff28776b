"""``c51``: distributional Q-learning on a fixed support (Bellemare et al., 2017), and ``rainbow``.

``rainbow`` (Hessel et al., 2018) is c51 with double, dueling, noisy, n-step and prioritized replay
switched on by its config's defaults; there is no other code to it.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

from toolkit.agents import targets
from toolkit.agents.base import Steps
from toolkit.agents.configs import C51Config
from toolkit.agents.q_learning import QLearner, Slope
from toolkit.errors import UsageError


class Beyond:
    """Watches the discounted returns of N copies' episodes for one that [low, high] does not hold, and warns of the first."""

    def __init__(self, low: float, high: float, atom: float, gamma: float, n_envs: int) -> None:
        self.low, self.high, self.atom, self.gamma = low, high, atom, gamma
        self.returns, self.weights = np.zeros(n_envs), np.ones(n_envs)
        self.told = False

    def __call__(self, steps: Steps) -> None:
        for rewards, over, valid in zip(steps.rewards, steps.terminated | steps.truncated, steps.valid, strict=True):
            if self.told:
                return
            self.returns += self.weights * np.where(valid, rewards, 0)
            self.weights *= self.gamma
            for copy in np.flatnonzero(over & valid):
                self._look(float(self.returns[copy]))
            fresh = over | ~valid
            self.returns[fresh], self.weights[fresh] = 0, 1

    def _look(self, found: float) -> None:
        if self.low - self.atom <= found <= self.high + self.atom:
            return
        flag = "--v-min" if found < self.low else "--v-max"
        warnings.warn(f"an episode had a discounted return of {found:.4g}, and the agent's distributions hold those from --v-min "
                      f"{self.low:g} to --v-max {self.high:g}: what is outside counts as the nearer end. Name an end that holds "
                      f"every return, such as {flag} {1.5 * found:.2g}", stacklevel=2)
        self.told = True


class C51(QLearner):
    """A categorical distribution over ``n_atoms`` returns in [v_min, v_max] for each action."""

    name = "c51"

    def __init__(self, config: C51Config, **context: Any) -> None:
        if config.v_min >= config.v_max:
            raise UsageError(f"{self.name}: v_min {config.v_min:g} must be below v_max {config.v_max:g}")
        self.atoms = config.n_atoms
        self.support = np.linspace(config.v_min, config.v_max, config.n_atoms, dtype=np.float32)  # [Z]
        super().__init__(config, **context)
        self._support = torch.from_numpy(self.support).to(self.device)
        self._beyond = Beyond(config.v_min, config.v_max, float(self.support[1] - self.support[0]), config.gamma,
                              context.get("n_envs", 1))

    def observe(self, steps: Steps) -> None:
        super().observe(steps)
        self._beyond(steps)

    def expectation(self, outputs: Any) -> Any:
        if isinstance(outputs, Tensor):
            return torch.softmax(outputs, -1) @ self._support
        shifted = np.exp(outputs - outputs.max(-1, keepdims=True))
        return shifted @ self.support / shifted.sum(-1)

    def goals(self, rewards: Tensor, discounts: Tensor, following: Tensor) -> Tensor:
        return targets.project(rewards, discounts, torch.softmax(following, -1), self._support)

    def slope(self, chosen: Tensor, goals: Tensor) -> Slope:
        log_p = torch.log_softmax(chosen, -1)  # [B, Z]
        return Slope(log_p.exp() - goals, -(goals * log_p).sum(-1))  # the surprise is the cross-entropy


class Rainbow(C51):
    """c51 under its own name, so that messages speak of what was asked for."""

    name = "rainbow"
