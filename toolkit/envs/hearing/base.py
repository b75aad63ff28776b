"""What the environments of sound share: options, seeding, autoreset, exact state, and the single copy for gymnasium.

Hearing      what can be asked of the listening conditions: deafness, held-out voices, noise
HearingEnvs  N copies in arrays; their whole state is ``fields`` and their generators
HearingEnv   one copy, as gymnasium knows an environment
SpokenEnv    one whose sounds are words, from where its option ``words`` says

Letters: N copies, T samples in a window of sound, E ears.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from numpy.typing import NDArray

from toolkit.config import flag_of
from toolkit.envs import packing
from toolkit.envs.base import MEASURED, Array, Final, Stepped
from toolkit.envs.hearing import sounds
from toolkit.errors import UsageError, did_you_mean

SAMPLE_RATE = 16_000  # Hz, of all sound here
SEEN_NOISES = ("white", "pink", "hum")
NOISE_DB = (5.0, 30.0)  # signal-to-noise ratios that training draws from, in decibels


class Moved(NamedTuple):
    """What the dynamics give for one step of all copies."""

    rewards: NDArray[np.float64]  # [N]
    terminated: NDArray[np.bool_]  # [N]


class Hearing(NamedTuple):
    """The conditions that every environment here can be made with.

    deaf      silence for every observation; everything else as before
    held_out  voices and sounds that training never hears; evaluations set it
    noise     one kind of noise; "" draws one that training hears
    noise_db  a fixed signal-to-noise ratio in decibels; None draws between `NOISE_DB`
    """

    deaf: bool = False
    held_out: bool = False
    noise: str = ""
    noise_db: float | None = None

    def checked(self, noises: Sequence[str]) -> Hearing:
        """The same; raises UsageError for a noise that is none of ``noises``, and for values of another type."""
        if self.noise and self.noise not in noises:
            raise UsageError(f"--env.noise {self.noise}: allowed are {', '.join(noises)}, or nothing for one that training hears."
                             f"{did_you_mean(str(self.noise), noises)}")
        for name, value in (("deaf", self.deaf), ("held_out", self.held_out)):
            if not isinstance(value, (bool, np.bool_)):
                raise UsageError(f"{flag_of(f'env.{name}')} {value}: allowed are true and false")
        level = self.noise_db
        if level is not None and (isinstance(level, bool) or not isinstance(level, (int, float)) or not math.isfinite(level)):
            raise UsageError(f"--env.noise-db {level}: allowed is a finite number of decibels, for example 10")
        return self

    def draw_noise(self, generator: np.random.Generator) -> tuple[int, float]:
        """The kind of noise, as an index into all of them, and its level as a factor of the signal's."""
        kind, level = generator.random(2)
        index = sounds.NOISES.index(self.noise) if self.noise else int(kind * len(SEEN_NOISES))
        decibels = NOISE_DB[0] + level * (NOISE_DB[1] - NOISE_DB[0]) if self.noise_db is None else float(self.noise_db)
        return index, float(10.0 ** (-decibels / 20.0))


