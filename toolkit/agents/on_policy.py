"""What the on-policy agents share: acting, preparing a rollout, saving.

Values and log-probabilities of a rollout are computed in one pass when it is complete: the
parameters do not change while it is collected, so the numbers are those of the acting policy, and
acting itself needs the policy's outputs alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from toolkit.agents import returns
from toolkit.agents.base import Acted, Array, Cadence, Steps
from toolkit.agents.checks import require_action_space, require_finite
from toolkit.agents.distributions import Distribution, distribution_for, to_dtype
from toolkit.agents.gsde import StateDependent
from toolkit.agents.normalization import RewardNormalizer, Sight
from toolkit.agents.policy import ActorCritic
from toolkit.config import Part
from toolkit.core.clock import Clock
from toolkit.core.flat import FlatParameters, named_parameters
from toolkit.core.seeding import Streams
from toolkit.errors import UsageError
from toolkit.registry import registry


@dataclass
class Rollout:
    """The valid steps of a rollout, flattened to B, as tensors."""

    observations: Tensor  # [B, ...]
    actions: Tensor  # [B, ...] as the policy gave them, before clipping to the space; prepared for its distribution
    advantages: Tensor  # [B]
    returns: Tensor  # [B]
    values: Tensor  # [B]
    masks: Tensor | None = None  # [B, A] actions that were allowed

    def select(self, index: Tensor) -> Rollout:
        """The steps at ``index``."""
        masks = None if self.masks is None else self.masks[index]
        return Rollout(self.observations[index], self.actions[index], self.advantages[index], self.returns[index],
                       self.values[index], masks)

    def between(self, begin: int, end: int) -> Rollout:
        """The steps from ``begin`` to ``end``, without a copy."""
        masks = None if self.masks is None else self.masks[begin:end]
        return Rollout(self.observations[begin:end], self.actions[begin:end], self.advantages[begin:end],
                       self.returns[begin:end], self.values[begin:end], masks)

    def __len__(self) -> int:
        return len(self.advantages)


class Reach(NamedTuple):
    """How the numbers that a policy draws become actions: ``centre + half * drawn``, each of the action's shape."""

    centre: Array
    half: Array


def reach_of(space: gymnasium.Space[Any]) -> Reach | None:
    """What a Gaussian policy, which begins with mean 0 and deviation 1, needs to act all over a Box; None where that does.

    A number whose bounds hold 0 and are 0.1 to 10 from their middle is drawn as it is, as one without bounds; another is
    drawn for -1 to 1.
    """
    if not isinstance(space, spaces.Box):
        return None
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    with np.errstate(invalid="ignore"):
        centre, half = (low + high) / 2, (high - low) / 2
    as_it_is = ~np.isfinite(half) | (half == 0) | ((low <= 0) & (high >= 0) & (half >= 0.1) & (half <= 10))
    if as_it_is.all():
        return None
    return Reach(np.where(as_it_is, 0, centre).astype(np.float32), np.where(as_it_is, 1, half).astype(np.float32))


