"""Speech made on the machine: digits, commands, strings of digits, sentences.

train, validation   many speakers in five accents
test                speakers that are in no other split
accent              the training speakers in an accent that is in no other split
noise_5db           the test clips under pink noise at 5 dB, which no training recipe of ours uses

A clip's row holds label or text, accent, speaker, speed, pitch, when its words begin, and its phonemes with their times:
``words`` [[text, first second], ...], ``phonemes`` [[letters, first second, last second], ...] in the phonetic alphabet.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from toolkit.audio.datasets import grammar
from toolkit.audio.datasets.espeak import INSTALL, Voice, shared
from toolkit.audio.datasets.stored import Clips, as_int16, stored
from toolkit.audio.io import resampled
from toolkit.audio.recognition_configs import MadeSoundConfig
from toolkit.errors import MissingExtra, UsageError

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
# The words of Speech Commands (Warden, 2018).
COMMANDS = (*DIGITS, "backward", "bed", "bird", "cat", "dog", "down", "follow", "forward", "go", "happy", "house", "learn",
            "left", "marvin", "no", "off", "on", "right", "sheila", "stop", "tree", "up", "visual", "wow", "yes")
ACCENTS = {"en": ("en-us", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029"), "de": ("de",), "ja": ("ja",)}
HELD_ACCENT = {"en": "en-gb-scotland"}
# Speakers; the library's whispers, robots and monsters are left out. Every fifth is held out.
SPEAKERS = ("Alex", "Alicia", "Andrea", "Andy", "Annie", "Denis", "Diogo", "Gene", "Gene2", "Henrique", "Hugo", "Jacky", "Lee",
            "Marco", "Mario", "Michael", "Mike", "Nguyen", "Reed", "Storm", "adam", "anika", "announcer", "antonio", "aunty",
            "belinda", "benjamin", "boris", "caleb", "david", "ed", "edward", "edward2", "f1", "f2", "f3", "f4", "f5",
            "grandma", "grandpa", "gustave", "ian", "iven", "iven2", "iven3", "iven4", "john", "kaukovalta", "klatt", "klatt2",
            "klatt3", "klatt4", "linda", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "marcelo", "max", "michel", "miguel",
            "mike2", "norbert", "pablo", "paul", "pedro", "quincy", "rob", "robert", "sandro", "shelby", "steph", "steph2",
            "steph3", "travis", "victor", "zac")
HELD_SPEAKERS = SPEAKERS[2::5]
KNOWN_SPEAKERS = tuple(name for name in SPEAKERS if name not in HELD_SPEAKERS)
SPEEDS, PITCHES = (120, 220), (20, 80)
SILENCE = 0.004  # of full scale: what is quieter at a clip's ends is cut, but for a margin
MARGIN = 0.03  # seconds
NOISE_DB = 5.0
ROWS = 2  # changes with what a row holds
MISSES = 20_000  # texts in a row that another split has already, after which there is none left

Say = Callable[[random.Random], str]


@dataclasses.dataclass(frozen=True)
class Line:
    """One clip to be made."""

    split: str
    text: str
    voice: Voice


class Spoken:
    """Base of the data sets: the splits of a recipe, under this config's options."""

    recipe = ""
    target = "label"

    def __init__(self, config: MadeSoundConfig) -> None:
        self.config = config

    def splits(self) -> Mapping[str, Clips]:
        return stored(self.recipe, dataclasses.asdict(self.config), version())


class Digits(Spoken):
    """Ten words: zero to nine."""

    recipe = "spoken-digits"


class Commands(Spoken):
    """The 35 words of Speech Commands."""

    recipe = "spoken-commands"


class DigitStrings(Spoken):
    """Digits one after the other."""

    recipe = "spoken-digit-strings"
    target = "text"


class Sentences(Spoken):
    """Sentences of a closed grammar; those of ``test`` and ``accent`` are in no other split."""

    recipe = "spoken-sentences"
    target = "text"


