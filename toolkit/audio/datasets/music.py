"""Chords, and rhythms that stand for genres, computed in NumPy.

Instrument  how strong each partial of a tone is, and how it begins and dies away
chords      six kinds of chord on twelve roots
genres      six kinds of music, told apart by tempo, rhythm and instruments: a proxy, no recording of music

train, validation   instruments, tunings and tempi that one draws from
test                instruments that are in no other split, and tunings and tempi between the others'
noise_5db           the test clips under pink noise at 5 dB
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from toolkit.audio.datasets.stored import Clips, stored
from toolkit.audio.datasets.synthetic import Array, Draw, Generator, recipe_of
from toolkit.audio.recognition_configs import ChordsConfig, GenresConfig

VERSION = "1"
A4 = 440.0  # Hz
FIRST_ROOT = 48  # MIDI number of the lowest root, C3


class Chords:
    """A root and a kind of chord, such as ``C# minor``; or the kind alone, or the root alone."""

    recipe = "synthetic-chords"

    def __init__(self, config: ChordsConfig) -> None:
        self.config, self.target = config, config.target

    def splits(self) -> Mapping[str, Clips]:
        """Every row has ``label`` (root and kind), ``root`` and ``quality``."""
        options = {name: value for name, value in dataclasses.asdict(self.config).items() if name != "target"}
        return stored(self.recipe, options, VERSION)


class Genres:
    """Waltz, march, disco, bossa, ballad, drone: by tempo, metre, rhythm and instruments."""

    recipe = "synthetic-genres"
    target = "label"

    def __init__(self, config: GenresConfig) -> None:
        self.config = config

    def splits(self) -> Mapping[str, Clips]:
        return stored(self.recipe, dataclasses.asdict(self.config), VERSION)


# -- tones


@dataclasses.dataclass(frozen=True)
class Instrument:
    """``partials``: strength of the first ones; ``attack`` seconds to full strength; ``decay`` 1/s from there on."""

    name: str
    partials: tuple[float, ...]
    attack: float
    decay: float


KNOWN = (Instrument("organ", (1.0, 0.6, 0.0, 0.5, 0.0, 0.3), 0.02, 0.2),
         Instrument("piano", (1.0, 0.5, 0.3, 0.2, 0.1), 0.004, 3.0),
         Instrument("guitar", (1.0, 0.8, 0.5, 0.3, 0.2, 0.1), 0.003, 4.0), Instrument("flute", (1.0, 0.15, 0.05), 0.06, 0.3),
         Instrument("reed", (1.0, 0.1, 0.6, 0.1, 0.4, 0.05, 0.2), 0.04, 0.3),
         Instrument("strings", (1.0, 0.6, 0.45, 0.35, 0.25, 0.2, 0.15, 0.1), 0.12, 0.1))
HELD = (Instrument("brass", (0.8, 1.0, 0.7, 0.5, 0.3, 0.2), 0.05, 0.4), Instrument("harp", (1.0, 0.35, 0.2, 0.05), 0.003, 2.5))


def hertz(number: float, cents: float = 0.0) -> float:
    """The frequency of a MIDI note ``number``, mistuned by ``cents``.

    >>> hertz(69), round(hertz(57, 100), 2)
    (440.0, 233.08)
    """
    return A4 * 2 ** ((number - 69 + cents / 100) / 12)


def tone(t: Array, frequency: float, instrument: Instrument, phases: Generator) -> Array:
    """[T] at times ``t`` (s) from the tone's beginning; partials past half the rate are left out."""
    nyquist = 0.5 / (t[1] - t[0])
    sound = np.zeros(len(t))
    for number, strength in enumerate(instrument.partials, 1):
        if number * frequency < nyquist:
            sound += strength * np.sin(2 * np.pi * number * frequency * t + phases.uniform(0, 2 * np.pi))
    envelope = np.minimum(1.0, t / instrument.attack) * np.exp(-instrument.decay * t)
    return np.asarray(sound * envelope)


def instrument_of(d: Draw) -> Instrument:
    """One that the split may use."""
    choice = HELD if d.held else KNOWN
    return choice[int(d.generator.integers(len(choice)))]


# -- chords

ROOTS = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
# Semitones over the root. Diminished seventh and augmented are left out: their inversions are chords of the same kind.
QUALITIES = {"major": (0, 4, 7), "minor": (0, 3, 7), "diminished": (0, 3, 6), "suspended": (0, 5, 7), "dominant": (0, 4, 7, 10),
             "minor-seventh": (0, 3, 7, 10)}
CHORDS = tuple(f"{root} {quality}" for root in ROOTS for quality in QUALITIES)
DETUNED = 20.0  # cents at most, up or down


