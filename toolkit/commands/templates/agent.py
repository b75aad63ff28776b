"""An actor-critic agent: a policy and a value on one network, learned from whole rollouts.

Letters: T steps, N environments, A actions.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor, nn

from toolkit.agents.base import Acted, Array, Cadence, Steps, Updated
from toolkit.agents.checks import require_finite
from toolkit.agents.networks.fast import learning
from toolkit.config import Part
from toolkit.core.clock import Clock
from toolkit.core.seeding import GeneratorState, Streams
from toolkit.core.torch_optimizers import OptimizerState
from toolkit.registry import registry

ENTROPY_WEIGHT, VALUE_WEIGHT, MAX_NORM = 0.01, 0.5, 1.0


class Component:
    """Policy gradient with a learned baseline, for Discrete actions."""

    def __init__(self, config: Any, *, observation_space: gymnasium.Space[Any], action_space: gymnasium.spaces.Discrete,
                 n_envs: int, streams: Streams, clock: Clock, device: torch.device) -> None:
        self.config, self.clock = config, clock
        self.start = int(action_space.start)
        body = registry.make("network", config.network, observation_space=observation_space)
        self.module = nn.Sequential(body, nn.Linear(body.features, int(action_space.n) + 1)).to(device).eval()
        self.optimizer = torch.optim.Adam(self.module.parameters(), config.learning_rate)
        self.generator = streams.generator("acting")
        self.updates = 0
        rollout = config.n_steps * n_envs
        self.cadence = Cadence(collect=rollout, updates=1, batch_size=rollout)
        self.buffer, self.buffer_size = Part("rollout"), rollout

    def act(self, observations: Array, state: Array | None = None, mask: Array | None = None,
            deterministic: bool = False) -> Acted:
        with torch.no_grad():
            logits = self.module(torch.tensor(observations))[:, :-1].numpy()  # [N, A]
        # The largest of logits with Gumbel noise is a draw from their softmax.
        chosen = logits if deterministic else logits + self.generator.gumbel(size=logits.shape)
        return Acted(chosen.argmax(-1) + self.start)

    def update(self, steps: Steps) -> Updated:
        with learning(self.module):  # a network's dropout drops here alone
            outputs = self.module(torch.tensor(steps.observations[:-1]).flatten(0, 1))  # [T N, A + 1]
        log_probabilities, values = outputs[:, :-1].log_softmax(-1), outputs[:, -1]
        returns = torch.from_numpy(self.returns(steps)).float().flatten()
        valid = torch.from_numpy(steps.valid).flatten()
        actions = torch.from_numpy(steps.actions - self.start).flatten().long()
        taken = log_probabilities.gather(1, actions[:, None])[:, 0]
        policy_loss = -(taken * (returns - values.detach()))[valid].mean()
        value_loss = (returns - values)[valid].square().mean()
        entropy = -(log_probabilities.exp() * log_probabilities).sum(-1)[valid].mean()
        loss = policy_loss + VALUE_WEIGHT * value_loss - ENTROPY_WEIGHT * entropy
        self.optimizer.zero_grad()
        loss.backward()
        norm = float(nn.utils.clip_grad_norm_(self.module.parameters(), MAX_NORM))
        require_finite(norm, "component", self.clock.step, self.updates)
        self.optimizer.step()
        self.updates += 1
        return Updated({"train/loss": float(loss.detach()), "train/value_loss": float(value_loss.detach()),
                        "train/entropy_loss": -float(entropy.detach()), "train/n_updates": self.updates})

    def returns(self, steps: Steps) -> Array:
        """Discounted returns [T, N]; a truncated step goes on with the value of its true last observation."""
        following = self.values(steps.observations[1:].reshape(-1, *steps.observations.shape[2:]))
        following = following.reshape(steps.rewards.shape)  # [T, N]
        if len(steps.final_rows):
            following[steps.final_rows, steps.final_copies] = self.values(steps.final_observations)
        following[steps.terminated] = 0.0
        ended = steps.terminated | steps.truncated
        found = np.zeros_like(steps.rewards)
        later = following[-1]
        for row in range(len(found) - 1, -1, -1):
            later = steps.rewards[row] + self.config.gamma * np.where(ended[row], following[row], later)
            found[row] = later
        return found

    def values(self, observations: Array) -> Array:
        """The values [B] of observations [B, ...]."""
        with torch.no_grad():
            found: Array = self.module(torch.tensor(observations))[:, -1].double().numpy()
        return found

    def parameters(self) -> dict[str, Tensor]:
        return {name: value.detach() for name, value in self.module.named_parameters()}

    def state_dict(self) -> dict[str, Any]:
        return {"module": dict(self.module.state_dict()), "optimizer": OptimizerState(self.optimizer).state_dict(),
                "generator": GeneratorState(self.generator).state_dict(), "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.module.load_state_dict(state["module"])
        OptimizerState(self.optimizer).load_state_dict(state["optimizer"])
        GeneratorState(self.generator).load_state_dict(state["generator"])
        self.updates = state["updates"]