def version() -> str:
    """Of the library and of the rows; found without starting it, since the data may be in the cache already."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as of

    try:
        return f"{of('espeakng-loader')} rows {ROWS}"
    except PackageNotFoundError as error:
        raise MissingExtra(f"made speech needs espeakng-loader, which is not installed. Install it: {INSTALL}. Data that needs "
                           "no speech: toolkit list dataset") from error


# -- recipes


def words_recipe(words: Sequence[str], key: str = "label") -> Callable[..., tuple[Iterator[Any], int]]:
    """Single words, each as often as any other."""

    def recipe(count: int, held_out: int, seed: int, sample_rate: int) -> tuple[Iterator[Any], int]:
        lines = []
        for split, number in sizes(count, held_out, "en"):
            chosen = random.Random(f"words {seed} {split}")
            texts = [words[place % len(words)] for place in range(number)]
            chosen.shuffle(texts)
            lines += [Line(split, text, voice_of(split, "en", chosen)) for text in texts]
        return made(lines, key, seed, sample_rate)

    return recipe


def texts_recipe(say: Say, language: str, count: int, held_out: int, seed: int, sample_rate: int) -> tuple[Iterator[Any], int]:
    """Texts of which no two splits share one."""
    lines: list[Line] = []
    seen: dict[str, str] = {}
    for split, number in reversed(sizes(count, held_out, language)):  # the small ones first, so that they find new ones
        chosen = random.Random(f"texts {seed} {split}")
        part: list[Line] = []
        misses = 0
        while len(part) < number:
            text = say(chosen)
            if seen.setdefault(text, split) == split:
                part.append(Line(split, text, voice_of(split, language, chosen)))
                misses = 0
                continue
            misses += 1
            if misses > MISSES:
                raise UsageError(f"the split {split} finds no text that is not in another: there are about {len(seen)} in all. "
                                 "Ask for fewer held-out clips with --data.held-out, or for longer texts")
        lines += part
    return made(lines, "text", seed, sample_rate)


def digit_strings(count: int, held_out: int, seed: int, sample_rate: int, longest: int) -> tuple[Iterator[Any], int]:
    def say(chosen: random.Random) -> str:
        return " ".join(chosen.choice(DIGITS) for _ in range(chosen.randint(min(3, longest), longest)))

    return texts_recipe(say, "en", count, held_out, seed, sample_rate)


def sentences(count: int, held_out: int, seed: int, sample_rate: int, language: str) -> tuple[Iterator[Any], int]:
    return texts_recipe(lambda chosen: grammar.sentence(language, chosen), language, count, held_out, seed, sample_rate)


RECIPES = {"spoken-digits": words_recipe(DIGITS), "spoken-commands": words_recipe(COMMANDS),
           "spoken-digit-strings": digit_strings, "spoken-sentences": sentences}


# -- making


def sizes(count: int, held_out: int, language: str) -> list[tuple[str, int]]:
    """Clips of each split that is spoken; the noisy one is made from ``test``."""
    held = [("accent", held_out)] if language in HELD_ACCENT else []
    return [("train", count), ("validation", max(1, held_out // 2)), ("test", held_out), *held]


def voice_of(split: str, language: str, chosen: random.Random) -> Voice:
    accent = HELD_ACCENT[language] if split == "accent" else chosen.choice(ACCENTS[language])
    speaker = chosen.choice(HELD_SPEAKERS if split == "test" else KNOWN_SPEAKERS)
    return Voice(accent, speaker, chosen.randint(*SPEEDS), chosen.randint(*PITCHES))


def made(lines: Sequence[Line], key: str, seed: int, sample_rate: int) -> tuple[Iterator[Any], int]:
    """The clips of ``lines``, each of ``test`` followed by its noisy twin; and how many there are."""

    def clips() -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
        espeak, noise = shared(), np.random.default_rng([seed, 5])
        for line in lines:
            said = espeak.speak(line.text, line.voice)
            samples, start = trimmed(said.samples / 32768.0, espeak.sample_rate)
            samples = resampled(samples.astype(np.float32), espeak.sample_rate, sample_rate)
            row = {"split": line.split, key: line.text, "sample_rate": sample_rate, "accent": line.voice.language,
                   "speaker": line.voice.variant, "speed": line.voice.speed, "pitch": line.voice.pitch,
                   "words": timed_words(line.text, said.words, start),
                   "phonemes": timed_phonemes(said.phonemes, start, len(samples) / sample_rate)}
            yield as_int16(samples), row
            if line.split == "test":
                yield as_int16(noisy(samples, noise)), {**row, "split": "noise_5db"}

    return clips(), len(lines) + sum(line.split == "test" for line in lines)


def timed_words(text: str, begins: Sequence[tuple[int, float]], start: float) -> list[tuple[str, float]]:
    """The stretches of ``text`` that were spoken in one breath, mostly words, and the second of the clip at which each begins."""
    ends = [place for place, _ in begins[1:]] + [len(text)]
    return [(text[place:end].strip(), round(max(0.0, second - start), 3))
            for (place, second), end in zip(begins, ends, strict=True)]


def timed_phonemes(said: Sequence[tuple[str, float, float]], start: float, end: float) -> list[tuple[str, float, float]]:
    """Phonemes in seconds of the clip that lasts from ``start`` for ``end`` seconds; what was cut off is left out.

    >>> timed_phonemes([("t", 0.0, 0.25), ("uː", 0.25, 0.75), ("", 0.75, 1.0)], 0.125, 0.5)
    [('t', 0.0, 0.125), ('uː', 0.125, 0.5)]
    """
    times = [(letters, round(max(0.0, first - start), 3), round(min(end, last - start), 3)) for letters, first, last in said]
    return [(letters, first, last) for letters, first, last in times if last > first and letters]


def trimmed(samples: np.ndarray, rate: int) -> tuple[np.ndarray, float]:
    """Without the silence at both ends but for a margin, and how many seconds went from the start."""
    loud = np.flatnonzero(np.abs(samples) > SILENCE)
    if not len(loud):
        return samples, 0.0
    margin = int(MARGIN * rate)
    start = max(0, int(loud[0]) - margin)
    return samples[start:int(loud[-1]) + margin], start / rate


def noisy(samples: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Under pink noise at ``NOISE_DB``, made quieter where it would be cut off."""
    spectrum = np.fft.rfft(generator.standard_normal(len(samples)))
    spectrum *= np.arange(1, len(spectrum) + 1) ** -0.5
    noise = np.fft.irfft(spectrum, len(samples))
    noise *= np.sqrt(np.mean(samples ** 2) / np.mean(noise ** 2) / 10 ** (NOISE_DB / 10))
    mixed = samples + noise
    return np.asarray(mixed / max(1.0, float(np.abs(mixed).max())))
