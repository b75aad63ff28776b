"""Copies of any gymnasium environment, stepped one after another in this process.

The least overhead there is for a few copies of a cheap environment. A copy's state in mid-episode
is its own ``get_state`` where the environment offers one; otherwise the state of its random
generator when the episode began and the actions since, which are played again on restore.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np

from toolkit.envs import packing, promises
from toolkit.envs.base import Array, Final, Stepped, measures_of, one_number, zeros
from toolkit.envs.history import ActionHistory
from toolkit.envs.masks import counts_of, row_of
from toolkit.envs.wrappers import Checked

# What these hold of an episode is how many steps it has, which `set_elapsed` brings back.
TRANSPARENT = (gymnasium.wrappers.TimeLimit, gymnasium.wrappers.OrderEnforcing, gymnasium.wrappers.PassiveEnvChecker, Checked)


class InProcess:
    """``n_envs`` environments made by ``make``, one seed each; an ended copy is reset at once."""

    def __init__(self, make: Callable[[], gymnasium.Env[Any, Any]], seeds: Sequence[int],
                 note: Callable[[int], None] | None = None, keeps_actions: bool = True, name: str = "") -> None:
        self.envs = [make() for _ in seeds]
        self.name = name or promises.name_of(self.envs[0])
        self.n_envs = len(self.envs)
        self.observation_space = self.envs[0].observation_space
        self.action_space = self.envs[0].action_space
        self._packed = packing.is_packed(self.observation_space)
        self._shape = self.observation_space.shape
        # The type that observations must have to be taken unseen; choices are looked at each, and floats are cast.
        self._exact = self.observation_space.dtype if not self._packed and packing.is_whole(self.observation_space) else None
        self._choices = isinstance(self.observation_space, packing.CHOICES)
        self._scalar_actions = isinstance(self.action_space, gymnasium.spaces.Discrete)
        self._single_numbers = self.action_space.shape == () and not self._scalar_actions
        self._seeds = list(seeds)
        self._starts: list[Any] = [None] * self.n_envs
        # For `get_state`, of which an evaluation has none.
        replays = keeps_actions and not all(map(tells_state, self.envs))
        self._history = ActionHistory(self.n_envs) if replays else None
        self._observations = zeros(self.observation_space, self.n_envs)
        self._rewards = np.zeros(self.n_envs)
        self._terminated = np.zeros(self.n_envs, dtype=bool)
        self._truncated = np.zeros(self.n_envs, dtype=bool)
        self._maskable = sum(counts_of(self.action_space))
        self.masks: Array | None = None
        self.measures: dict[str, Array] = {}  # `measures_of` the copies whose episodes ended, each [N]
        self.dropped: list[int] = []
        self._note = note  # is told which copy is touched next

    def reseed(self, seeds: Sequence[int]) -> None:
        """Other seeds for the next `reset`."""
        self._seeds = list(seeds)

    def reset(self) -> Array:
        for index in range(self.n_envs):
            if self._note is not None:
                self._note(index)
            self._starts[index] = {"seed": self._seeds[index]}
            self._forget(index)
            self._observations[index] = self._reset(index, seed=self._seeds[index])
        return self._observations

    def step(self, actions: Array) -> Stepped:
        observations, rewards = self._observations, self._rewards
        ended: list[int] = []
        finals: list[Any] = []
        # A copy: the caller may write its next actions into the same array, and an environment may keep what it was given.
        plain = list(actions) if self._scalar_actions else actions.copy()  # numbers of NumPy's, as sample() gives them
        if self._single_numbers:  # NumPy gives a number, of which gymnasium warns each time: its spaces hold arrays
            plain = [np.asarray(action) for action in plain]
        if self._history is not None:  # an environment may change what it is given
            self._history.append(plain if self._scalar_actions else actions.copy())
        observation: Any = None
        try:
            for index, env in enumerate(self.envs):
                action = plain[index]
                if self._note is not None:
                    self._note(index)
                observation, reward, terminated, truncated, info = env.step(action)
                if self._packed:
                    observation = packing.pack(self.observation_space, observation)
                elif self._choices or getattr(observation, "shape", None) != self._shape or (
                        self._exact is not None and observation.dtype != self._exact):
                    observation = promises.seen("step", observation, self.observation_space, self.name,
                                                self._where(index, action))
                rewards[index] = reward if isinstance(reward, float) else one_number(reward, self.name)
                self._terminated[index] = terminated
                self._truncated[index] = truncated and not terminated
                if terminated or truncated:
                    for name, value in measures_of(info).items():
                        self.measures.setdefault(name, np.zeros(self.n_envs))[index] = value
                    ended.append(index)
                    finals.append(np.array(observation, observations.dtype))  # which reset() may write into
                    observation = self._begin(index)
                elif self.masks is not None:
                    self._note_mask(index, info)
                observations[index] = observation
        except (Exception, SystemExit) as error:
            promises.explain(error, self.name, self._where(index, plain[index]), "step", self.observation_space,
                             None if self._packed else observation)
            raise
        final = None
        if ended:
            final = Final(np.array(ended), np.asarray(finals, dtype=observations.dtype))
        return Stepped(observations, rewards, self._terminated, self._truncated, None, final)

    def _begin(self, index: int) -> Any:
        self._starts[index] = {"generator": self.envs[index].unwrapped.np_random.bit_generator.state}
        self._forget(index)
        return self._reset(index)

    def _forget(self, index: int) -> None:
        """An episode of copy ``index`` begins."""
        if self._history is not None:
            self._history.begin(index)

    def _reset(self, index: int, **seed: Any) -> Any:
        """Begin an episode of copy ``index``; its first observation as it is stored. Raises UsageError for none."""
        try:
            observation, info = promises.started(self.envs[index].reset(**seed), self.observation_space, self.name,
                                                 self._where(index))
            self._note_mask(index, info)
            return self._stored(observation)
        except (Exception, SystemExit) as error:
            promises.explain(error, self.name, self._where(index), "reset", self.observation_space)
            raise

    def _where(self, index: int, *actions: Any) -> str:
        """Which copy, for messages; a worker says it itself, who knows the number among all."""
        last = f", last action {actions[0]}" if actions else ""
        return f" (copy {index}, seed {self._seeds[index]}{last})" if self._note is None else ""

    def _note_mask(self, index: int, info: Mapping[str, Any]) -> None:
        """Keep which actions copy ``index`` allows next, where its environment says so."""
        mask = info.get("action_mask") if self._maskable else None
        if mask is not None and self.masks is None:
            self.masks = np.ones((self.n_envs, self._maskable), dtype=bool)
        if self.masks is not None:
            self.masks[index] = True if mask is None else row_of(
                mask, self.action_space, f"environment {self.name!r}{self._where(index)}: its")

    def _stored(self, observation: Any) -> Any:
        """An observation as it is stored: packed where it is a Dict or Tuple."""
        return packing.pack(self.observation_space, observation) if self._packed else observation

    def get_state(self) -> dict[str, Any]:
        return {"copies": [self._copy_state(index) for index in range(self.n_envs)],
                "observations": self._observations.copy(), "rewards": self._rewards.copy(),
                "masks": None if self.masks is None else self.masks.copy()}

    def _copy_state(self, index: int) -> dict[str, Any]:
        env, state = self.envs[index], {"start": self._starts[index]}
        if tells_state(env):
            return {**state, "own": env.unwrapped.get_state(), "elapsed": elapsed(env)}  # type: ignore[attr-defined]
        return {**state, "actions": np.zeros(0) if self._history is None else self._history.of(index)}

    def set_state(self, state: dict[str, Any]) -> Array:
        self.dropped = []
        if self._history is not None:
            self._history.load([copy.get("actions", np.zeros(0)) for copy in state["copies"]])
        rewards = state.get("rewards")  # of the last steps; checkpoints of earlier versions have none
        if rewards is not None:
            self._rewards[:] = rewards
        for index, copy in enumerate(state["copies"]):
            observation, reward = self._restore(index, copy)
            same = np.array_equal(observation, state["observations"][index], equal_nan=True) and (
                reward is None or rewards is None or reward == rewards[index])
            if not same:
                warnings.warn(
                    f"environment copy {index} did not come back to where it was (it draws randomness from outside its "
                    "np_random, or keeps state between episodes): its unfinished episode is dropped", stacklevel=2)
                observation = self._begin(index)
                self.dropped.append(index)
            elif state.get("masks") is not None:  # those at hand: an environment with a state of its own was only reset
                self.masks = np.ones_like(state["masks"]) if self.masks is None else self.masks
                self.masks[index] = state["masks"][index]
            self._observations[index] = observation
        return self._observations

    def _restore(self, index: int, copy: dict[str, Any]) -> tuple[Any, float | None]:
        """What copy ``index`` observes where it was left, and the reward of its last step if it was played again."""
        reward = None
        env, start = self.envs[index], copy["start"]
        if "seed" in start:
            observation, info = env.reset(seed=start["seed"])
        else:
            env.unwrapped.np_random.bit_generator.state = start["generator"]
            observation, info = env.reset()
        if "own" in copy and has_state(env):
            observation = env.unwrapped.set_state(copy["own"])  # type: ignore[attr-defined]
            set_elapsed(env, copy["elapsed"] if "elapsed" in copy else len(copy["actions"]))
        else:
            for action in copy["actions"]:
                observation, reward, _, _, info = env.step(action)
        self._note_mask(index, info)
        self._starts[index] = start
        return self._stored(observation), None if reward is None else one_number(reward, self.name)

    def close(self) -> None:
        for env in self.envs:
            env.close()


def has_state(env: gymnasium.Env[Any, Any]) -> bool:
    """Whether an environment gives its state and takes it back; with one of the two alone its episode is played again."""
    return all(callable(getattr(env.unwrapped, name, None)) for name in ("get_state", "set_state"))


def tells_state(env: gymnasium.Env[Any, Any]) -> bool:
    """Whether it is enough to have the environment's own state back: of wrappers that remember or change what is seen, the
    episode has to be played again."""
    around = env
    while isinstance(around, gymnasium.Wrapper):
        if type(around) not in TRANSPARENT:
            return False
        around = around.env
    return has_state(env)


def time_limits(env: gymnasium.Env[Any, Any]) -> Iterator[gymnasium.wrappers.TimeLimit[Any, Any]]:
    """The time limits around ``env``."""
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, gymnasium.wrappers.TimeLimit):
            yield env
        env = env.env


def elapsed(env: gymnasium.Env[Any, Any]) -> int:
    """The steps of the episode that are over, by the time limits around ``env``; 0 where there are none."""
    return max((int(vars(limit)["_elapsed_steps"] or 0) for limit in time_limits(env)), default=0)


def set_elapsed(env: gymnasium.Env[Any, Any], steps: int) -> None:
    """Tell the time limits around ``env`` how many steps of the episode are over."""
    for limit in time_limits(env):
        vars(limit)["_elapsed_steps"] = steps
