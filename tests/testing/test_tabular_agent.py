"""An agent for observations that are numbers alone (a table of values, no network) keeps every promise of the suite."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from toolkit.agents.base import Acted, Array, Cadence, Steps, Updated
from toolkit.config import Part, setting
from toolkit.core.clock import Clock
from toolkit.core.seeding import GeneratorState, Streams
from toolkit.errors import UsageError
from toolkit.registry import registry
from toolkit.testing import trivial
from toolkit.testing.suite import BROKEN, examine, suite_for
from toolkit.training.api import train

pytestmark = pytest.mark.usefixtures("only_here")


@dataclass(frozen=True)
class TableConfig:
    learning_rate: float = setting(0.2, "how far a value moves towards its target", above=0, maximum=1)
    gamma: float = setting(0.99, "discount", minimum=0, maximum=1)
    epsilon: float = setting(0.3, "share of random actions", minimum=0, maximum=1)


class Table:
    """Q-learning (Watkins, 1989) on a table [states, actions]."""

    def __init__(self, config: TableConfig, *, observation_space: gymnasium.Space[Any], action_space: Any, n_envs: int,
                 streams: Streams, clock: Clock, device: torch.device) -> None:
        if not isinstance(observation_space, gymnasium.spaces.Discrete):
            raise UsageError(f"a table has a row for each observation: got {observation_space}, allowed: Discrete")
        self.config, self.values = config, np.zeros((int(observation_space.n), int(action_space.n)))
        self.generator = streams.generator("acting")
        self.cadence = Cadence(collect=8 * n_envs, updates=1, batch_size=8 * n_envs)
        self.buffer, self.buffer_size = Part("rollout"), 8 * n_envs

    def act(self, observations: Array, state: Any = None, mask: Any = None, deterministic: bool = False) -> Acted:
        best = self.values[observations].argmax(-1)
        if deterministic:
            return Acted(best)
        random = self.generator.random(len(best)) < self.config.epsilon
        return Acted(np.where(random, self.generator.integers(self.values.shape[1], size=len(best)), best))

    def update(self, steps: Steps) -> Updated:
        errors = []
        following = steps.observations[1:].copy()  # [T, N]
        following[steps.final_rows, steps.final_copies] = steps.final_observations
        for row, copy in zip(*np.nonzero(steps.valid), strict=True):
            here = steps.observations[row, copy], steps.actions[row, copy]
            later = 0.0 if steps.terminated[row, copy] else self.values[following[row, copy]].max()
            errors.append(steps.rewards[row, copy] + self.config.gamma * later - self.values[here])
            self.values[here] += self.config.learning_rate * errors[-1]
        return Updated({"train/loss": float(np.square(errors).mean())})

    def parameters(self) -> dict[str, torch.Tensor]:
        return {"values": torch.from_numpy(self.values)}

    def state_dict(self) -> dict[str, Any]:
        return {"values": self.values, "generator": GeneratorState(self.generator).state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.values[...] = state["values"]
        GeneratorState(self.generator).load_state_dict(state["generator"])


def test_a_table_of_values_keeps_every_promise() -> None:
    registry.register("agent", "table", config=TableConfig, accepts=("Discrete",))(Table)
    suite = suite_for(registry.get("agent", "table"))
    assert getattr(suite, "environments") == [trivial.names_of("Discrete")[1]]  # noqa: B009 (of suites of agents)
    verdicts = list(examine(suite))
    assert not [verdict for verdict in verdicts if verdict.status == BROKEN]
    assert any(verdict.name == "it_learns_a_trivial_environment" and verdict.status == "kept" for verdict in verdicts), verdicts


def test_it_trains_where_observations_are_numbers_and_says_so_elsewhere(tmp_path: Path) -> None:
    registry.register("agent", "table", config=TableConfig, accepts=("Discrete",))(Table)
    run = train("table", env="CliffWalking-v1", steps=12_000, seed=1, max_episode_steps=100, out=tmp_path / "run")
    assert run.evaluation["mean_return"] >= -17  # the shortest way costs 13, the safe one 17
    with pytest.raises(UsageError, match="allowed: Discrete"):
        train("table", env="CartPole-v1", steps=100, out=tmp_path / "other")
