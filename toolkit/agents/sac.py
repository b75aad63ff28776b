"""``sac``: soft actor-critic (Haarnoja et al., 2018) with a learned entropy coefficient."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from toolkit.agents.base import Array, Batches, Updated
from toolkit.agents.configs import SACConfig
from toolkit.agents.continuous import ContinuousAgent, Phase
from toolkit.core.flat import FlatParameters
from toolkit.core.optimizers import FlatAdam

LOG_STD_MIN, LOG_STD_MAX = -20.0, 2.0
TANH_EPS = 1e-6  # keeps the logarithm of 1 - tanh**2 finite
LOG_SQRT_TWO_PI = 0.5 * math.log(2 * math.pi)


class Temperature(torch.nn.Module):
    """The logarithm of the entropy coefficient, as the one parameter of a module."""

    def __init__(self, first: float) -> None:
        super().__init__()
        self.log_alpha = torch.nn.Parameter(torch.full((1,), math.log(first)))


class SAC(ContinuousAgent):
    """A tanh-squashed Gaussian policy. The actor's outputs are means, then log standard deviations."""

    name = "sac"
    actor_width = 2
    config: SACConfig

    def __init__(self, config: SACConfig, **context: Any) -> None:
        super().__init__(config, **context)
        self.learns_alpha = config.ent_coef is None
        self.temperature = Temperature(1.0 if config.ent_coef is None else config.ent_coef).to(self.device)
        self.flat_alpha = FlatParameters(self.temperature)
        self.alpha_optimizer = FlatAdam(self.flat_alpha)
        self.target_entropy = -float(self.size) if config.target_entropy is None else config.target_entropy

    # -- acting

    def mode(self, outputs: Array) -> Array:
        return np.tanh(outputs[:, :self.size])

    def explore(self, outputs: Array) -> Array:
        mean, log_std = outputs[:, :self.size], np.clip(outputs[:, self.size:], LOG_STD_MIN, LOG_STD_MAX)
        noise = self.generator.standard_normal(mean.shape, dtype=np.float32)
        return np.tanh(mean + np.exp(log_std) * noise)

    # -- updating

    @torch.no_grad()
    def update(self, batches: Batches) -> Updated:
        phase, (count, size) = self._phase(batches), batches.rewards.shape
        learning_rate = self.learning_rate()
        noise, next_noise = self._normals(count, size, self.size), self._normals(count, size, self.size)
        errors = torch.empty(count, 2, size, device=self.device)
        entropy, value = torch.zeros((), device=self.device), torch.zeros((), device=self.device)
        for k in range(count):
            outputs = self._actor_path.forward(phase.observations[k])
            actions, log_prob, std = squash(outputs, noise[k])
            alpha = float(self.temperature.log_alpha.exp())
            if self.learns_alpha:
                self._learn_alpha(log_prob, learning_rate)
            goals = self._goals(phase, k, next_noise[k], alpha)
            inputs = torch.cat([phase.observations[k], phase.actions[k]], -1)
            weights = None if phase.weights is None else phase.weights[k]
            errors[k] = self._learn_critics(inputs, goals, weights, 0.5, learning_rate)
            value = self._learn_actor(phase.observations[k], outputs, actions, noise[k], std, alpha, learning_rate)
            entropy = -log_prob.mean()
            self.flat_critics.blend_into(self.flat_target, self.config.tau)
            self._updates += 1
        metrics = {"train/critic_loss": 0.5 * float(errors.square().sum(1).mean()), "train/q_value": float(value),
                   "train/ent_coef": float(self.temperature.log_alpha.exp()), "train/entropy": float(entropy),
                   "train/learning_rate": learning_rate, "train/n_updates": float(self._updates)}
        return Updated(metrics, errors.abs().mean(1).cpu().numpy())

    def _goals(self, phase: Phase, k: int, noise: Tensor, alpha: float) -> Tensor:
        """``r + discount * (min q' - alpha * log pi)`` [B] at fresh actions (equation 3)."""
        actions, log_prob, _ = squash(self._next_path.forward(phase.following[k]), noise)
        q_t = self._target.forward(torch.cat([phase.following[k], actions], -1)).amin(0)  # [B]
        return phase.rewards[k] + phase.discounts[k] * (q_t - alpha * log_prob)

    def _learn_alpha(self, log_prob: Tensor, learning_rate: float) -> None:
        """One step on ``-log_alpha * mean(log_prob + target_entropy)``."""
        self.flat_alpha.gradients.copy_(-(log_prob.mean() + self.target_entropy))
        self._step(self.flat_alpha, self.alpha_optimizer, learning_rate)

    def _learn_actor(self, observations: Tensor, outputs: Tensor, actions: Tensor, noise: Tensor, std: Tensor, alpha: float,
                     learning_rate: float) -> Tensor:
        """One step on ``mean(alpha * log_prob - min q)`` (equation 7), reparametrised; returns mean min q.

        With u the action before the tanh, a = tanh(u), u = mean + std * noise:
        d log_prob / du = 2a (1 - a^2) / (1 - a^2 + eps), and log_prob falls by one with each log std.
        """
        q = self._critics.forward(torch.cat([observations, actions], -1))  # [2, B]
        first = q[0] <= q[1]
        count = q.shape[1]
        gradient = torch.stack([first, ~first]).float().div_(-count)  # d(-mean min q) / dq
        by_actions = self._critics.by_inputs(gradient)[:, -self.size:]  # [B, A]
        slope = 1.0 - actions.square()
        by_u = by_actions * slope + (alpha / count) * 2.0 * actions * slope / (slope + TANH_EPS)
        inside = (outputs[:, self.size:] > LOG_STD_MIN) & (outputs[:, self.size:] < LOG_STD_MAX)
        by_log_std = (by_u * noise * std - alpha / count) * inside
        self._actor_path.backward(torch.cat([by_u, by_log_std], -1))
        self._step(self.flat_actor, self.actor_optimizer, learning_rate)
        return q.amin(0).mean()

    # -- saving

    def _modules(self) -> dict[str, torch.nn.Module]:
        return {**super()._modules(), "temperature": self.temperature}

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "alpha_optimizer": self.alpha_optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.alpha_optimizer.load_state_dict(state["alpha_optimizer"])


def squash(outputs: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Actions [B, A], their log-probabilities [B] and the standard deviations [B, A] (appendix C of the paper).

    ``outputs`` [B, 2A] are means and log standard deviations, ``noise`` [B, A] standard normals.
    """
    mean, log_std = outputs.chunk(2, -1)
    log_std = log_std.clamp(LOG_STD_MIN, LOG_STD_MAX)
    std = log_std.exp()
    actions = torch.tanh(mean + std * noise)
    log_normal = -0.5 * noise.square() - log_std - LOG_SQRT_TWO_PI
    log_prob = (log_normal - torch.log(1.0 - actions.square() + TANH_EPS)).sum(-1)
    return actions, log_prob, std
