"""The command line's words, from Python: ``train``, ``load``, and the run they give."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property, reduce
from operator import getitem
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from toolkit.agents.base import Acted, Agent
from toolkit.config import flatten
from toolkit.envs import factory, packing, spaces
from toolkit.envs.base import EnvSpec
from toolkit.errors import UsageError
from toolkit.registry import registry
from toolkit.training import sessions, setup
from toolkit.training.evaluation import Evaluation, evaluate_agent
from toolkit.training.resolve import plan, read_file, too_short
from toolkit.training.run_directory import RunDirectory, find_run
from toolkit.training.supervised_run import RunFolder, TaskRun


class Run(RunFolder):
    """The run of an agent: its policy and how it plays."""

    def __init__(self, directory: RunDirectory, step: int | None = None) -> None:
        super().__init__(directory, step)
        self._agent: Agent | None = None

    @property
    def agent(self) -> Agent:
        if self._agent is None:
            self._agent = setup.load_agent(self.directory, self.step, self.plan)
        return self._agent

    @cached_property
    def observation_space(self) -> gymnasium.Space[Any]:
        return spaces.from_json(self.facts["spaces"]["observation"])

    @cached_property
    def action_space(self) -> gymnasium.Space[Any]:
        return spaces.from_json(self.facts["spaces"]["action"])

    def predict(self, observation: Any, state: Any = None, deterministic: bool = True) -> tuple[Any, Any]:
        """The action for one observation, or the actions for a batch of them, and the recurrent state.

        Raises UsageError for another shape, and for numbers that the space's type cannot hold, as a picture from 0 to 1, or that
        are not finite.
        """
        space = self.observation_space
        if packing.is_packed(space):
            for leaf in packing.layout(space).leaves:
                unchanged(reduce(getitem, leaf.keys, observation), leaf.space, f" at {leaf.path!r}")
            acted = self._act(packing.pack(space, observation)[None], state, deterministic)
            return acted.actions[0], acted.state
        array = unchanged(observation, space)
        single = array.shape == space.shape
        if not single and array.shape[1:] != space.shape:
            raise UsageError(f"predict: got an observation of shape {array.shape}, allowed: {space.shape}, or a batch "
                             f"[N, ...] of such; this policy sees {space}")
        acted = self._act(array[None] if single else array, state, deterministic)
        return (acted.actions[0] if single else acted.actions), acted.state

    def _act(self, observations: Any, state: Any, deterministic: bool) -> Acted:
        perception = getattr(self.agent, "perception", None)
        return self.agent.act(observations if perception is None else perception(observations), state,
                              deterministic=deterministic)

    def evaluate(self, episodes: int = 100, env: str | None = None, seed: int | None = None,
                 env_options: Mapping[str, Any] | None = None, max_episode_steps: int | None = None) -> Evaluation:
        """Evaluate the policy with deterministic actions; the result is also kept in ``evaluations/``.

        ``env_options`` are options for the environment's constructor beside the run's own, or in their place.
        ``max_episode_steps`` cuts episodes, instead of the run's own limit.
        """
        for name, value in (("episodes", episodes), ("max_episode_steps", max_episode_steps)):
            if value is not None and value < 1:
                raise UsageError(f"{name}: got {value}, allowed: a whole number at least 1")
        facts = self.facts
        spec = setup.env_spec(self.plan, env, env_options, max_episode_steps).for_evaluation()
        if env or env_options:
            self._require_spaces_of(spec)
        seed = facts["seeds"]["evaluation"] if seed is None else seed
        evaluation = evaluate_agent(self.agent, spec, episodes, seed)
        self.keep(f"seed{seed}-{episodes}", evaluation)
        return evaluation

    def _require_spaces_of(self, spec: EnvSpec) -> None:
        """Raise UsageError unless the policy can see and act in the environment."""
        other = factory.make_one(spec)
        other.close()
        for own, theirs, what in ((self.observation_space, other.observation_space, "observations"),
                                  (self.action_space, other.action_space, "actions")):
            if not alike(own, theirs):
                raise UsageError(f"{spec.id} does not suit this policy: its {what} are {theirs}, and those of "
                                 f"{self.facts['subject']}, which it was trained on, are {own}")


def unchanged(given: Any, space: gymnasium.Space[Any], where: str = "") -> NDArray[Any]:
    """``given`` as an array of ``space``'s type; floats may be rounded to it, whole numbers must be whole and within its range.

    Raises UsageError, also for what is not finite: no policy has an answer to that, but would give one.
    """
    dtype = np.dtype(space.dtype)
    try:
        array = np.asarray(given)
    except ValueError:  # nested unevenly
        array = np.asarray(None)
    numbers = array.dtype.kind in "biuf"
    with np.errstate(invalid="ignore", over="ignore"):
        converted = array.astype(dtype) if numbers else array
    if numbers and (np.isfinite(converted).all() if dtype.kind == "f" else np.array_equal(array, converted)):
        return converted
    found = f"of {array.dtype} from {array.min():g} to {array.max():g}" if numbers and array.size else f"of {array.dtype}"
    allowed = f"whole numbers from {np.iinfo(dtype).min} to {np.iinfo(dtype).max}" if dtype.kind in "iu" else "finite numbers"
    raise UsageError(f"predict: got an observation{where} {found}, allowed: {allowed} ({dtype}), as the environment gives them; "
                     f"this policy sees {space}")


def alike(one: gymnasium.Space[Any], other: gymnasium.Space[Any]) -> bool:
    """Whether elements of two spaces have the same form; bounds may differ."""
    if packing.is_packed(one) or packing.is_packed(other):
        if not (packing.is_packed(one) and packing.is_packed(other)):
            return False
        leaves = [packing.layout(space).leaves for space in (one, other)]
        return [leaf.path for leaf in leaves[0]] == [leaf.path for leaf in leaves[1]] and all(
            alike(mine.space, theirs.space) for mine, theirs in zip(*leaves, strict=True))
    return type(one) is type(other) and one.shape == other.shape and one.dtype == other.dtype and all(
        np.array_equal(getattr(one, name, 0), getattr(other, name, 0)) for name in ("n", "nvec", "start"))


def train(name: str, *, config: str | None = None, preset: str | None = None, out: str | None = None,
          init_from: str | None = None, **settings: Any) -> Run | TaskRun:
    """Train as ``toolkit run NAME`` does. ``settings`` are its flags: ``env="CartPole-v1", steps=50_000``.

    Settings of parts are given as a dictionary: ``network={"name": "mlp", "hidden_sizes": (64, 64)}``.
    """
    entry = registry.get(("agent", "task"), name)
    resolved = plan(entry, flatten(settings), read_file(config) if config is not None else None, preset)

    def begun(facts: Sequence[str]) -> None:
        if short := too_short(resolved):
            warnings.warn(short, stacklevel=4)  # where `train` was called

    return opened(sessions.start(resolved, out, init_from, begun).directory)


def load(run: str | Path) -> Run | TaskRun:
    """A run by its folder, a checkpoint's folder, or ``latest``. Loading executes nothing from it."""
    return opened(*find_run(str(run)))


def opened(directory: RunDirectory, step: int | None = None) -> Run | TaskRun:
    """The run of an agent or of a task."""
    return TaskRun(directory, step) if directory.read().get("kind") == "task" else Run(directory, step)
