"""``td3``: twin delayed deep deterministic policy gradient (Fujimoto et al., 2018)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from toolkit.agents.base import Array, Batches, Updated
from toolkit.agents.configs import TD3Config
from toolkit.agents.continuous import ContinuousAgent, Phase
from toolkit.agents.networks.body import make_body
from toolkit.agents.networks.fast import forward_of
from toolkit.agents.networks.mlp import Headed
from toolkit.agents.noise import ActionNoise, make_noise
from toolkit.core.flat import FlatParameters


class TD3(ContinuousAgent):
    """A deterministic policy, updated every ``policy_delay`` critic updates; targets are smoothed by clipped noise."""

    name = "td3"
    config: TD3Config

    def __init__(self, config: TD3Config, **context: Any) -> None:
        super().__init__(config, **context)
        network = config.network
        body = make_body(network, context["observation_space"])
        self.target_actor = Headed(body, self.size).to(self.device)
        self.flat_target_actor = FlatParameters(self.target_actor)
        self.flat_actor.blend_into(self.flat_target_actor, 1.0)
        self._next_actions = forward_of(self.target_actor, config.batch_size)
        self.action_noise: ActionNoise = make_noise(config.noise_type, config.noise_std)

    # -- acting

    def mode(self, outputs: Array) -> Array:
        return np.tanh(outputs)

    def explore(self, outputs: Array, state: Array | None) -> tuple[Array, Array | None]:
        drawn = self.action_noise.draw(np.zeros_like(outputs) if state is None else state, self.generator)
        noisy: Array = np.clip(np.tanh(outputs) + drawn, -1.0, 1.0).astype(np.float32)
        return noisy, drawn if self.action_noise.lasts else None

    # -- updating

    @torch.no_grad()
    def update(self, batches: Batches) -> Updated:
        phase, config = self._phase(batches), self.config
        count, size = batches.rewards.shape
        learning_rate = self.learning_rate()
        smoothing = (self._normals(count, size, self.size) * config.target_policy_noise).clamp_(
            -config.target_noise_clip, config.target_noise_clip)  # [K, B, A]
        errors = torch.empty(count, 2, size, device=self.device)
        value = torch.zeros((), device=self.device)
        for k in range(count):
            following = torch.tanh(self._next_actions(phase.following[k])).add_(smoothing[k]).clamp_(-1.0, 1.0)
            q_t = self._target.forward(torch.cat([phase.next_inputs[k], following], -1)).amin(0)  # [B]
            goals = phase.rewards[k] + phase.discounts[k] * q_t
            weights = None if phase.weights is None else phase.weights[k]
            errors[k] = self._learn_critics(phase.pairs[k], goals, weights, 1.0, learning_rate)
            self._updates += 1
            if self._updates % config.policy_delay == 0:
                value = self._learn_actor(phase, k, learning_rate)
                self.flat_critics.blend_into(self.flat_target, config.tau)
                self.flat_actor.blend_into(self.flat_target_actor, config.tau)
        self._learned()
        metrics = {"train/critic_loss": float(errors.square().sum(1).mean()), "train/learning_rate": learning_rate,
                   "train/n_updates": float(self._updates)}
        if count >= config.policy_delay:
            metrics["train/actor_loss"] = -float(value)
        return Updated(metrics, errors.abs().mean(1).cpu().numpy())

    def _learn_actor(self, phase: Phase, k: int, learning_rate: float) -> Tensor:
        """Climb the first critic: ``d(-mean q1)/d outputs`` through the tanh; returns mean q1."""
        actions = torch.tanh(self._actor_path.forward(phase.observations[k]))  # [B, A]
        q = self._critics.first(torch.cat([phase.inputs[k], actions], -1))  # [1, B]
        by_actions = self._critics.by_last_inputs(torch.full_like(q, -1.0 / q.shape[1]), self.size)  # [B, A]
        self._actor_path.backward(by_actions * (1.0 - actions.square()))
        self._step(self.flat_actor, self.actor_optimizer, learning_rate)
        return q.mean()

    # -- saving

    def initialise(self, state: dict[str, Any]) -> None:
        super().initialise(state)
        self.flat_actor.blend_into(self.flat_target_actor, 1.0)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "target_actor": self.target_actor.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.target_actor.load_state_dict(state["target_actor"])
