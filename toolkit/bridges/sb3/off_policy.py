"""``sb3-dqn``, ``sb3-sac``, ``sb3-td3`` and ``sb3-ddpg``: Stable-Baselines3's algorithms on the toolkit's replay buffers.

Letters: N environments, K minibatches of B transitions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import stable_baselines3
import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.type_aliases import DictReplayBufferSamples, ReplayBufferSamples
from stable_baselines3.common.utils import polyak_update
from torch import Tensor

from toolkit.agents.base import Acted, Array, Batches, Cadence, Updated
from toolkit.agents.distributions import to_dtype
from toolkit.agents.q_learning import buffer_part
from toolkit.bridges.sb3.base import SB3Agent
from toolkit.bridges.sb3.exploration import LastingNoise
from toolkit.errors import UsageError


class GivenReplay:
    """Stands where the library has its replay buffer: it gives the minibatches that it was given, one after another."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        self.samples: list[Any] = []

    def sample(self, batch_size: int, env: Any = None) -> Any:
        """The next minibatch."""
        return self.samples.pop(0)


class OffPolicyAgent(SB3Agent):
    """Uniformly random actions before ``learning_starts``, then the policy's, with noise where the algorithm adds it."""

    squashes = True

    def __init__(self, config: Any, **context: Any) -> None:
        super().__init__(config, **context)
        # train_freq counts steps of the vector environment, as in the library.
        self.cadence = Cadence(config.train_freq * self.n_envs, config.gradient_steps, config.batch_size, config.learning_starts)
        self.buffer, self.buffer_size = buffer_part(config), config.buffer_size

    def arguments(self) -> dict[str, Any]:
        config = self.config
        # One row would do: the library's own buffer is never made.
        return {"buffer_size": 1, "learning_starts": config.learning_starts, "batch_size": config.batch_size, "tau": config.tau,
                "train_freq": config.train_freq, "gradient_steps": config.gradient_steps, "replay_buffer_class": GivenReplay}

    def act(self, observations: Array, state: Array | None = None, mask: Array | None = None,
            deterministic: bool = False) -> Acted:
        if deterministic:
            return Acted(self.greedy(observations))
        if self.clock.step < self.config.learning_starts:
            return Acted(self.random(len(observations)))
        return Acted(self.explore(observations))

    def random(self, count: int) -> Array:
        """Uniformly random actions [N, ...]."""
        space = self.action_space
        if isinstance(space, spaces.Discrete):
            return self.generator.integers(int(space.n), size=count) + self.first_action
        assert isinstance(space, spaces.Box)
        return to_dtype(self.generator.uniform(space.low, space.high, (count, *space.shape)), space.dtype)

    def explore(self, observations: Array) -> Array:
        """The policy's actions [N, ...] to learn from."""
        self.policy.set_training_mode(False)
        with torch.no_grad(), self.randomness.drawing():
            if self.noise is not None:
                self.noise.before(len(observations))
            return self.for_environments(self.policy._predict(self.see(observations), deterministic=False))

    def update(self, batches: Batches) -> Updated:
        if batches.weights is not None:
            raise UsageError(f"{self.name} weighs all transitions alike, as Stable-Baselines3 does, and gives no priorities; "
                             f"--buffer {self.buffer.name} needs both. Use --buffer uniform, or --buffer n-step")
        count, size = batches.rewards.shape
        self.algorithm.replay_buffer.samples = [self.sample(batches, k) for k in range(count)]
        self.algorithm._current_progress_remaining = 1.0 - self.clock.fraction
        with self.randomness.drawing():
            self.algorithm.train(gradient_steps=count, batch_size=size)
        if self.noise is not None:
            self.noise.learned()
        return Updated(self.learned())

    def sample(self, batches: Batches, k: int) -> Any:
        """Minibatch k as the library's."""
        kind: Any = DictReplayBufferSamples if self.sight.policy == "MultiInputPolicy" else ReplayBufferSamples
        column = self._column
        return kind(observations=self.see(batches.observations[k]), actions=self._stored(batches.actions[k]),
                    next_observations=self.see(batches.next_observations[k]),
                    dones=column(batches.terminated[k].astype(np.float32)), rewards=column(batches.rewards[k]),
                    discounts=None if batches.discounts is None else column(batches.discounts[k]))

    def _stored(self, actions: Array) -> Tensor:
        if isinstance(self.action_space, spaces.Box):
            rows = actions.reshape(len(actions), -1)
            return torch.as_tensor(self.policy.scale_action(rows), dtype=torch.float32, device=self.device)
        return self._column(actions - self.first_action)

    def _column(self, array: Array) -> Tensor:
        return torch.as_tensor(array, device=self.device)[:, None]


