"""``toolkit/HearAndGo-v0``: a spoken word names the side of a grid to go to.

The position is seen, the word only heard: it is said again before every step, somewhere within the last
second, in noise. An episode ends at the grid's border. Its return is 1 on the side that was named and 0
on another, so the mean return is the share of successes; going by chance it is a quarter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from toolkit.envs.base import Array
from toolkit.envs.hearing import sounds
from toolkit.envs.hearing.base import SAMPLE_RATE, HearingEnvs, Moved, SpokenEnv
from toolkit.errors import UsageError

WORDS = ("left", "right", "up", "down")
MOVES = np.array([[-1, 0], [1, 0], [0, 1], [0, -1]])  # x to the right, y up


class HearAndGoEnvs(HearingEnvs):
    """State: position on the grid, the word to obey, and how it is said now (clip, offset, noise)."""

    shape: ClassVar[tuple[int, ...]] = (SAMPLE_RATE,)
    parts: ClassVar = {"position": spaces.Box(-1.0, 1.0, (2,), np.float32)}

    def __init__(self, seeds: Sequence[int], max_episode_steps: int | None, *, size: int = 5, words: str = "",
                 **hearing: Any) -> None:
        if size < 3 or size % 2 == 0:
            raise UsageError(f"--env.size {size}: allowed are odd numbers from 3")
        super().__init__(seeds, max_episode_steps, **hearing)
        self.action_space, self.half = spaces.Discrete(len(WORDS)), size // 2
        source = sounds.source(words)
        self.lexicon, self.noises = sounds.lexicon(WORDS, source), sounds.bank(WORDS, source)
        self.clips = [self.lexicon.indices(word, self.hearing.held_out) for word in range(len(WORDS))]
        self.field("position", 2, dtype=np.int64)
        for name in ("word", "clip", "offset", "noise", "noise_start"):
            self.field(name, dtype=np.int64)
        self.field("noise_level")
        self.field("success")

    def begin(self, index: int, generator: np.random.Generator) -> None:
        fields, inner = self.fields, self.half - 1
        fields["position"][index] = generator.integers(-inner, inner + 1, 2)
        fields["word"][index] = generator.integers(len(WORDS))
        fields["noise"][index], fields["noise_level"][index] = self.hearing.draw_noise(generator)
        fields["success"][index] = 0.0
        self._say(index, generator)

    def _say(self, index: int, generator: np.random.Generator) -> None:
        """Say the word: by which voice, where in the window, over which stretch of the noise."""
        fields, (voice, where, start) = self.fields, generator.random(3)
        clips = self.clips[fields["word"][index]]
        clip = clips[int(voice * len(clips))]
        fields["clip"][index] = clip
        fields["offset"][index] = int(where * max(1, SAMPLE_RATE - self.lexicon.lengths[clip]))
        fields["noise_start"][index] = int(start * (self.noises.shape[1] - SAMPLE_RATE))

    def move(self, actions: Array) -> Moved:
        fields = self.fields
        fields["position"] += MOVES[actions]
        arrived = np.abs(fields["position"]) == self.half  # [N, 2]
        terminated = arrived.any(-1)
        named = (fields["position"] * MOVES[fields["word"]]).sum(-1) == self.half
        fields["success"] = (terminated & named).astype(np.float64)
        for index in range(self.n_envs):
            self._say(index, self.generators[index])
        return Moved(fields["success"].copy(), terminated)

    def listen(self, index: int, out: Array) -> None:
        fields = self.fields
        start, offset = fields["noise_start"][index], fields["offset"][index]
        np.multiply(self.noises[fields["noise"][index], start:start + SAMPLE_RATE],
                    np.float32(fields["noise_level"][index]), out=out)
        clip = self.lexicon.clips[fields["clip"][index]][:SAMPLE_RATE]
        out[offset:offset + len(clip)] += clip

    def look(self, indices: Array) -> dict[str, Array]:
        return {"position": self.fields["position"][indices] / self.half}

    def measure(self) -> dict[str, Array]:
        return {"success": self.fields["success"].copy()}


class HearAndGo(SpokenEnv):
    """One copy."""

    vector = HearAndGoEnvs

    def scene(self) -> NDArray[np.uint8]:
        from toolkit.envs.hearing import picture

        half, (x, y) = self.envs.half, self.envs.fields["position"][0]  # type: ignore[attr-defined]
        goal = WORDS[self.envs.fields["word"][0]]
        return picture.grid(2 * half + 1, (int(x) + half, half - int(y)), goal)
