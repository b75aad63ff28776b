"""Ten kinds of environmental sound, computed in NumPy; nothing but this file is needed.

train, validation   parameters from one range
test                parameters from a range that the others do not touch
noise_0db           the test clips under pink noise as loud as they are
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from toolkit.audio.datasets.stored import Clips, as_int16, stored
from toolkit.audio.recognition_configs import MadeSoundConfig

SECONDS = 1.0
VERSION = "1"
Generator = np.random.Generator
Array = np.ndarray
Recipe = Callable[[int, int, int, int], tuple[Iterator[Any], int]]  # count, held_out, seed, sample_rate: clips, how many


class Sounds:
    """Sine, chirp, siren, noise, clicks, rain, engine, bird, bell, knocks."""

    recipe = "synthetic-sounds"
    target = "label"

    def __init__(self, config: MadeSoundConfig) -> None:
        self.config = config

    def splits(self) -> Mapping[str, Clips]:
        return stored(self.recipe, dataclasses.asdict(self.config), VERSION)


class Draw:
    """Parameters: ``between(low, high)`` is drawn from the outer thirds of the range, for ``test`` from the middle third."""

    def __init__(self, generator: Generator, held: bool) -> None:
        self.generator, self.held = generator, held

    def between(self, low: float, high: float) -> float:
        place = float(self.generator.uniform(0, 1))
        if self.held:
            return low + (high - low) * (1 + place) / 3
        return low + (high - low) * (place * 2 / 3 if place < 0.5 else (1 + 2 * place) / 3)


# -- the sounds: t [T] seconds, d parameters


def sine(t: Array, d: Draw) -> Array:
    return np.sin(2 * np.pi * d.between(200, 3000) * t)


def chirp(t: Array, d: Draw) -> Array:
    """Up or down, once or several times."""
    low, high, times = d.between(200, 600), d.between(1500, 3500), int(d.between(1, 4))
    phase = (t * times) % 1.0
    up = d.generator.random() < 0.5
    frequency = low + (high - low) * (phase if up else 1 - phase)
    return np.sin(2 * np.pi * np.cumsum(frequency) / len(t) * SECONDS)


def siren(t: Array, d: Draw) -> Array:
    frequency = d.between(500, 1200) * (1 + d.between(0.2, 0.45) * np.sin(2 * np.pi * d.between(1, 4) * t))
    return np.sin(2 * np.pi * np.cumsum(frequency) * (t[1] - t[0])) * (0.75 + 0.25 * np.sin(2 * np.pi * d.between(1, 4) * t))


def noise(t: Array, d: Draw) -> Array:
    return coloured(len(t), -d.between(0.0, 1.0), d.generator)


def clicks(t: Array, d: Draw) -> Array:
    """A click now and then, evenly."""
    sound, period = np.zeros(len(t)), int(len(t) / d.between(5, 14))
    sound[int(d.generator.integers(period))::period] = 1.0
    return np.convolve(sound, np.exp(-np.arange(80) / d.between(8, 25)))[:len(t)]


def rain(t: Array, d: Draw) -> Array:
    """Drops at random times, many of them."""
    drops = d.generator.random(len(t)) < d.between(400, 1500) / len(t)
    decay = np.exp(-np.arange(120) / d.between(10, 25)) * np.sin(np.arange(120) * d.between(1.2, 2.2))
    return np.convolve(drops * d.generator.exponential(1.0, len(t)), decay)[:len(t)]


def engine(t: Array, d: Draw) -> Array:
    """Harmonics of a low tone that trembles."""
    wander = 1 + 0.05 * np.cumsum(d.generator.standard_normal(len(t))) / np.sqrt(len(t))
    phase = 2 * np.pi * np.cumsum(d.between(40, 90) * wander) * (t[1] - t[0])
    return np.sum([np.sin(number * phase + number) / number ** 0.7 for number in range(1, 16)], axis=0)


def bird(t: Array, d: Draw) -> Array:
    """Short fast trills, with pauses."""
    trill = 1 + d.between(0.1, 0.3) * np.sin(2 * np.pi * d.between(18, 40) * t)
    calls = (np.sin(2 * np.pi * d.between(2, 5) * t + d.between(0, 6)) > 0.2).astype(np.float64)
    tone = np.sin(2 * np.pi * np.cumsum(d.between(2500, 4500) * trill) * (t[1] - t[0]))
    return tone * np.convolve(calls, np.ones(200) / 200, "same")


def bell(t: Array, d: Draw) -> Array:
    """Partials that are no multiples, dying away."""
    base, decay = d.between(300, 900), d.between(2, 6)
    ratios = (0.56, 0.92, 1.19, 1.71, 2.0, 2.74, 3.0, 3.76)
    return np.sum([np.sin(2 * np.pi * base * ratio * t) * np.exp(-decay * ratio * t) for ratio in ratios], axis=0)


def knocks(t: Array, d: Draw) -> Array:
    """Dull blows in a room, two to five of them."""
    blows = np.zeros(len(t))
    step = int(len(t) * d.between(0.12, 0.22))
    blows[int(0.05 * len(t)):int(0.05 * len(t)) + step * int(d.between(2, 6)):step] = 1.0
    tail = np.arange(4000) / 16000
    body = np.sin(2 * np.pi * d.between(90, 220) * tail) * np.exp(-tail * 45)
    room = d.generator.standard_normal(4000) * np.exp(-tail * d.between(25, 50)) * 0.05
    return np.convolve(blows, body + room)[:len(t)]


SOUNDS: Mapping[str, Callable[[Array, Draw], Array]] = {
    "sine": sine, "chirp": chirp, "siren": siren, "noise": noise, "clicks": clicks, "rain": rain, "engine": engine, "bird": bird,
    "bell": bell, "knocks": knocks}


# -- making


def recipe_of(make: Callable[[str, Array, Draw], Array], labels: Sequence[str], seconds: float,
              facts: Callable[[str], Mapping[str, Any]] | None = None, noise_db: float = 5.0) -> Recipe:
    """Clips of ``seconds``, every label equally often: ``make(label, times [T] in seconds, parameters)`` gives the sound.

    ``facts`` are further columns of a label. Each test clip is followed by its twin under pink noise at ``noise_db``.
    """

    def recipe(count: int, held_out: int, seed: int, sample_rate: int) -> tuple[Iterator[Any], int]:
        t = np.arange(int(seconds * sample_rate)) / sample_rate

        def clips() -> Iterator[tuple[Array, dict[str, Any]]]:
            for split, number in (("train", count), ("validation", max(1, held_out // 2)), ("test", held_out)):
                for place in range(number):
                    generator = np.random.default_rng([seed, ("train", "validation", "test").index(split), place])
                    label = labels[place % len(labels)]
                    sound = levelled(make(label, t, Draw(generator, split == "test")), generator)
                    row = {"split": split, "label": label, **(facts(label) if facts else {}), "sample_rate": sample_rate}
                    yield as_int16(sound), row
                    if split == "test":
                        yield as_int16(drowned(sound, generator, noise_db)), {**row, "split": f"noise_{noise_db:g}db"}

        return clips(), count + max(1, held_out // 2) + 2 * held_out

    return recipe


def levelled(sound: Array, generator: Generator) -> Array:
    """At a drawn peak between -20 and -1 dB of full scale, above a faint floor of noise."""
    sound = sound / max(1e-9, float(np.abs(sound).max())) * 10 ** (generator.uniform(-20, -1) / 20)
    return np.asarray(sound + 1e-4 * generator.standard_normal(len(sound)))


def drowned(sound: Array, generator: Generator, decibels: float) -> Array:
    """Under pink noise, ``decibels`` louder than it; made quieter where it would be cut off."""
    disturbance = coloured(len(sound), -0.5, generator)
    mixed = sound + disturbance * np.sqrt(np.mean(sound ** 2) / np.mean(disturbance ** 2) / 10 ** (decibels / 10))
    return np.asarray(mixed / max(1.0, float(np.abs(mixed).max())))


def coloured(samples: int, slope: float, generator: Generator) -> Array:
    """Noise whose amplitude goes with frequency to the power ``slope``."""
    spectrum = np.fft.rfft(generator.standard_normal(samples))
    spectrum *= np.arange(1, len(spectrum) + 1) ** slope
    return np.asarray(np.fft.irfft(spectrum, samples))


RECIPES = {"synthetic-sounds": recipe_of(lambda label, t, d: SOUNDS[label](t, d), tuple(SOUNDS), SECONDS, noise_db=0.0)}