class HearingEnvs:
    """Subclasses set the spaces and `parts`, and write `begin`, `move`, `listen` and `measure` on ``self.fields``.

    The observation is a Dict with ``sound`` (float32 [T] or [E, T], in [-1, 1]) and what else `look` gives.
    """

    observation_space: spaces.Dict
    action_space: gymnasium.Space[Any]
    shape: ClassVar[tuple[int, ...]] = (SAMPLE_RATE,)  # of a window of sound
    parts: ClassVar[Mapping[str, gymnasium.Space[Any]]] = {}  # the other elements of an observation
    kinds_of_noise: ClassVar[tuple[str, ...]] = sounds.NOISES
    masks: NDArray[np.bool_] | None = None

    def __init__(self, seeds: Sequence[int], max_episode_steps: int | None, *, deaf: bool = False, held_out: bool = False,
                 noise: str = "", noise_db: float | None = None) -> None:
        self.n_envs, self._seeds, self.max_episode_steps = len(seeds), list(seeds), max_episode_steps
        self.hearing = Hearing(deaf, held_out, noise, noise_db).checked(self.kinds_of_noise)
        self.observation_space = spaces.Dict({"sound": spaces.Box(-1.0, 1.0, self.shape, np.float32), **self.parts})
        self.generators: list[np.random.Generator] = []
        self.fields: dict[str, Array] = {"steps": np.zeros(self.n_envs, np.int64)}
        self.measures: dict[str, Array] = {}  # how episodes stood when the last step ended, each [N]
        leaves = {leaf.path: leaf for leaf in packing.layout(self.observation_space).leaves}
        self._sound, self._leaves = leaves["sound"], leaves
        self._bytes = packing.layout(self.observation_space).nbytes

    def field(self, name: str, *shape: int, dtype: Any = np.float64) -> None:
        """Declare a part of the state, [N, *shape]."""
        self.fields[name] = np.zeros((self.n_envs, *shape), dtype)

    # -- what an environment is

    def begin(self, index: int, generator: np.random.Generator) -> None:
        """Begin an episode of copy ``index``."""
        raise NotImplementedError

    def move(self, actions: Array) -> Moved:
        """Advance the fields by one step; random choices of copy i come from ``self.generators[i]``."""
        raise NotImplementedError

    def listen(self, index: int, out: Array) -> None:
        """Write what copy ``index`` hears now into ``out`` [T] or [E, T], which is zero."""
        raise NotImplementedError

    def look(self, indices: Array) -> dict[str, Array]:
        """The other elements of the observations of some copies, each [n, ...]."""
        return {}

    def measure(self) -> dict[str, Array]:
        """How the episodes stand, in the field's own terms, each [N]."""
        return {}

    # -- observations

    def observe(self, indices: Array) -> Array:
        """Packed observations [n, bytes] of some copies."""
        rows = np.zeros((len(indices), self._bytes), np.uint8)
        if not self.hearing.deaf:
            window = rows[:, self._sound.offset:self._sound.offset + self._sound.nbytes].view(np.float32)
            for row, index in enumerate(indices):
                self.listen(int(index), window[row].reshape(self.shape))
            np.clip(window, -1.0, 1.0, out=window)
        for name, values in self.look(indices).items():
            leaf = self._leaves[name]
            data = np.ascontiguousarray(values, leaf.dtype).reshape(len(indices), -1).view(np.uint8)
            rows[:, leaf.offset:leaf.offset + leaf.nbytes] = data
        return rows

    # -- the interface of VectorEnv

    def reset(self) -> Array:
        self.generators = [seeding.np_random(seed)[0] for seed in self._seeds]
        return self.begin_all(np.arange(self.n_envs))

    def begin_all(self, indices: Array) -> Array:
        """Begin new episodes; their first observations."""
        self.fields["steps"][indices] = 0
        for index in indices:
            self.begin(int(index), self.generators[index])
        return self.observe(indices)

    def step(self, actions: Array) -> Stepped:
        moved = self.move(actions)
        steps = self.fields["steps"]
        steps += 1
        truncated = np.zeros(self.n_envs, bool)
        if self.max_episode_steps is not None:
            truncated = (steps >= self.max_episode_steps) & ~moved.terminated
        self.measures = self.measure()
        observations, final = self.observe(np.arange(self.n_envs)), None
        ended = np.flatnonzero(moved.terminated | truncated)
        if len(ended):
            final = Final(ended, observations[ended])
            observations[ended] = self.begin_all(ended)
        return Stepped(observations, moved.rewards, moved.terminated, truncated, None, final)

    def get_state(self) -> dict[str, Any]:
        return {"fields": {name: value.copy() for name, value in self.fields.items()},
                "generators": [generator.bit_generator.state for generator in self.generators]}

    def set_state(self, state: dict[str, Any]) -> Array:
        self.generators = [seeding.np_random(0)[0] for _ in range(self.n_envs)]
        for generator, kept in zip(self.generators, state["generators"], strict=True):
            generator.bit_generator.state = kept
        self.fields = {name: np.array(value) for name, value in state["fields"].items()}
        return self.observe(np.arange(self.n_envs))

    def close(self) -> None:
        """Nothing is open."""


class HearingEnv(gymnasium.Env[Any, Any]):
    """One copy of `vector`, for gymnasium. ``info["measured_NAME"]`` says how the episode stands.

    ``sound()`` is what is heard now, for a film's sound track; its rate is ``metadata["sample_rate"]`` and
    ``metadata["render_fps"]`` windows or their newest parts pass in a second.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 1, "sample_rate": SAMPLE_RATE}
    evaluation_options: ClassVar[dict[str, Any]] = {"held_out": True}
    vector: ClassVar[type[HearingEnvs]]

    def __init__(self, render_mode: str | None = None, **options: Any) -> None:
        self.render_mode = render_mode
        self.envs = self.vector([0], None, **options)
        self.observation_space, self.action_space = self.envs.observation_space, self.envs.action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.envs.generators = [self.np_random]
        return self._element(self.envs.begin_all(np.zeros(1, np.int64))), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        moved = self.envs.move(np.asarray(action)[None])
        self.envs.fields["steps"] += 1
        info = {MEASURED + name: float(values[0]) for name, values in self.envs.measure().items()}
        return (self._element(self.envs.observe(np.zeros(1, np.int64))), float(moved.rewards[0]), bool(moved.terminated[0]),
                False, info)

    def _element(self, rows: Array) -> dict[str, Array]:
        return {name: values[0] for name, values in packing.unpack(self.observation_space, rows).items()}

    def get_state(self) -> dict[str, Any]:
        return self.envs.get_state()

    def set_state(self, state: dict[str, Any]) -> dict[str, Array]:
        """Continue from `get_state`; the observation to act on next."""
        observation = self._element(self.envs.set_state(state))
        self.np_random = self.envs.generators[0]
        return observation

    def sound(self) -> NDArray[np.float32]:
        """What is heard since the step before, [samples] or [E, samples]: a film's sound track is these one after another."""
        heard: NDArray[np.float32] = self._element(self.envs.observe(np.zeros(1, np.int64)))["sound"]
        return heard[..., -SAMPLE_RATE // int(self.metadata["render_fps"]):]

    def render(self) -> NDArray[np.uint8] | None:
        """The scene beside the spectrogram of what is heard, [height, width, 3]."""
        if self.render_mode is None:
            return None
        from toolkit.envs.hearing import picture

        heard = self._element(self.envs.observe(np.zeros(1, np.int64)))["sound"]
        return picture.beside(self.scene(), picture.spectrogram(heard))

    def scene(self) -> NDArray[np.uint8]:
        """The scene without its sound, [`picture.SIDE`, `picture.SIDE`, 3]."""
        raise NotImplementedError


class SpokenEnv(HearingEnv):
    """An environment of words."""

    @classmethod
    def settled_options(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """``options`` with where the words come from: a run says the same words wherever it goes on."""
        return {**options, "words": sounds.source(str(options.get("words", "")))}
