"""What SAC and TD3 share: action scaling, critics and their targets, warm-up, saving.

Letters: K minibatches, B transitions, S encoded observation, A action, N environments. The policy
works in [-1, 1]; environments and the buffer see the space's own scale.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium
import numpy as np
import torch
from torch import Tensor, nn

from toolkit.agents.base import Acted, Array, Batches, Cadence, Steps
from toolkit.agents.checks import require_action_space, require_finite
from toolkit.agents.distributions import float_bounds, to_dtype
from toolkit.agents.networks.body import make_body
from toolkit.agents.networks.fast import forward_of, path_of
from toolkit.agents.networks.mlp import Headed
from toolkit.agents.normalization import Sight
from toolkit.agents.q_learning import buffer_part
from toolkit.agents.twin_critics import TwinCritics, require_vectors
from toolkit.core.averaging import TailAverage
from toolkit.core.clock import Clock
from toolkit.core.flat import FlatParameters, named_parameters
from toolkit.core.optimizers import FlatAdam
from toolkit.core.seeding import Streams
from toolkit.errors import UsageError
from toolkit.registry import registry


class Phase(NamedTuple):
    """All minibatches of a training phase, as tensors; actions are in [-1, 1]."""

    observations: Tensor  # [K, B, ...] as stored, for the actor
    inputs: Tensor  # [K, B, S], encoded, for the critics
    pairs: Tensor  # [K, B, S + A], observations beside the actions taken
    rewards: Tensor  # [K, B]
    discounts: Tensor  # [K, B], zero where the episode terminated
    following: Tensor  # [K, B, ...] the next observations as stored
    next_inputs: Tensor  # [K, B, S]
    weights: Tensor | None  # [K, B]


class ContinuousAgent:
    """Actor, twin critics and their targets; members write `explore` and `update`."""

    name = ""
    actor_width = 1  # outputs of the actor for each element of an action

    def __init__(self, config: Any, *, observation_space: gymnasium.Space[Any], action_space: gymnasium.Space[Any],
                 n_envs: int = 1, streams: Streams | None = None, clock: Clock | None = None,
                 device: torch.device | str = "cpu") -> None:
        require_action_space(self.name, action_space)
        self._low, self._high = bounds(self.name, action_space)
        require_vectors(self.name, observation_space)
        streams = streams or Streams(0)
        self.config, self.clock, self.device = config, clock or Clock(budget=1), torch.device(device)
        self.action_space, self.n_envs = action_space, n_envs
        self.generator, self.noise = streams.generator("acting"), streams.generator("update noise")
        self.size = int(np.prod(action_space.shape or (1,)))
        self.cadence = Cadence(config.train_freq, config.gradient_steps, config.batch_size, config.learning_starts)
        self.buffer, self.buffer_size = buffer_part(config), config.buffer_size
        self.sight = Sight(config, observation_space)
        self._make_networks(observation_space)
        self.schedule = registry.make("scheduler", config.learning_rate_schedule)
        self._updates = 0

    def _make_networks(self, observation_space: gymnasium.Space[Any]) -> None:
        network, batch = self.config.network, self.config.batch_size
        body = make_body(network, observation_space)
        self.actor = self._make_actor(body).to(self.device)
        self.critics, self.target_critics = (TwinCritics(network, observation_space, self.size).to(self.device) for _ in range(2))
        self.encoder = self.critics.encoder
        self.flat_actor, self.flat_critics = FlatParameters(self.actor), FlatParameters(self.critics)
        self.flat_target = FlatParameters(self.target_critics)
        self.flat_critics.blend_into(self.flat_target, 1.0)
        self.actor_optimizer, self.critic_optimizer = FlatAdam(self.flat_actor), FlatAdam(self.flat_critics)
        self._outputs = self.actor.acting()
        share = self.config.average_fraction
        self.average = TailAverage(self.flat_actor, share, self.clock) if share else None
        self._average_outputs = self._outputs if self.average is None else self.average.module.acting()
        self._actor_path, self._next_actions = path_of(self.actor, batch), forward_of(self.actor, batch)
        self._critics, self._target = self.critics.path(batch), self.target_critics.path(batch, learns=False)

    def _make_actor(self, body: nn.Module) -> Headed:
        return Headed(body, self.actor_width * self.size)

    # -- acting

    def act(self, observations: Array, state: Array | None = None, mask: Array | None = None,
            deterministic: bool = False) -> Acted:
        count, observations = len(observations), self.sight(observations)
        if not deterministic and self.clock.step < self.config.learning_starts:
            return Acted(self.to_environment(self.generator.uniform(-1, 1, (count, self.size)).astype(np.float32)))
        if deterministic:
            outputs = self._average_outputs if self.average else self._outputs
            return Acted(self.to_environment(self.mode(outputs(observations))))
        actions, after = self.explore(self._outputs(observations), state)  # from [N, width * A]
        return Acted(self.to_environment(actions), state=after)

    def mode(self, outputs: Array) -> Array:
        """The policy's own action in [-1, 1], [N, A]."""
        raise NotImplementedError

    def explore(self, outputs: Array, state: Array | None) -> tuple[Array, Array | None]:
        """An exploring action in [-1, 1], [N, A], and the recurrent state after it, of exploration that has one."""
        raise NotImplementedError

    def to_environment(self, actions: Array) -> Array:
        """From [-1, 1] [N, A] to the space's bounds and shape."""
        low, high = self._low, self._high
        shaped = actions.reshape(-1, *low.shape)
        return to_dtype(np.clip(low + (shaped + 1.0) * 0.5 * (high - low), low, high), self.action_space.dtype)

    # -- updating

    def observe(self, steps: Steps) -> None:
        self.sight.take_in(steps)

    def _phase(self, batches: Batches) -> Phase:
        low, high = self._low.reshape(-1), self._high.reshape(-1)
        flat = batches.actions.reshape(*batches.rewards.shape, self.size)
        actions = (2.0 * (flat - low) / (high - low) - 1.0).astype(np.float32)
        discounts = self.config.gamma if batches.discounts is None else self._tensor(batches.discounts)
        observations, following = (self._tensor(self.sight(seen)) for seen in (batches.observations, batches.next_observations))
        inputs, next_inputs = self._encode(observations), self._encode(following)
        return Phase(
            observations, inputs, torch.cat([inputs, self._tensor(actions)], -1), self._tensor(batches.rewards),
            self._tensor(~batches.terminated) * discounts, following, next_inputs,
            None if batches.weights is None else self._tensor(batches.weights))

    def _encode(self, observations: Tensor) -> Tensor:
        """Observations [K, B, ...] as inputs [K, B, S]."""
        if self.encoder.plain:
            return observations
        return self.encoder(observations.flatten(0, 1)).unflatten(0, observations.shape[:2])

    def _learn_critics(self, inputs: Tensor, goals: Tensor, weights: Tensor | None, scale: float, learning_rate: float) -> Tensor:
        """One step on ``scale * sum over both critics of mean((q - goal)**2)``; the errors [2, B]."""
        errors = self._critics.forward(inputs) - goals  # [2, B]
        slope = errors * (2.0 * scale / errors.shape[1])
        self._critics.backward(slope if weights is None else slope * weights)
        self._step(self.flat_critics, self.critic_optimizer, learning_rate)
        return errors

    def _step(self, flat: FlatParameters, optimizer: FlatAdam, learning_rate: float) -> None:
        require_finite(flat.clip(None), self.name, self.clock.step, self._updates)
        optimizer.step(learning_rate)

    def _learned(self) -> None:
        """What follows a training phase."""
        if self.average is not None:
            self.average.add()

    def learning_rate(self) -> float:
        return float(self.config.learning_rate * self.schedule(self.clock.fraction))

    def _tensor(self, array: Array) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    def _normals(self, *shape: int) -> Tensor:
        return self._tensor(self.noise.standard_normal(shape, dtype=np.float32))

    # -- saving

    def _modules(self) -> dict[str, nn.Module]:
        return {"actor": self.actor, "critics": self.critics}

    def parameters(self) -> dict[str, Tensor]:
        averaged = {} if self.average is None else {"average": self.average.module}
        return named_parameters({**self._modules(), **averaged})

    def initialise(self, state: dict[str, Any]) -> None:
        """Take the networks of another run of the same agent, and nothing else of it."""
        for name, module in self._modules().items():
            module.load_state_dict(state[name])
        self.flat_critics.blend_into(self.flat_target, 1.0)
        self.sight.load(state)

    def state_dict(self) -> dict[str, Any]:
        averaged = {} if self.average is None else {"average": self.average.state_dict()}
        return {
            **averaged, **{name: module.state_dict() for name, module in self._modules().items()},
            "target_critics": self.target_critics.state_dict(), "actor_optimizer": self.actor_optimizer.state_dict(),
            "critic_optimizer": self.critic_optimizer.state_dict(), "generator": self.generator.bit_generator.state,
            "noise": self.noise.bit_generator.state, "updates": self._updates, **self.sight.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, module in self._modules().items():
            module.load_state_dict(state[name])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.target_critics.load_state_dict(state["target_critics"])
        self.actor_optimizer.load_state_dict(state["actor_optimizer"])
        self.critic_optimizer.load_state_dict(state["critic_optimizer"])
        self.generator.bit_generator.state, self.noise.bit_generator.state = state["generator"], state["noise"]
        self._updates = state["updates"]
        self.sight.load(state)


def bounds(agent: str, space: Any) -> tuple[Array, Array]:
    """The lowest and the highest actions of a Box as floats; raises UsageError where [-1, 1] cannot be scaled to them."""
    low, high = float_bounds(space)
    with np.errstate(over="ignore", invalid="ignore"):
        room = high - low
    if not (np.isfinite(room).all() and (room > 0).all()):
        raise UsageError(f"{agent} needs actions with finite bounds that differ, and not by more than {low.dtype} can hold; this "
                         f"environment's are {space}. Give it bounds with a wrapper, or use ppo")
    return low, high
