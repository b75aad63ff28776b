"""Soft actor-critic with state-dependent exploration (gSDE; Raffin et al., 2021).

Letters: B transitions, S encoded observation, A action, F features.

The policy's deviation depends on its features, so its update goes by autograd; critics keep their
own passes. As in Stable-Baselines3, one matrix of normals serves a whole minibatch, means are cut
to [-2, 2], and the gradient flows into the features. Unlike there, a mean past its limit is led back.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from toolkit.agents.base import Array
from toolkit.agents.configs import SACConfig
from toolkit.agents.continuous import Phase
from toolkit.agents.distributions import LOG_SQRT_TWO_PI
from toolkit.agents.gsde import VARIANCE_EPS, ExplorationNoise, Exposed
from toolkit.agents.networks.fast import learning
from toolkit.agents.networks.mlp import Headed
from toolkit.agents.sac import SAC, Squashed

MEAN_LIMIT = 2.0  # keeps the tanh away from where its gradient vanishes
# Bounds what noise far past the ends of the actions costs in entropy, as in Stable-Baselines3, with whose published settings the
# exact logarithm (`sac.log_slope`) left a policy on MountainCarContinuous that returned 93 with its noise and -39 without.
TANH_EPS = 1e-6


class Limited(torch.autograd.Function):
    """``values`` cut to [-limit, limit]. Past the limit a gradient passes where its step leads back, and only there.

    A plain cut has no gradient there: a policy whose means are all past the limit acts by its noise alone,
    earns what it should, and is lost without the noise.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, limit: float) -> Tensor:
        ctx.save_for_backward(values)
        ctx.limit = limit
        return values.clamp(-limit, limit)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        values, = ctx.saved_tensors
        leads_out = (values.abs() > ctx.limit) & (values * gradient < 0)  # a step is against the gradient
        return gradient.masked_fill(leads_out, 0.0), None


class ExploringActor(Exposed):
    """Means and features, with the log standard deviation of every feature's noise."""

    def __init__(self, body: nn.Module, outputs: int, log_std_init: float) -> None:
        super().__init__(body, outputs)
        self.log_std = nn.Parameter(torch.full((self.head.in_features, outputs), log_std_init))  # [F, A]


class StateDependentSAC(SAC):
    """SAC whose exploration is smooth in time."""

    actor_width = 1
    actor: ExploringActor
    _now: Squashed

    def __init__(self, config: SACConfig, **context: Any) -> None:
        super().__init__(config, **context)
        self.exploration = ExplorationNoise(config.sde_sample_freq if config.sde_sample_freq > 0 else config.train_freq)
        self._log_std = self.actor.log_std.detach()

    def _make_actor(self, body: nn.Module) -> Headed:
        return ExploringActor(body, self.size, self.config.log_std_init)

    # -- acting

    def mode(self, outputs: Array) -> Array:
        return np.tanh(np.clip(outputs[:, :self.size], -MEAN_LIMIT, MEAN_LIMIT))

    def explore(self, outputs: Array, state: Array | None) -> tuple[Array, Array | None]:
        mean, features = np.clip(outputs[:, :self.size], -MEAN_LIMIT, MEAN_LIMIT), outputs[:, self.size:]
        std = self._log_std.exp().cpu().numpy()
        return np.tanh(mean + self.exploration.draw(features, std, self.generator)), None

    # -- updating

    def _noise_shape(self, size: int) -> tuple[int, ...]:
        return self.actor.head.in_features, self.size

    def _draw(self, phase: Phase, k: int, noise: Tensor) -> Squashed:
        with torch.enable_grad(), learning(self.actor):
            self._now = self._sample(phase.observations[k], noise)  # with the graph, for `_learn_actor`
        following = self._sample(phase.following[k], noise)
        return Squashed(*(torch.cat(pair) for pair in zip(self._now, following, strict=True)))

    def _sample(self, observations: Tensor, noise: Tensor) -> Squashed:
        """Actions with their graph, for ``noise`` [F, A]."""
        outputs = self.actor(observations)
        mean: Tensor = Limited.apply(outputs[:, :self.size], MEAN_LIMIT)
        features = outputs[:, self.size:]
        std = self.actor.log_std.exp()
        step = features @ (std * noise)  # [B, A]
        variance = features.square() @ std.square() + VARIANCE_EPS
        actions = torch.tanh(mean + step)
        slope = 1.0 - actions.square()
        log_normal = -0.5 * (step.square() / variance + variance.log()) - LOG_SQRT_TWO_PI
        log_prob = (log_normal - torch.log(slope + TANH_EPS)).sum(-1)
        return Squashed(actions, log_prob, slope, step, torch.ones_like(step, dtype=torch.bool))

    def _learn_actor(self, inputs: Tensor, drawn: Squashed, alpha: float, learning_rate: float) -> Tensor:
        actions, log_prob = self._now.actions, self._now.log_prob
        value, by_actions = self._climb(inputs, actions.detach())
        self.flat_actor.gradients.zero_()
        torch.autograd.backward([actions, log_prob], [by_actions, torch.full_like(log_prob, alpha / len(inputs))])
        self._step(self.flat_actor, self.actor_optimizer, learning_rate)
        return value

    # -- saving

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "exploration": self.exploration.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.exploration.load_state_dict(state["exploration"])
