"""The command line's words, from Python: ``train``, ``load``, and the run they give."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from toolkit.agents.base import Acted, Agent
from toolkit.config import Setting, flatten
from toolkit.envs import factory, packing, spaces
from toolkit.envs.base import EnvSpec
from toolkit.envs.masks import Masks, heeded, row_of
from toolkit.errors import UsageError
from toolkit.registry import registry
from toolkit.training import sessions, setup
from toolkit.training.evaluation import Evaluation, evaluate_agent
from toolkit.training.made_with import made_with
from toolkit.training.observations import rows_of
from toolkit.training.resolve import plan, read_file, too_short
from toolkit.training.run_directory import RunDirectory, find_run
from toolkit.training.supervised_run import RunFolder, TaskRun


class Run(RunFolder):
    """The run of an agent: its policy and how it plays."""

    @cached_property
    def agent(self) -> Agent:
        return setup.load_agent(self.directory, self.step, self.plan)

    @cached_property
    def observation_space(self) -> gymnasium.Space[Any]:
        return spaces.from_json(self.facts["spaces"]["observation"])

    @cached_property
    def action_space(self) -> gymnasium.Space[Any]:
        return spaces.from_json(self.facts["spaces"]["action"])

    def predict(self, observation: Any, state: Any = None, deterministic: bool = True,
                action_mask: Any = None) -> tuple[Any, Any]:
        """The action for one observation, or the actions for a batch of them, and the recurrent state.

        ``action_mask``, as the environment gives it, says which actions are allowed, to an agent trained with action_masking; a
        batch has one for each observation.

        A batch of Dict or Tuple observations is stacked in every part, as gymnasium's vector environments give it, or a list.
        Raises UsageError for another form, and for numbers that the space cannot hold, as a picture from 0 to 1, or that are not
        finite.
        """
        rows, single = rows_of(observation, self.observation_space)
        masks = None if action_mask is None else self._masks([action_mask] if single else action_mask, len(rows))
        acted = self._act(rows, state, deterministic, masks)
        return (acted.actions[0] if single else acted.actions), acted.state

    def _masks(self, given: Any, count: int) -> Masks:
        """Masks as `predict` is given them, [N, actions]."""
        if not getattr(self.agent, "masked", False):
            raise UsageError(f"predict: {self.facts['component']} was trained without action masks. Train it with them: "
                             "toolkit run ppo --env ENV --action-masking")
        if len(given) != count:
            raise UsageError(f"predict: {len(given)} action masks for {count} observations; allowed: one for each")
        return heeded(np.stack([row_of(mask, self.action_space, "predict: an") for mask in given]), self.action_space,
                      "predict: mask {}")

    def _act(self, observations: Any, state: Any, deterministic: bool, masks: Any = None) -> Acted:
        perception = getattr(self.agent, "perception", None)
        return self.agent.act(observations if perception is None else perception(observations), state,
                              masks, deterministic=deterministic)

    def evaluate(self, episodes: int = 100, env: str | None = None, seed: int | None = None,
                 env_options: Mapping[str, Any] | None = None, max_episode_steps: int | None = None) -> Evaluation:
        """Evaluate the policy with deterministic actions; the result is also kept in ``evaluations/``.

        ``env_options`` are options for the environment's constructor beside the run's own, or in their place.
        ``max_episode_steps`` cuts episodes, instead of the run's own limit.
        """
        episodes = Setting("episodes", "int", minimum=1, default=100).check(episodes)
        seed = Setting("seed", "int", minimum=0).check(seed)
        max_episode_steps = Setting("max_episode_steps", "int", minimum=1).check(max_episode_steps)
        require_id(env)
        facts = self.facts
        spec = setup.env_spec(self.plan, env, env_options, max_episode_steps).for_evaluation()
        seed = facts["seeds"]["evaluation"] if seed is None else seed
        agent = self.agent
        with made_with(facts):
            if env or env_options:
                self._require_spaces_of(spec)
            evaluation = evaluate_agent(agent, spec, episodes, seed)
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


def train(name: str, *, config: str | Path | None = None, preset: str | None = None, out: str | Path | None = None,
          init_from: str | Path | RunFolder | None = None, **settings: Any) -> Run | TaskRun:
    """Train as ``toolkit run NAME`` does. ``settings`` are its flags: ``env="CartPole-v1", steps=50_000``.

    Settings of parts are given as a dictionary: ``network={"name": "mlp", "hidden_sizes": (64, 64)}``.
    """
    entry = registry.get(("agent", "task"), name)
    given = flatten(settings)
    require_id(given.get("env"))
    resolved = plan(entry, given, read_file(config) if config is not None else None, preset)

    def begun(facts: Sequence[str]) -> None:
        if short := too_short(resolved):
            warnings.warn(short, stacklevel=4)  # where `train` was called

    source = None if init_from is None else where_from(init_from)
    return opened(sessions.start(resolved, None if out is None else str(out), source, begun).directory)


def require_id(env: Any) -> None:
    """Raise UsageError for an environment itself, or its class: a run makes its copies from an id."""
    if env is None or isinstance(env, str):
        return
    spec = getattr(env, "spec", None)
    if spec is not None:
        advice = f"This one's id: env={spec.id!r}"
    else:
        maker = env if isinstance(env, type) else type(getattr(env, "unwrapped", env))
        known = issubclass(maker, gymnasium.Env) and maker.__module__ != "__main__" and "<" not in maker.__qualname__
        module, name = (maker.__module__, maker.__qualname__) if known else ("mine", "Mine")
        advice = (f"Register its class in a module that can be imported, such as {module}.py: gymnasium.register('Mine-v0', "
                  f"entry_point='{module}:{name}'); then env='{module}:Mine-v0'")
    raise UsageError(f"env: got {env!r}, allowed: the id of an environment, from which a run makes its copies, also when it is "
                     f"evaluated or resumed. {advice}")


def where_from(run: str | Path | RunFolder) -> str:
    """The run to begin from, as ``--init-from`` names it."""
    if isinstance(run, RunFolder):
        return str(run.path if run.step is None else run.directory.checkpoints.path(run.step))
    if isinstance(run, (str, Path)):
        return str(run)
    raise UsageError(f"init_from: got {run!r}, allowed: a run (toolkit.load), or the folder of one or of its checkpoint")


def load(run: str | Path, **settings: Any) -> Run | TaskRun:
    """A run by its folder, a checkpoint's folder, or ``latest``. Loading executes nothing from it.

    ``settings`` are in the place of its own, of those that a trained run can be given: ``beam=8`` of speech-recognition.
    """
    return opened(*find_run(str(run)), settings)


def opened(directory: RunDirectory, step: int | None = None, settings: Mapping[str, Any] | None = None) -> Run | TaskRun:
    """The run of an agent or of a task."""
    kind = TaskRun if directory.read().get("kind") == "task" else Run
    run = kind(directory, step, flatten(settings or {}))
    if settings:
        _ = run.plan  # which refuses those that are not allowed
    return run