class OnPolicyAgent:
    """Networks, acting and saving of an on-policy agent; subclasses write `update`.

    ``config`` needs the fields that `toolkit.agents.configs.OnPolicyConfig` lists, and for `prepare` also ``gae_lambda``.
    """

    name = ""

    def __init__(self, config: Any, *, observation_space: gymnasium.Space[Any], action_space: gymnasium.Space[Any],
                 n_envs: int = 1, streams: Streams | None = None, clock: Clock | None = None,
                 device: torch.device | str = "cpu") -> None:
        require_action_space(self.name, action_space)
        streams = streams or Streams(0)
        self.config, self.clock, self.device = config, clock or Clock(budget=1), torch.device(device)
        self.action_space = action_space
        self.generator, self.shuffling = streams.generator("acting"), streams.generator("shuffling")
        self.cadence = Cadence(config.n_steps * n_envs, updates=1, batch_size=config.n_steps * n_envs)
        self.buffer, self.buffer_size = Part("rollout"), config.n_steps * n_envs
        self.distribution = self._distribution()
        self.reach = reach_of(action_space)
        self.masked = config.action_masking
        if self.masked and not isinstance(action_space, (spaces.Discrete, spaces.MultiDiscrete)):
            raise UsageError(f"action_masking needs Discrete or MultiDiscrete actions; this environment's are {action_space}. "
                             "Leave out --action-masking")
        self.policy = self._make_policy(observation_space)
        self.flat = FlatParameters(self.policy)
        self.schedule = registry.make("scheduler", config.learning_rate_schedule)
        self.sight = Sight(config, observation_space)
        self.reward_normalizer = RewardNormalizer(n_envs, config.gamma) if config.normalize_rewards else None
        self._updates = 0
        self._outputs: Any = None

    def _distribution(self) -> Distribution:
        config = self.config
        if not config.use_sde:
            return distribution_for(self.action_space)
        if not isinstance(self.action_space, spaces.Box):
            raise UsageError(f"use_sde needs Box actions; this environment's are {self.action_space}. Leave out --use-sde")
        if config.share_network or getattr(config, "recurrent", False):
            raise UsageError("use_sde works with separate, feed-forward networks; leave out --share-network and --recurrent")
        return StateDependent(self.action_space.shape, config.sde_sample_freq if config.sde_sample_freq > 0 else config.n_steps)

    def _make_policy(self, observation_space: gymnasium.Space[Any]) -> ActorCritic:
        config = self.config
        return ActorCritic(
            config.network, observation_space, self.distribution, share=config.share_network,
            orthogonal=config.orthogonal_init, log_std_init=config.log_std_init,
            critic=getattr(config, "baseline", True)).to(self.device)

    # -- acting

    def act(self, observations: Array, state: Array | None = None, mask: Array | None = None,
            deterministic: bool = False) -> Acted:
        observations = self.sight(observations)
        if self._outputs is None:
            self._outputs = self.policy.actor.acting()
        return self.choose(self._outputs(observations), mask, deterministic)

    def choose(self, outputs: Array, mask: Array | None, deterministic: bool) -> Acted:
        """Actions for policy outputs [N, A]."""
        if mask is not None:
            outputs = np.where(mask, outputs, np.float32(-1e8))
        if deterministic:
            return Acted(self._within(self.distribution.mode(outputs)))
        # On the CPU a view of the parameter; on a GPU a copy, so it is read anew for every action.
        log_std = None if self.policy.log_std is None else self.policy.log_std.detach().cpu().numpy()
        actions = self.distribution.sample(outputs, log_std, self.generator)
        extras = {} if mask is None else {"masks": mask}
        if log_std is None:
            return Acted(actions, extras)
        # The policy learns from what it drew; the environment gets what it allows.
        return Acted(self._within(actions), {"drawn": actions, **extras})

    def _within(self, actions: Array) -> Array:
        """What the environment gets for drawn ``actions`` [N, ...]."""
        if not isinstance(self.action_space, spaces.Box):
            return actions
        if self.reach is not None:
            actions = self.reach.centre + self.reach.half * actions
        return to_dtype(np.clip(actions, self.action_space.low, self.action_space.high), self.action_space.dtype)

    # -- preparing a rollout

    @torch.no_grad()
    def prepare(self, steps: Steps) -> Rollout:
        """Normalise, value, and flatten the valid steps of a rollout."""
        observations, finals = self.sight(steps.observations), self.sight(steps.final_observations)
        rewards = steps.rewards if self.reward_normalizer is None else self.reward_normalizer(steps)
        rows, copies = steps.rewards.shape
        flat = observations.reshape(-1, *observations.shape[2:])  # [(T + 1) * N, ...]
        values = self.policy.values_of(flat).reshape(rows + 1, copies)  # [T + 1, N]
        following = returns.next_values(values, steps.final_rows, steps.final_copies, self.policy.values_of(finals))
        advantages = returns.generalized_advantages(
            rewards.astype(np.float32), values[:-1], following, steps.terminated, steps.truncated,
            self.config.gamma, self.config.gae_lambda)
        rollout = self._flatten(steps, flat[:rows * copies], advantages, values[:-1])
        self.sight.take_in(steps)
        return rollout

    def _flatten(self, steps: Steps, observations: Array, advantages: Array, values: Array) -> Rollout:
        actions = steps.extras.get("drawn", steps.actions)
        masks = steps.extras.get("masks")
        keep = None if steps.valid.all() else np.flatnonzero(steps.valid)

        def flat(array: Array) -> Tensor:
            rows = array.reshape(-1, *array.shape[2:])
            return torch.from_numpy(rows if keep is None else rows[keep]).to(self.device)

        return Rollout(
            torch.from_numpy(observations if keep is None else observations[keep]).to(self.device),
            self.distribution.prepare(flat(actions)), flat(advantages), flat(advantages + values), flat(values),
            None if masks is None else flat(masks))

    def write_log_std_gradient(self, gradient: Tensor | None) -> None:
        """Put the gradient by the log standard deviation where the optimizer looks; None where there is none."""
        if gradient is not None and self.policy.log_std is not None and self.policy.log_std.grad is not None:
            self.policy.log_std.grad.copy_(gradient)

    def learning_rate(self) -> float:
        return float(self.config.learning_rate * self.schedule(self.clock.fraction))

    def descend(self, optimizer: Any, learning_rate: float) -> None:
        """Clip, check and take one optimizer step with the gradients that are there."""
        norm = self.flat.clip(self.config.max_grad_norm)
        require_finite(norm, self.name, self.clock.step, self._updates)
        optimizer.step(learning_rate)
        self._updates += 1

    # -- saving

    def parameters(self) -> dict[str, Tensor]:
        return named_parameters({"policy": self.policy})

    def initialise(self, state: dict[str, Any]) -> None:
        """Take the policy (and the statistics of its observations) of another run, and nothing else."""
        self._take_policy(state)
        self.sight.load(state)

    def state_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = {
            "policy": self.policy.state_dict(), "optimizer": self.optimizer.state_dict(), "updates": self._updates,
            "generator": self.generator.bit_generator.state, "shuffling": self.shuffling.bit_generator.state,
            "reaches": self.reach is not None,
        }
        state.update({name: part.state_dict() for name, part in self._extra_parts().items()})
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._take_policy(state)
        self.optimizer.load_state_dict(state["optimizer"])
        self._updates = state["updates"]
        self.generator.bit_generator.state = state["generator"]
        self.shuffling.bit_generator.state = state["shuffling"]
        for name, part in self._extra_parts().items():
            part.load_state_dict(state[name])

    def _take_policy(self, state: dict[str, Any]) -> None:
        self.policy.load_state_dict(state["policy"])
        if not state.get("reaches", False):  # one of an earlier version learned to draw the environment's own numbers
            self.reach = None

    def _extra_parts(self) -> dict[str, Any]:
        noise = self.distribution.noise if isinstance(self.distribution, StateDependent) else None
        parts = {"observation_normalizer": self.sight.normalizer, "reward_normalizer": self.reward_normalizer,
                 "exploration": noise}
        return {name: part for name, part in parts.items() if part is not None}

    optimizer: Any
