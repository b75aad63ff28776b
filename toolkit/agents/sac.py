"""``sac``: soft actor-critic (Haarnoja et al., 2018) with a learned entropy coefficient."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from toolkit.agents.base import Array, Batches, Updated
from toolkit.agents.configs import SACConfig
from toolkit.agents.continuous import ContinuousAgent, Phase
from toolkit.core.flat import FlatParameters
from toolkit.core.optimizers import FlatAdam

LOG_STD_MIN, LOG_STD_MAX = -20.0, 2.0
LOG_TWO = math.log(2)
LOG_SQRT_TWO_PI = 0.5 * math.log(2 * math.pi)


class Squashed(NamedTuple):
    """Actions drawn by the policy, and what a gradient needs of them."""

    actions: Tensor  # [B, A], in [-1, 1]
    log_prob: Tensor  # [B]
    slope: Tensor  # [B, A], 1 - actions**2: the derivative of the tanh
    step: Tensor  # [B, A], std * noise: the derivative of the action before the tanh by the log std
    free: Tensor  # [B, A], true where the log std is not at its limit


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

    def initialise(self, state: dict[str, Any]) -> None:
        """The networks of another run; an entropy coefficient that is given stays as it is given."""
        super().initialise(state if self.learns_alpha else {**state, "temperature": self.temperature.state_dict()})

    # -- acting

    def mode(self, outputs: Array) -> Array:
        return np.tanh(outputs[:, :self.size])

    def explore(self, outputs: Array, state: Array | None) -> tuple[Array, Array | None]:
        mean, log_std = outputs[:, :self.size], np.clip(outputs[:, self.size:], LOG_STD_MIN, LOG_STD_MAX)
        noise = self.generator.standard_normal(mean.shape, dtype=np.float32)
        return np.tanh(mean + np.exp(log_std) * noise), None

    # -- updating

    @torch.no_grad()
    def update(self, batches: Batches) -> Updated:
        phase, (count, size) = self._phase(batches), batches.rewards.shape
        learning_rate = self.learning_rate()
        noise = self._normals(count, *self._noise_shape(size))
        errors = torch.empty(count, 2, size, device=self.device)
        entropy, value = torch.zeros((), device=self.device), torch.zeros((), device=self.device)
        for k in range(count):
            drawn = self._draw(phase, k, noise[k])
            alpha = float(self.temperature.log_alpha.exp())
            log_prob = drawn.log_prob[:size].detach()
            if self.learns_alpha:
                self._learn_alpha(log_prob, learning_rate)
            goals = self._goals(phase, k, drawn.actions[size:], alpha * drawn.log_prob[size:])
            weights = None if phase.weights is None else phase.weights[k]
            errors[k] = self._learn_critics(phase.pairs[k], goals, weights, 0.5, learning_rate)
            value = self._learn_actor(phase.inputs[k], drawn, alpha, learning_rate)
            entropy = -log_prob.mean()
            self.flat_critics.blend_into(self.flat_target, self.config.tau)
            self._updates += 1
        self._learned()
        metrics = {"train/critic_loss": 0.5 * float(errors.square().sum(1).mean()), "train/q_value": float(value),
                   "train/ent_coef": float(self.temperature.log_alpha.exp()), "train/entropy": float(entropy),
                   "train/learning_rate": learning_rate, "train/n_updates": float(self._updates)}
        return Updated(metrics, errors.abs().mean(1).cpu().numpy())

    def _noise_shape(self, size: int) -> tuple[int, ...]:
        """What one update draws: normals for the actions now, then for the following ones."""
        return 2 * size, self.size

    def _draw(self, phase: Phase, k: int, noise: Tensor) -> Squashed:
        """Actions at the observations [B], then at those that follow [B]."""
        outputs = self._actor_path.forward(phase.observations[k])  # [B, 2A]
        return squash(torch.cat([outputs, self._next_actions(phase.following[k])]), noise)

    def _goals(self, phase: Phase, k: int, actions: Tensor, cost: Tensor) -> Tensor:
        """``r + discount * (min q' - alpha * log pi)`` [B] at fresh actions (equation 3); ``cost`` is alpha * log pi."""
        q_t = self._target.forward(torch.cat([phase.next_inputs[k], actions], -1)).amin(0)  # [B]
        return torch.addcmul(phase.rewards[k], phase.discounts[k], q_t.sub_(cost))

    def _learn_alpha(self, log_prob: Tensor, learning_rate: float) -> None:
        """One step on ``-log_alpha * mean(log_prob + target_entropy)``."""
        self.flat_alpha.gradients.copy_(-(log_prob.mean() + self.target_entropy))
        self._step(self.flat_alpha, self.alpha_optimizer, learning_rate)

    def _learn_actor(self, inputs: Tensor, drawn: Squashed, alpha: float, learning_rate: float) -> Tensor:
        """One step on ``mean(alpha * log_prob - min q)`` (equation 7), reparametrised; returns mean min q.

        With u the action before the tanh, a = tanh(u), u = mean + std * noise:
        d log_prob / du = 2a, and log_prob falls by one with each log std.
        """
        count = len(inputs)
        actions, slope = drawn.actions[:count], drawn.slope[:count]
        value, by_actions = self._climb(inputs, actions)
        by_u = torch.addcmul(actions * (2.0 * alpha / count), slope, by_actions)
        by_log_std = torch.addcmul(by_u.new_full((), -alpha / count), by_u, drawn.step[:count])
        by_log_std *= drawn.free[:count]
        self._actor_path.backward(torch.cat([by_u, by_log_std], -1))
        self._step(self.flat_actor, self.actor_optimizer, learning_rate)
        return value

    def _climb(self, inputs: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """The mean of ``min q``, and the gradient of minus that by the actions [B, A]."""
        q = self._critics.forward(torch.cat([inputs, actions], -1))  # [2, B]
        value, lower = q.min(0)
        gradient = torch.zeros_like(q).scatter_(0, lower.unsqueeze(0), -1.0 / len(inputs))
        return value.mean(), self._critics.by_last_inputs(gradient, self.size)

    # -- saving

    def _modules(self) -> dict[str, torch.nn.Module]:
        return {**super()._modules(), "temperature": self.temperature}

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "alpha_optimizer": self.alpha_optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.alpha_optimizer.load_state_dict(state["alpha_optimizer"])


def squash(outputs: Tensor, noise: Tensor) -> Squashed:
    """Actions drawn from a tanh-squashed Gaussian (appendix C of the paper).

    ``outputs`` [B, 2A] are means and log standard deviations, ``noise`` [B, A] standard normals.
    """
    mean, log_std = outputs.chunk(2, -1)
    free = (log_std > LOG_STD_MIN) & (log_std < LOG_STD_MAX)
    log_std = log_std.clamp(LOG_STD_MIN, LOG_STD_MAX)
    step = log_std.exp().mul_(noise)
    unsquashed = mean + step
    actions = unsquashed.tanh()
    log_prob = torch.addcmul(log_std, noise, noise, value=0.5).add_(log_slope(unsquashed)).sum(-1)
    return Squashed(actions, log_prob.neg_().sub_(mean.shape[-1] * LOG_SQRT_TWO_PI), 1.0 - actions.square(), step, free)


def log_slope(unsquashed: Tensor) -> Tensor:
    """``log(1 - tanh(u)**2)`` for any u; its derivative is ``-2 tanh(u)``.

    In the paper's form, with something small added inside of the logarithm, the derivative is gone where float32 knows no
    difference to 1 (|u| over 8), and a policy that has gone so far never comes back, however large the entropy coefficient.
    """
    return 2.0 * (LOG_TWO - unsquashed - softplus(-2.0 * unsquashed))


def make(config: SACConfig, **context: Any) -> SAC:
    """``sac`` as its config asks for it: with plain or with state-dependent exploration."""
    if not config.use_sde:
        return SAC(config, **context)
    from toolkit.agents.sac_sde import StateDependentSAC

    return StateDependentSAC(config, **context)
