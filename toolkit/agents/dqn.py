"""``dqn``: deep Q-learning (Mnih et al., 2015) with double Q-learning (van Hasselt et al., 2016).

Reading order: make the networks, act, update.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor

from toolkit.agents import targets
from toolkit.agents.base import Acted, Array, Batches, Cadence, Updated
from toolkit.agents.checks import require_action_space, require_finite
from toolkit.agents.configs import DQNConfig
from toolkit.agents.networks.fast import path_of
from toolkit.agents.networks.mlp import Headed
from toolkit.core.clock import Clock
from toolkit.core.flat import FlatParameters, named_parameters
from toolkit.core.optimizers import FlatAdam
from toolkit.core.schedules import interpolate
from toolkit.core.seeding import Streams
from toolkit.registry import registry


class DQN:
    """Q-network, target network, Adam; epsilon-greedy.

    The target network is updated when the run crosses a multiple of ``target_update_interval``
    environment steps, which is when Stable-Baselines3 updates it (parameters do not change while
    steps are collected, so doing it at the start of the training phase is the same).
    """

    def __init__(self, config: DQNConfig, *, observation_space: gymnasium.Space[Any], action_space: gymnasium.Space[Any],
                 n_envs: int = 1, streams: Streams | None = None, clock: Clock | None = None,
                 device: torch.device | str = "cpu") -> None:
        require_action_space("dqn", action_space)
        self.config = config
        self.clock = clock or Clock(budget=1)
        self.device = torch.device(device)
        self.generator = (streams or Streams(0)).generator("acting")
        self.n_actions, self.first_action = int(action_space.n), int(action_space.start)
        self.cadence = Cadence(config.train_freq, config.gradient_steps, config.batch_size, config.learning_starts)
        self.buffer, self.buffer_size = config.buffer, config.buffer_size
        self.online, self.target = (self._network(observation_space) for _ in range(2))
        self.flat, self.flat_target = FlatParameters(self.online), FlatParameters(self.target)
        self.flat.blend_into(self.flat_target, 1.0)
        self.optimizer = FlatAdam(self.flat)
        self.schedule = registry.make("scheduler", config.learning_rate_schedule.name)
        self._q_values = self.online.acting()
        self._path = path_of(self.online, config.batch_size)
        self._selector = path_of(self.online, config.batch_size)
        self._target_path = path_of(self.target, config.batch_size)
        self._updates, self._target_step = 0, 0

    def _network(self, observation_space: gymnasium.Space[Any]) -> Headed:
        part = self.config.network
        body = registry.make("network", part.name, observation_space=observation_space, **part.options)
        return Headed(body, self.n_actions).to(self.device)

    # -- acting

    @property
    def epsilon(self) -> float:
        """The chance of a random action at this step of the run."""
        config = self.config
        if config.exploration_fraction == 0:
            return config.exploration_final_eps
        done = self.clock.fraction / config.exploration_fraction
        return interpolate(config.exploration_initial_eps, config.exploration_final_eps, done)

    def act(self, observations: Array, state: Array | None = None, mask: Array | None = None, deterministic: bool = False) -> Acted:
        if deterministic:
            return Acted(self._greedy(observations, mask))
        count = len(observations)
        epsilon = 1.0 if self.clock.step < self.config.learning_starts else self.epsilon
        explore = self.generator.random(count) < epsilon
        if not explore.any():
            return Acted(self._greedy(observations, mask))
        random = self._random(count, mask)
        if explore.all():
            return Acted(random)
        return Acted(np.where(explore, random, self._greedy(observations, mask)))

    def _greedy(self, observations: Array, mask: Array | None) -> Array:
        q_values = self._q_values(observations)  # [N, A]
        if mask is not None:
            q_values = np.where(mask, q_values, -np.inf)
        return q_values.argmax(1) + self.first_action  # type: ignore[no-any-return]

    def _random(self, count: int, mask: Array | None) -> Array:
        if mask is None:
            return self.generator.integers(self.n_actions, size=count) + self.first_action
        return np.where(mask, self.generator.random(mask.shape), -1.0).argmax(1) + self.first_action

    # -- updating

    @torch.no_grad()
    def update(self, batches: Batches) -> Updated:
        self._update_target()
        config, path = self.config, self._path
        learning_rate = config.learning_rate * self.schedule(self.clock.fraction)
        observations = self._tensor(batches.observations)  # [K, B, ...]
        following = self._tensor(batches.next_observations)
        actions = self._tensor(batches.actions).long().unsqueeze(-1) - self.first_action  # [K, B, 1]
        rewards = self._tensor(batches.rewards)
        discounts = config.gamma * (~self._tensor(batches.terminated)).float()  # [K, B]
        weights = None if batches.weights is None else self._tensor(batches.weights)
        q_following = self._target_values(following)  # [K, B, A]
        goals = targets.q_learning_target(rewards, discounts, q_following)  # [K, B]
        gradient = torch.zeros(rewards.shape[1], self.n_actions, device=self.device)  # [B, A]
        deltas = torch.empty_like(rewards)  # [K, B]
        q_mean = torch.zeros((), device=self.device)
        for k in range(batches.count):
            if config.double:
                selector = self._selector.forward(following[k])
                goals[k] = targets.double_q_learning_target(rewards[k], discounts[k], q_following[k], selector)
            chosen = path.forward(observations[k]).gather(1, actions[k]).squeeze(1)  # [B]
            q_mean += chosen.mean()
            deltas[k] = delta = chosen - goals[k]
            slope = targets.huber_gradient(delta).div_(len(delta))
            if weights is not None:
                slope *= weights[k]
            path.backward(gradient.zero_().scatter_(1, actions[k], slope.unsqueeze(1)))
            norm = self.flat.clip(config.max_grad_norm)
            require_finite(norm, "dqn", self.clock.step, self._updates)
            self.optimizer.step(learning_rate)
            self._updates += 1
        metrics = {
            "train/loss": float(targets.huber(deltas).mean()), "train/q_value": float(q_mean) / batches.count,
            "train/learning_rate": learning_rate, "train/n_updates": float(self._updates),
            "rollout/exploration_rate": self.epsilon,
        }
        return Updated(metrics, deltas.abs().cpu().numpy())

    def _target_values(self, following: Tensor) -> Tensor:
        """Target-network values [K, B, A] of all next observations of the phase.

        One minibatch after another on preallocated tensors: activations stay in the cache, which is
        several times faster than one large pass.
        """
        values = torch.empty(*following.shape[:2], self.n_actions, device=self.device)
        for k in range(len(following)):
            values[k] = self._target_path.forward(following[k])
        return values

    def _update_target(self) -> None:
        interval = self.config.target_update_interval
        crossed = self.clock.step // interval - self._target_step // interval
        if crossed:
            self.flat.blend_into(self.flat_target, 1.0 - (1.0 - self.config.tau) ** crossed)
        self._target_step = self.clock.step

    def _tensor(self, array: Array) -> Tensor:
        return torch.from_numpy(array).to(self.device)

    # -- saving

    def parameters(self) -> dict[str, Tensor]:
        return named_parameters({"online": self.online})

    def initialise(self, state: dict[str, Any]) -> None:
        """Take the networks of another run of dqn, and nothing else of it."""
        self.online.load_state_dict(state["online"])
        self.target.load_state_dict(state["online"])

    def state_dict(self) -> dict[str, Any]:
        return {
            "online": self.online.state_dict(), "target": self.target.state_dict(), "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.bit_generator.state, "updates": self._updates, "target_step": self._target_step,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.online.load_state_dict(state["online"])
        self.target.load_state_dict(state["target"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.bit_generator.state = state["generator"]
        self._updates, self._target_step = state["updates"], state["target_step"]