def notes_of(root: int, quality: str, inversion: int) -> list[int]:
    """Semitones over C: the lowest ``inversion`` notes an octave up, and the root below them all in the bass.

    >>> notes_of(2, "minor", 1)
    [-10, 5, 9, 14]
    """
    intervals = [root + step for step in QUALITIES[quality]]
    return [root - 12, *sorted([note + 12 for note in intervals[:inversion]] + intervals[inversion:])]


def chord(label: str, t: Array, d: Draw) -> Array:
    """An inversion over the root in the bass, notes of unlike strength, struck together or nearly so."""
    name, quality = label.split(" ")
    cents, instrument = d.between(-DETUNED, DETUNED), instrument_of(d)
    inversion, octave = int(d.generator.integers(len(QUALITIES[quality]))), 12 * int(d.generator.integers(2))
    sound = np.zeros(len(t))
    for note in notes_of(ROOTS.index(name), quality, inversion):
        late = int(len(t) * d.generator.uniform(0, 0.04))
        struck = tone(t, hertz(FIRST_ROOT + octave + note, cents), instrument, d.generator) * d.generator.uniform(0.6, 1.0)
        sound[late:] += struck[:len(t) - late]
    return sound


def chord_facts(label: str) -> dict[str, str]:
    root, quality = label.split(" ")
    return {"root": root, "quality": quality}


# -- genres: a bar as steps of the shortest note, and who plays in it


@dataclasses.dataclass(frozen=True)
class Style:
    """``tempo`` in beats a minute; ``beat`` steps long; patterns of steps in a bar: low drum, high drum, chord."""

    tempo: tuple[float, float]
    beat: int
    low: str
    high: str
    chord: str
    steady: bool = False  # chords last until the next one


STYLES = {
    "waltz": Style((150, 190), 2, "x.....", "..x.x.", "..x.x."),
    "march": Style((100, 125), 4, "x.......x.......", "....x.......x.x.", "x...x...x...x..."),
    "disco": Style((112, 132), 4, "x...x...x...x...", "..x...x...x...x.", "..x...x...x...x."),
    "bossa": Style((120, 150), 4, "x..xx..xx..xx..x", "x..x..x...x..x..", "x.x...x.x..x...."),
    "ballad": Style((58, 76), 4, "x.........x.....", "........x.......", "x.x.x.x.x.x.x.x."),
    "drone": Style((40, 60), 4, "................", "................", "x...............", steady=True)}
HITS = 0.25  # seconds that a drum rings


def drum(rate: float, low: bool, generator: Generator) -> Array:
    """A falling low tone, or a burst of noise."""
    t = np.arange(int(HITS * rate)) / rate
    if low:
        return np.sin(2 * np.pi * (50 * t + 6 * (1 - np.exp(-t * 18)))) * np.exp(-t * 14)
    return 0.4 * generator.standard_normal(len(t)) * np.exp(-t * 40)


def music(label: str, t: Array, d: Draw) -> Array:
    """Bars of a style from a random place in one, on three chords of a random key."""
    style, rate = STYLES[label], 1 / (t[1] - t[0])
    step = 60 / d.between(*style.tempo) / style.beat  # seconds
    key, cents, instrument = int(d.generator.integers(12)), d.between(-DETUNED, DETUNED), instrument_of(d)
    offset, sound = int(d.generator.integers(len(style.low))), np.zeros(len(t))
    length = len(style.low) * step if style.steady else max(0.3, 2 * step)
    degrees = [(0, "major"), (5, "major"), (7, "dominant"), (9, "minor")]
    root, quality = degrees[0]
    for number in range(int(t[-1] / step) + 1):
        place = (offset + number) % len(style.low)
        if place == 0:
            root, quality = degrees[int(d.generator.integers(len(degrees)))]
        begin = int(number * step * rate)
        for pattern, low in ((style.low, True), (style.high, False)):
            if pattern[place] == "x":
                add(sound, begin, drum(rate, low, d.generator) * d.generator.uniform(1.2, 2.0))
        if style.chord[place] == "x" or (style.steady and number == 0):
            span = np.arange(int(length * rate)) / rate
            for note in notes_of((key + root) % 12, quality, 0):
                add(sound, begin, 0.4 * tone(span, hertz(FIRST_ROOT + 12 + note, cents), instrument, d.generator))
    return sound


def add(sound: Array, begin: int, other: Array) -> None:
    """``other`` onto ``sound`` from ``begin`` on, as far as there is room."""
    room = max(0, len(sound) - begin)
    sound[begin:begin + len(other)] += other[:room]


RECIPES = {"synthetic-chords": recipe_of(chord, CHORDS, 1.0, chord_facts),
           "synthetic-genres": recipe_of(music, tuple(STYLES), 4.0)}
