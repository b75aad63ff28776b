"""``dqn``: deep Q-learning (Mnih et al., 2015) with double Q-learning (van Hasselt et al., 2016).

Options: dueling streams (Wang et al., 2016), noisy networks (Fortunato et al., 2018), n-step
returns, prioritized replay (``--buffer prioritized``). What it shares with its relatives is in
`toolkit.agents.q_learning`.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from toolkit.agents import targets
from toolkit.agents.q_learning import QLearner, Slope


class DQN(QLearner):
    """One value for each action; Huber loss or half the square of the temporal difference."""

    name = "dqn"

    def expectation(self, outputs: Any) -> Any:
        return outputs[..., 0]

    def goals(self, rewards: Tensor, discounts: Tensor, following: Tensor) -> Tensor:
        return targets.bootstrapped(rewards, discounts, following)

    def slope(self, chosen: Tensor, goals: Tensor) -> Slope:
        delta = chosen - goals  # [B, 1]
        surprise = delta.abs().squeeze(-1)
        return Slope(delta if self.config.loss == "mse" else targets.huber_gradient(delta), surprise)

    def losses(self, surprises: Tensor) -> Tensor:
        return 0.5 * surprises.square() if self.config.loss == "mse" else targets.huber(surprises)
