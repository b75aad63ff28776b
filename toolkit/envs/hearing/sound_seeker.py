"""``toolkit/SoundSeeker-v0``: two ears in a room; turn and walk to the source of a sound that is never seen.

The ears differ by the time and the level at which sound arrives, and both are louder near the source.
Actions: turn left, turn right, forward. An episode ends at the source.

Letters: N copies, T samples, P paths of sound (direct, and one echo from each wall).
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
from toolkit.errors import UsageError

WINDOW = 4000  # samples, a quarter of a second
ROOM = 6.0  # m, a side; the origin is a corner
TURN, STRIDE, REACHED = np.pi / 6, 0.5, 0.6  # rad, m, m
FARTHEST_START = 2.0  # m, the least distance of source and listener at the start
SPEED_OF_SOUND = 343.0  # m/s
EAR_DISTANCE, EAR_ANGLE = 0.18, np.pi / 3  # m between the ears; where each hears best, from straight ahead
SHADOW = 0.45  # how much softer than the best a sound from the other side is, as half of the difference
NEAREST = 0.5  # m, within which sound is not louder any more
PROGRESS, TIME_COST = 0.2, 0.01  # reward for a metre closer; cost of a step
SOURCES = 20  # every fifth is held out


class SoundSeekerEnvs(HearingEnvs):
    """State: listener (x, y, heading from the x axis), source (x, y), its sound, and the moment in it."""

    shape: ClassVar[tuple[int, ...]] = (2, WINDOW)
    kinds_of_noise = sounds.WORDLESS

    def __init__(self, seeds: Sequence[int], max_episode_steps: int | None, *, echo: float = 0.0, **hearing: Any) -> None:
        if not 0.0 <= echo < 1.0:
            raise UsageError(f"--env.echo {echo}: allowed are 0 (none) to below 1 (walls that swallow nothing)")
        super().__init__(seeds, max_episode_steps, **hearing)
        self.action_space, self.echo = spaces.Discrete(3), float(echo)
        self.sources, self.noises = sounds.beacons(SOURCES), sounds.noises()
        held_out = np.arange(SOURCES) % sounds.HELD_OUT_EVERY == sounds.HELD_OUT_EVERY - 1
        self.choices = np.flatnonzero(held_out == self.hearing.held_out)
        self.field("listener", 3)
        self.field("source", 2)
        self.field("noise_level")
        self.field("success")
        for name in ("beacon", "moment", "noise", "noise_start"):
            self.field(name, dtype=np.int64)

    def begin(self, index: int, generator: np.random.Generator) -> None:
        fields, near = self.fields, True
        while near:
            listener, source = generator.uniform(0.5, ROOM - 0.5, (2, 2))
            near = bool(np.hypot(*(source - listener)) < FARTHEST_START)
        fields["listener"][index] = [*listener, generator.uniform(-np.pi, np.pi)]
        fields["source"][index] = source
        fields["beacon"][index] = generator.choice(self.choices)
        fields["noise"][index], fields["noise_level"][index] = self.hearing.draw_noise(generator)
        fields["success"][index] = 0.0
        self._hear_on(index, generator)

    def _hear_on(self, index: int, generator: np.random.Generator) -> None:
        self.fields["moment"][index] = generator.integers(self.sources.shape[1])
        self.fields["noise_start"][index] = generator.integers(self.noises.shape[1] - 2 * WINDOW)

    def distances(self) -> Array:
        """From listener to source [N], m."""
        return np.hypot(*(self.fields["source"] - self.fields["listener"][:, :2]).T)

    def move(self, actions: Array) -> Moved:
        listener, before = self.fields["listener"], self.distances()
        listener[:, 2] += TURN * ((actions == 0).astype(float) - (actions == 1))
        stride = STRIDE * (actions == 2)[:, None] * np.stack([np.cos(listener[:, 2]), np.sin(listener[:, 2])], -1)
        listener[:, :2] = np.clip(listener[:, :2] + stride, 0.0, ROOM)
        after = self.distances()
        reached = after < REACHED
        self.fields["success"] = reached.astype(np.float64)
        for index in range(self.n_envs):
            self._hear_on(index, self.generators[index])
        return Moved(PROGRESS * (before - after) + reached - TIME_COST, reached)

    def listen(self, index: int, out: Array) -> None:
        fields = self.fields
        start, level = fields["noise_start"][index], np.float32(fields["noise_level"][index] / ROOM)
        x, y, heading = fields["listener"][index]
        source, sound = fields["source"][index], self.sources[fields["beacon"][index]]
        for ear, side in enumerate((1.0, -1.0)):  # left, right
            begin = start + ear * WINDOW
            np.multiply(self.noises[fields["noise"][index], begin:begin + WINDOW], level, out=out[ear])
            across = heading + side * np.pi / 2
            position = np.array([x + np.cos(across) * EAR_DISTANCE / 2, y + np.sin(across) * EAR_DISTANCE / 2])
            for place, strength in self._paths(source):
                away = place - position
                distance = float(np.hypot(*away))
                angle = np.arctan2(away[1], away[0]) - (heading + side * EAR_ANGLE)
                gain = strength * (1 - SHADOW + SHADOW * np.cos(angle)) / max(distance, NEAREST)
                add_delayed(out[ear], sound, fields["moment"][index], distance / SPEED_OF_SOUND * SAMPLE_RATE, float(gain))

    def _paths(self, source: Array) -> list[tuple[Array, float]]:
        """Where sound seems to come from, and how strong: the source and its images in the walls (Allen and Berkley, 1979)."""
        if not self.echo:
            return [(source, 1.0)]
        x, y = source
        images = [(-x, y), (2 * ROOM - x, y), (x, -y), (x, 2 * ROOM - y)]
        return [(source, 1.0), *((np.array(image), self.echo) for image in images)]

    def measure(self) -> dict[str, Array]:
        return {"success": self.fields["success"].copy()}


def add_delayed(out: Array, sound: Array, moment: int, delay: float, gain: float) -> None:
    """Add ``gain`` times the endless loop ``sound`` to ``out``, from ``moment`` on ``delay`` samples late (not whole ones)."""
    whole = int(np.floor(delay))
    share = np.float32(delay - whole)
    positions = np.arange(moment - whole - 1, moment - whole + len(out))
    heard = sound.take(positions, mode="wrap")  # [T + 1]
    out += np.float32(gain) * (heard[1:] * (1 - share) + heard[:-1] * share)


class SoundSeeker(HearingEnv):
    """One copy."""

    metadata: dict[str, Any] = {**HearingEnv.metadata, "render_fps": SAMPLE_RATE // WINDOW}
    vector = SoundSeekerEnvs

    def scene(self) -> NDArray[np.uint8]:
        from toolkit.envs.hearing import picture

        scene, scale = picture.canvas(), picture.SIDE / ROOM
        x, y, heading = self.envs.fields["listener"][0]
        source = self.envs.fields["source"][0]
        picture.disc(scene, source[0] * scale, picture.SIDE - source[1] * scale, REACHED * scale, (250, 205, 190))
        picture.disc(scene, source[0] * scale, picture.SIDE - source[1] * scale, 5, picture.TARGET)
        at = (x * scale, picture.SIDE - y * scale)
        picture.line(scene, at, (at[0] + 18 * np.cos(heading), at[1] - 18 * np.sin(heading)), picture.INK, 4)
        picture.disc(scene, *at, 8, picture.ACCENT)
        return scene