class DQNAgent(OffPolicyAgent):
    """`stable_baselines3.DQN`. Its target network is updated when the run crosses a multiple of the interval."""

    name, algorithm_class = "sb3-dqn", stable_baselines3.DQN
    _target_step = 0

    def arguments(self) -> dict[str, Any]:
        names = ("target_update_interval", "exploration_fraction", "exploration_initial_eps", "exploration_final_eps",
                 "max_grad_norm")
        return {**super().arguments(), **{name: getattr(self.config, name) for name in names}}

    @property
    def epsilon(self) -> float:
        """The chance of random actions at this step of the run."""
        return float(self.algorithm.exploration_schedule(1.0 - self.clock.fraction))

    def explore(self, observations: Array) -> Array:
        # One draw for all environments, as the library does it.
        if self.generator.random() < self.epsilon:
            return self.random(len(observations))
        return self.greedy(observations)

    def update(self, batches: Batches) -> Updated:
        interval = self.config.target_update_interval
        for _ in range(self.clock.step // interval - self._target_step // interval):
            polyak_update(self.algorithm.q_net.parameters(), self.algorithm.q_net_target.parameters(), self.config.tau)
        self._target_step = self.clock.step
        metrics = super().update(batches).metrics
        return Updated({**metrics, "rollout/exploration_rate": self.epsilon})

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "target_step": self._target_step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._target_step = state["target_step"]


class SACAgent(OffPolicyAgent):
    """`stable_baselines3.SAC`."""

    name, algorithm_class = "sb3-sac", stable_baselines3.SAC

    def __init__(self, config: Any, **context: Any) -> None:
        super().__init__(config, **context)
        self.noise = LastingNoise(self.policy.actor, config.sde_sample_freq, config.train_freq) if self.use_sde else None

    def arguments(self) -> dict[str, Any]:
        config, actions = self.config, float(np.prod(self.action_space.shape or (1,)))
        return {**super().arguments(), "ent_coef": "auto" if config.ent_coef is None else config.ent_coef,
                "target_entropy": -actions if config.target_entropy is None else config.target_entropy}


class DDPGAgent(OffPolicyAgent):
    """`stable_baselines3.DDPG`, exploring by normal noise."""

    name = "sb3-ddpg"
    algorithm_class: type[BaseAlgorithm] = stable_baselines3.DDPG

    def explore(self, observations: Array) -> Array:
        scaled = self.policy.scale_action(self.within(self.unscaled(self.preferred(observations))))
        noise = self.generator.standard_normal(scaled.shape) * self.config.noise_std
        return self.shaped(self.policy.unscale_action(np.clip(scaled + noise, -1.0, 1.0).astype(np.float32)))


class TD3Agent(DDPGAgent):
    """`stable_baselines3.TD3`, exploring by normal noise."""

    name, algorithm_class = "sb3-td3", stable_baselines3.TD3

    def arguments(self) -> dict[str, Any]:
        names = ("policy_delay", "target_policy_noise", "target_noise_clip")
        return {**super().arguments(), **{name: getattr(self.config, name) for name in names}}
