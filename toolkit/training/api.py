"""The command line's words, from Python: ``train``, ``load``, and the run they give."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from toolkit.agents.base import Agent
from toolkit.config import flatten
from toolkit.envs import packing, spaces
from toolkit.envs.base import EnvSpec
from toolkit.registry import registry
from toolkit.training import setup
from toolkit.training.evaluation import Evaluation, evaluate_agent
from toolkit.training.resolve import plan, read_file
from toolkit.training.run_directory import RunDirectory, find_run


class Run:
    """A run on the disk: its policy, its evaluation, and the facts about it."""

    def __init__(self, directory: RunDirectory, step: int | None = None) -> None:
        self.directory, self.step = directory, step
        self._agent: Agent | None = None

    @property
    def path(self) -> Path:
        return self.directory.path

    @property
    def facts(self) -> dict[str, Any]:
        """The content of ``run.json``."""
        return self.directory.read()

    @property
    def evaluation(self) -> Mapping[str, Any]:
        """The evaluation at the end of the run: ``{"mean_return", "std_return", "episodes", "returns"}``."""
        return dict(self.facts.get("evaluation", {}))

    @property
    def agent(self) -> Agent:
        if self._agent is None:
            self._agent = setup.load_agent(self.directory, self.step)
        return self._agent

    @cached_property
    def observation_space(self) -> gymnasium.Space[Any]:
        return spaces.from_json(self.facts["spaces"]["observation"])

    def predict(self, observation: Any, state: Any = None, deterministic: bool = True) -> tuple[Any, Any]:
        """The action for one observation, or the actions for a batch of them, and the recurrent state."""
        space = self.observation_space
        if packing.is_packed(space):
            acted = self.agent.act(packing.pack(space, observation)[None], state, deterministic=deterministic)
            return acted.actions[0], acted.state
        array = np.asarray(observation, dtype=space.dtype)
        single = array.shape == space.shape
        acted = self.agent.act(array[None] if single else array, state, deterministic=deterministic)
        return (acted.actions[0] if single else acted.actions), acted.state

    def evaluate(self, episodes: int = 100, env: str | None = None, seed: int | None = None) -> Evaluation:
        """Evaluate the policy with deterministic actions; the result is also kept in ``evaluations/``."""
        facts = self.facts
        config = setup.plan_of(facts)
        spec = EnvSpec(env or config.subject, {} if env and env != config.subject else config.env_options)
        seed = facts["seeds"]["evaluation"] if seed is None else seed
        evaluation = evaluate_agent(self.agent, spec, episodes, seed)
        step = self.step if self.step is not None else setup.newest(self.directory)
        self.directory.write_evaluation(f"{step}-seed{seed}-{episodes}",
                                        {"step": step, **evaluation.summary, **evaluation.details})
        return evaluation


def train(name: str, *, config: str | None = None, preset: str | None = None, out: str | None = None,
          init_from: str | None = None, **settings: Any) -> Run:
    """Train as ``toolkit run NAME`` does. ``settings`` are its flags: ``env="CartPole-v1", steps=50_000``.

    Settings of parts are given as a dictionary: ``network={"name": "mlp", "hidden_sizes": (64, 64)}``.
    """
    entry = registry.get(("agent", "task"), name)
    resolved = plan(entry, flatten(settings), read_file(config) if config else None, preset)
    return Run(setup.start(resolved, out, init_from).directory)


def load(run: str | Path) -> Run:
    """A run by its folder, a checkpoint's folder, or ``latest``. Loading executes nothing from it."""
    return Run(*find_run(str(run)))
