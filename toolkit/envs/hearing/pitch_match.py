"""``toolkit/PitchMatch-v0``: steer an oscillator until it sounds as high and as loud as a tone that is only heard.

The first ear hears the target, the second the oscillator. Actions change its pitch and loudness.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from toolkit.envs.base import Array
from toolkit.envs.hearing import sounds
from toolkit.envs.hearing.base import SAMPLE_RATE, HearingEnv, HearingEnvs, Moved

WINDOW = 4000  # samples, a quarter of a second
LOWEST, OCTAVES = 150.0, 2.0  # Hz, the range of both pitches
SEMITONES = 12  # in an octave
PITCH_STEP, LOUDNESS_STEP = 2.0, 3.0  # semitones and decibels that the largest action changes
LOUDNESS = (-18.0, 0.0)  # dB of the level of words
HARMONICS, TIMBRES = 6, 20  # every fifth timbre is held out
NEAR = 0.5  # semitones within which the reward rises towards 1
SETTLED = 20  # steps after which the error is measured


class PitchMatchEnvs(HearingEnvs):
    """State: pitch [semitones above LOWEST] and loudness [dB] of target and oscillator, timbres, phases."""

    shape: ClassVar[tuple[int, ...]] = (2, WINDOW)
    kinds_of_noise = sounds.WORDLESS

    def __init__(self, seeds: Sequence[int], max_episode_steps: int | None, **hearing: Any) -> None:
        super().__init__(seeds, max_episode_steps, **hearing)
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.timbres, self.noises = sounds.timbres(TIMBRES, HARMONICS), sounds.noises()
        held_out = np.arange(TIMBRES) % sounds.HELD_OUT_EVERY == sounds.HELD_OUT_EVERY - 1
        self.choices = np.flatnonzero(held_out == self.hearing.held_out)
        self.field("pitch", 2)
        self.field("loudness", 2)
        self.field("phase", 2)
        self.field("error_sum")
        self.field("error_count")
        self.field("noise_level")
        for name in ("timbre", "noise", "noise_start"):
            self.field(name, dtype=np.int64)

    def begin(self, index: int, generator: np.random.Generator) -> None:
        fields = self.fields
        fields["pitch"][index] = generator.uniform(0.0, OCTAVES * SEMITONES, 2)
        fields["loudness"][index] = generator.uniform(*LOUDNESS, 2)
        fields["timbre"][index] = generator.choice(self.choices)
        fields["error_sum"][index] = fields["error_count"][index] = 0.0
        fields["noise"][index], fields["noise_level"][index] = self.hearing.draw_noise(generator)
        self._sound_on(index, generator)

    def _sound_on(self, index: int, generator: np.random.Generator) -> None:
        self.fields["phase"][index] = generator.random(2)
        self.fields["noise_start"][index] = generator.integers(self.noises.shape[1] - 2 * WINDOW)

    def errors(self) -> tuple[Array, Array]:
        """Distance of oscillator and target in semitones [N] and decibels [N]."""
        pitch, loudness = self.fields["pitch"], self.fields["loudness"]
        return np.abs(pitch[:, 0] - pitch[:, 1]), np.abs(loudness[:, 0] - loudness[:, 1])

    def move(self, actions: Array) -> Moved:
        fields, pushed = self.fields, np.clip(actions, -1.0, 1.0)
        fields["pitch"][:, 1] = np.clip(fields["pitch"][:, 1] + PITCH_STEP * pushed[:, 0], 0.0, OCTAVES * SEMITONES)
        fields["loudness"][:, 1] = np.clip(fields["loudness"][:, 1] + LOUDNESS_STEP * pushed[:, 1], *LOUDNESS)
        semitones, decibels = self.errors()
        settled = fields["steps"] >= SETTLED  # counted before this step
        fields["error_sum"] += semitones * settled
        fields["error_count"] += settled
        for index in range(self.n_envs):
            self._sound_on(index, self.generators[index])
        rewards = np.exp(-semitones / NEAR) - semitones / SEMITONES - decibels / (LOUDNESS[1] - LOUDNESS[0])
        return Moved(rewards, np.zeros(self.n_envs, bool))

    def listen(self, index: int, out: Array) -> None:
        fields, table = self.fields, sounds.PERIOD
        start, kind = fields["noise_start"][index], fields["noise"][index]
        for ear, timbre in enumerate((self.timbres[fields["timbre"][index]], self.timbres[0])):
            frequency = LOWEST * 2.0 ** (fields["pitch"][index, ear] / SEMITONES)
            level = 10.0 ** (fields["loudness"][index, ear] / 20.0)
            periods = fields["phase"][index, ear] + frequency / SAMPLE_RATE * np.arange(WINDOW)
            tone = timbre[(periods * table).astype(np.int64) % table]
            begin = start + ear * WINDOW
            noise = self.noises[kind, begin:begin + WINDOW] * (0.1 * fields["noise_level"][index])
            out[ear] = level * tone + noise

    def measure(self) -> dict[str, Array]:
        """The mean distance in semitones since the first `SETTLED` steps, or now before that."""
        fields = self.fields
        settled = fields["error_sum"] / np.maximum(fields["error_count"], 1)
        return {"error_semitones": np.where(fields["error_count"] > 0, settled, self.errors()[0])}


class PitchMatch(HearingEnv):
    """One copy."""

    metadata: dict[str, Any] = {**HearingEnv.metadata, "render_fps": SAMPLE_RATE // WINDOW}
    vector = PitchMatchEnvs

    def scene(self) -> NDArray[np.uint8]:
        """Pitch to the right, loudness upwards: a ring for the target, a disc for the oscillator."""
        from toolkit.envs.hearing import picture

        scene, fields = picture.canvas(), self.envs.fields
        for ear, (radius, color) in enumerate(((12, picture.TARGET), (7, picture.ACCENT))):
            x = 20 + 200 * fields["pitch"][0, ear] / (OCTAVES * SEMITONES)
            y = 220 - 200 * (fields["loudness"][0, ear] - LOUDNESS[0]) / (LOUDNESS[1] - LOUDNESS[0])
            picture.disc(scene, x, y, radius, color)
        return scene
