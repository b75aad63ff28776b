"""``dqn``: deep Q-learning (Mnih et al., 2015) with double Q-learning (van Hasselt et al., 2016).

Options: dueling streams (Wang et al., 2016), noisy networks (Fortunato et al., 2018), n-step
returns, prioritized replay (``--buffer prioritized``). What it shares with its relatives is in
`toolkit.agents.q_learning`.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from toolkit.agents import targets
from toolkit.agents.q_learning import Loss, Phase, QLearner


class DQN(QLearner):
    """One value for each action; Huber loss or half the square of the temporal difference."""

    name = "dqn"

    def expectation(self, outputs: Any) -> Any:
        return outputs[..., 0]

    def goals(self, phase: Phase, k: int, best: Tensor) -> Tensor:
        q_t = phase.target_outputs[k, :, :, 0]  # [B, A]
        return targets.bootstrapped(phase.rewards[k], phase.discounts[k], q_t, best).unsqueeze(-1)  # [B, 1]

    def loss(self, chosen: Tensor, goals: Tensor) -> Loss:
        delta = chosen - goals  # [B, 1]
        size = delta.abs().squeeze(-1)
        if self.config.loss == "mse":
            return Loss(0.5 * size.square(), delta, size)
        return Loss(targets.huber(delta).squeeze(-1), targets.huber_gradient(delta), size)
