"""``sb3-ppo`` and ``sb3-a2c``: Stable-Baselines3's on-policy algorithms on the toolkit's rollouts.

Letters: T steps, N environments, B valid steps of a rollout.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import stable_baselines3
import torch
from stable_baselines3.common.type_aliases import DictRolloutBufferSamples, RolloutBufferSamples
from torch import Tensor

from toolkit.agents import returns
from toolkit.agents.base import Acted, Array, Cadence, Steps, Updated
from toolkit.bridges.sb3.base import SB3Agent
from toolkit.bridges.sb3.exploration import LastingNoise
from toolkit.config import Part


class GivenRollout:
    """Stands where the library has its rollout buffer: it gives what it was given, in a random order of its own."""

    generator: np.random.Generator

    def __init__(self, *arguments: Any, **more: Any) -> None:
        self.observations: Any = None
        self.columns: dict[str, Tensor] = {}

    def fill(self, observations: Any, **columns: Tensor) -> None:
        """``observations`` [B, ...] (or a dictionary of them) and columns [B, ...] of the same steps."""
        self.observations, self.columns = observations, columns
        self.values, self.returns = (columns[name].cpu().numpy() for name in ("old_values", "returns"))

    def get(self, batch_size: int | None = None) -> Iterator[Any]:
        """One pass over the rollout in minibatches."""
        count = len(self.returns)
        order = torch.from_numpy(self.generator.permutation(count))
        size = batch_size or count
        sample: Any = DictRolloutBufferSamples if isinstance(self.observations, dict) else RolloutBufferSamples
        for begin in range(0, count, size):
            chosen = order[begin:begin + size]
            yield sample(observations=rows(self.observations, chosen),
                         **{name: value[chosen] for name, value in self.columns.items()})


class OnPolicyAgent(SB3Agent):
    """Rollouts whose values and log-probabilities were noted when the policy acted."""

    def __init__(self, config: Any, **context: Any) -> None:
        super().__init__(config, **context)
        count = config.n_steps * self.n_envs
        self.cadence = Cadence(collect=count, updates=1, batch_size=count)
        self.buffer, self.buffer_size = Part("rollout"), count
        self.algorithm.rollout_buffer.generator = self.generator
        self.noise = LastingNoise(self.policy, config.sde_sample_freq, config.n_steps) if self.use_sde else None

    def arguments(self) -> dict[str, Any]:
        config = self.config
        return {"n_steps": config.n_steps, "gae_lambda": config.gae_lambda, "ent_coef": config.ent_coef,
                "vf_coef": config.vf_coef, "max_grad_norm": config.max_grad_norm, "rollout_buffer_class": GivenRollout,
                "normalize_advantage": config.normalize_advantage}

    def act(self, observations: Array, state: Array | None = None, mask: Array | None = None,
            deterministic: bool = False) -> Acted:
        if deterministic:
            return Acted(self.greedy(observations))
        self.policy.set_training_mode(False)
        with torch.no_grad(), self.randomness.drawing():
            if self.noise is not None:
                self.noise.before(len(observations))
            actions, values, log_probs = self.policy(self.see(observations))
        return Acted(self.for_environments(actions), {"drawn": actions.cpu().numpy(), "values": values.flatten().cpu().numpy(),
                                                      "log_probs": log_probs.cpu().numpy()})

    def update(self, steps: Steps) -> Updated:
        if not steps.count:
            return Updated({})
        self.fill(self.algorithm.rollout_buffer, steps)
        self.algorithm._current_progress_remaining = 1.0 - self.clock.fraction
        with self.randomness.drawing():
            self.algorithm.train()
        if self.noise is not None:
            self.noise.learned()
        return Updated(self.learned())

    def fill(self, rollout: GivenRollout, steps: Steps) -> None:
        """Advantages and the valid steps of a rollout, as the library wants them."""
        values = steps.extras["values"]  # [T, N]
        last = self.values_of(steps.observations[-1])[None]  # [1, N]
        following = returns.next_values(np.concatenate([values, last]), steps.final_rows, steps.final_copies,
                                        self.values_of(steps.final_observations))
        advantages = returns.generalized_advantages(steps.rewards.astype(np.float32), values, following, steps.terminated,
                                                    steps.truncated, self.config.gamma, self.config.gae_lambda)
        keep = np.flatnonzero(steps.valid)

        def flat(array: Array) -> Tensor:
            return torch.from_numpy(array.reshape(-1, *array.shape[2:])[keep]).to(self.device)

        observations = steps.observations[:-1]
        rollout.fill(self.sight(observations.reshape(-1, *observations.shape[2:])[keep]), actions=flat(steps.extras["drawn"]),
                     old_values=flat(values), old_log_prob=flat(steps.extras["log_probs"]), advantages=flat(advantages),
                     returns=flat(advantages + values))

    def values_of(self, observations: Array) -> Array:
        """Values [B] of observations [B, ...]."""
        if not len(observations):
            return np.zeros(0, np.float32)
        with torch.no_grad():
            found: Array = self.policy.predict_values(self.see(observations)).flatten().cpu().numpy()
        return found


class PPOAgent(OnPolicyAgent):
    """`stable_baselines3.PPO`."""

    name, algorithm_class = "sb3-ppo", stable_baselines3.PPO

    def arguments(self) -> dict[str, Any]:
        config = self.config
        return {**super().arguments(), "batch_size": config.batch_size, "n_epochs": config.n_epochs,
                "clip_range": self._scheduled(config.clip_range, "clip_range_schedule"), "clip_range_vf": config.clip_range_vf,
                "target_kl": config.target_kl}


class A2CAgent(OnPolicyAgent):
    """`stable_baselines3.A2C`."""

    name, algorithm_class = "sb3-a2c", stable_baselines3.A2C

    def arguments(self) -> dict[str, Any]:
        return {**super().arguments(), "use_rms_prop": self.config.use_rms_prop, "rms_prop_eps": self.config.rms_prop_eps}


def rows(observations: Any, chosen: Tensor) -> Any:
    """The rows ``chosen`` of observations [B, ...], or of each in a dictionary of them."""
    if isinstance(observations, dict):
        return {name: value[chosen] for name, value in observations.items()}
    return observations[chosen]
