"""Moods of voice, computed in NumPy: contours of a voiced sound, no recording of anybody.

What tells them apart is what is reported of acted speech: how high and how far the pitch moves, how fast syllables come, how
loud and how bright they are (Banse and Scherer, 1996; Juslin and Laukka, 2003). A proxy: it tells whether a model hears
prosody, and says nothing of what people feel.

train, validation   heights and lengths of voice that one draws from
test                voices between the others'
noise_5db           the test clips under pink noise at 5 dB
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from toolkit.audio.datasets.stored import Clips, stored
from toolkit.audio.datasets.synthetic import Array, Draw, recipe_of
from toolkit.audio.recognition_configs import EmotionsConfig

VERSION = "2"
# Hz; Peterson and Barney (1952).
VOWELS = ((730, 1090, 2440), (530, 1840, 2480), (270, 2290, 3010), (570, 840, 2410), (300, 870, 2240))
VOICE = (115.0, 185.0)  # Hz: the resting pitch
LENGTH = (0.92, 1.1)  # of the vocal tract: formants are divided by it
BANDWIDTH = 90.0  # Hz of a formant


class Emotions:
    """Neutral, happy, sad, angry, afraid, bored: by pitch, pace, loudness and brightness of syllables."""

    recipe = "synthetic-emotions"
    target = "label"

    def __init__(self, config: EmotionsConfig) -> None:
        self.config = config

    def splits(self) -> Mapping[str, Clips]:
        return stored(self.recipe, dataclasses.asdict(self.config), VERSION)


@dataclasses.dataclass(frozen=True)
class Mood:
    """``pitch`` and ``swing`` in semitones over and around the resting pitch; ``pace`` in syllables a second; ``slope`` of the
    phrase in semitones a second; ``tilt``: partial n has strength n to that power; ``tremor`` of the pitch in semitones."""

    pitch: float
    swing: float
    pace: float
    slope: float
    tilt: float
    tremor: float = 0.1


MOODS = {"neutral": Mood(0.0, 1.5, 4.5, -1.0, -1.2), "happy": Mood(5.0, 5.0, 5.5, 1.0, -0.9),
         "sad": Mood(-1.0, 1.0, 2.8, -2.0, -1.8), "angry": Mood(3.0, 3.0, 6.2, -2.5, -0.5),
         "afraid": Mood(7.0, 1.2, 6.8, 1.5, -1.1, 0.9),
         "bored": Mood(-3.0, 0.4, 3.4, -0.4, -1.4)}


def phrase(label: str, t: Array, d: Draw) -> Array:
    """Syllables of random vowels on a pitch contour of the mood."""
    mood, rate = MOODS[label], 1 / (t[1] - t[0])
    rest, tract = d.between(*VOICE), d.between(*LENGTH)
    pace = mood.pace * d.between(0.92, 1.08)
    count = int(t[-1] * pace) + 1
    accents = mood.swing * d.generator.uniform(-1, 1, count + 1)
    place = t * pace
    swing = np.interp(place, np.arange(count + 1), accents)
    tremor = mood.tremor * np.sin(2 * np.pi * d.between(7, 10) * t + d.between(0, 6))
    pitch = rest * 2 ** ((mood.pitch + mood.slope * (t - t[-1] / 2) + swing + tremor) / 12)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    vowels = np.array(VOWELS)[d.generator.integers(len(VOWELS), size=count + 1)] / tract  # (syllables, 3)
    formants = np.stack([np.interp(place, np.arange(count + 1), heights) for heights in vowels.T])
    sound = np.zeros(len(t))
    for number in range(1, int(min(4000.0, rate / 2) / pitch.max()) + 1):
        sound += number ** mood.tilt * resonance(number * pitch, formants) * np.sin(number * phase)
    within = place % 1.0
    return np.asarray(sound * np.sin(np.pi * within) ** 0.7 * np.where(within < 0.9, 1.0, 0.3))


def resonance(frequency: Array, formants: Array) -> Array:
    """How strong a partial [T] is among formants [3, T]: a bell of `BANDWIDTH` around each, weaker from one to the next."""
    bells = frequency - formants  # everything in its place: most of the time went into new memory
    bells /= BANDWIDTH
    np.square(bells, out=bells)
    bells += 1
    np.divide(np.array([1.0, 0.6, 0.3])[:, None], bells, out=bells)
    return np.asarray(bells.sum(0) + 0.02)


RECIPES = {"synthetic-emotions": recipe_of(phrase, tuple(MOODS), 2.0)}
