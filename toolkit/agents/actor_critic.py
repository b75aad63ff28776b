"""``actor-critic`` (also ``a2c``): advantage actor-critic, synchronous (Mnih et al., 2016)."""

from __future__ import annotations

from typing import Any

import torch

from toolkit.agents import returns
from toolkit.agents.base import Steps, Updated
from toolkit.agents.configs import ActorCriticConfig
from toolkit.agents.distributions import MASKED
from toolkit.agents.on_policy import OnPolicyAgent
from toolkit.core.optimizers import FlatAdam, FlatRMSprop

RMSPROP_ALPHA, OPTIMIZER_EPS = 0.99, 1e-5


class ActorCriticAgent(OnPolicyAgent):
    """One gradient step on each short rollout."""

    name = "actor-critic"
    config: ActorCriticConfig

    def __init__(self, config: ActorCriticConfig, **context: Any) -> None:
        super().__init__(config, **context)
        if config.use_rms_prop:
            self.optimizer = FlatRMSprop(self.flat, alpha=RMSPROP_ALPHA, eps=OPTIMIZER_EPS)
        else:
            self.optimizer = FlatAdam(self.flat, eps=OPTIMIZER_EPS)
        self._path = self.policy.path(self.buffer_size)

    @torch.no_grad()
    def update(self, steps: Steps) -> Updated:
        rollout = self.prepare(steps)
        config, count = self.config, len(rollout)
        if not count:
            return Updated({})
        advantages = rollout.advantages
        if config.normalize_advantage and count > 1:
            advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        outputs, values = self._path.forward(rollout.observations)
        if rollout.masks is not None:
            outputs = outputs.masked_fill(~rollout.masks, MASKED)
        log_std = None if self.policy.log_std is None else self.policy.log_std.detach()
        evaluated = self.distribution.evaluate(outputs, log_std, rollout.actions)
        by_outputs, by_log_std = self.distribution.backward(evaluated, advantages / -count, -config.ent_coef / count)
        error = values - rollout.returns
        self._path.backward(by_outputs, error * (2.0 * config.vf_coef / count))
        self.write_log_std_gradient(by_log_std)
        learning_rate = self.learning_rate()
        self.descend(self.optimizer, learning_rate)
        return Updated({
            "train/policy_loss": -float((advantages * evaluated.log_prob).mean()),
            "train/value_loss": float(error.square().mean()), "train/entropy_loss": -float(evaluated.entropy.mean()),
            "train/explained_variance": returns.explained_variance(rollout.values.cpu().numpy(), rollout.returns.cpu().numpy()),
            "train/learning_rate": learning_rate, "train/n_updates": float(self._updates),
        })
