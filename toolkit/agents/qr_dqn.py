"""``qr-dqn``: distributional Q-learning by quantile regression (Dabney et al., 2018)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from toolkit.agents import targets
from toolkit.agents.configs import QRDQNConfig
from toolkit.agents.q_learning import QLearner, Slope


class QRDQN(QLearner):
    """``n_quantiles`` quantiles of the return of each action; quantile Huber loss."""

    name = "qr-dqn"

    def __init__(self, config: QRDQNConfig, **context: Any) -> None:
        self.atoms = config.n_quantiles
        self.adam_eps = 0.01 / config.batch_size  # the paper's, as Stable-Baselines3's contrib package has it
        super().__init__(config, **context)
        self._midpoints = (torch.arange(self.atoms, device=self.device) + 0.5) / self.atoms  # [Z]

    def expectation(self, outputs: Any) -> Any:
        return outputs.mean(-1)

    def goals(self, rewards: Tensor, discounts: Tensor, following: Tensor) -> Tensor:
        return targets.bootstrapped(rewards, discounts, following)

    def slope(self, chosen: Tensor, goals: Tensor) -> Slope:
        losses, by_outputs = targets.quantile_huber(chosen, goals, self._midpoints)
        return Slope(by_outputs, losses)
