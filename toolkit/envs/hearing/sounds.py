"""The sounds that are heard: words by many voices, noises, and tones. Made once per process, always the same.

Lexicon  words as clips, each by a voice; some voices are held out from training

Letters: K clips, T samples.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from toolkit.config import Setting
from toolkit.core.splits import splits_of, target_of
from toolkit.errors import UsageError, did_you_mean
from toolkit.registry import UnknownComponent, registry

RATE = 16_000  # Hz
NOISES = ("white", "pink", "hum", "brown", "crackle", "babble")
WORDLESS = NOISES[:-1]  # babble is made of the words that an environment says
NOISE_SECONDS = 8
LEVEL = 0.1  # root mean square of a word, and of every noise at 0 dB
TONES, SPOKEN = "tones", "spoken-commands"
WORDS = Setting("words", "str", kind="dataset", fits="sound")
PERIOD = 8192  # samples of a tone's period in a table
TONE_VOICES, HELD_OUT_EVERY = 240, 5  # every fifth voice is kept for evaluations; with 40 one of eight was not understood
Sound = NDArray[np.float32]


class Lexicon(NamedTuple):
    """K clips. Sound outside a clip's length is 0."""

    clips: Sequence[Sound]  # each [T], of level LEVEL
    lengths: NDArray[np.int64]  # [K] samples
    words: NDArray[np.int64]  # [K] index of the word
    held_out: NDArray[np.bool_]  # [K] whether its voice is kept for evaluations

    def indices(self, word: int, held_out: bool) -> NDArray[np.int64]:
        """The clips of a word by the voices of training, or by the others."""
        return np.flatnonzero((self.words == word) & (self.held_out == held_out))


def levelled(sound: NDArray[np.floating]) -> Sound:
    """``sound`` [T] at the level of all words."""
    return (sound * (LEVEL / max(float(np.sqrt(np.mean(np.square(sound)))), 1e-8))).astype(np.float32)


@lru_cache(maxsize=8)
def lexicon(words: tuple[str, ...], source: str) -> Lexicon:
    """``words`` as said by many voices: ``source`` is "tones" or the name of a data set of spoken words."""
    return tone_lexicon(words) if source == TONES else spoken_lexicon(words, source)


class Voice(NamedTuple):
    """Who says words in tones."""

    root: float  # Hz
    note: int  # samples of each note
    strengths: NDArray[np.float64]  # [4] of the harmonics

    @classmethod
    def of(cls, number: int) -> Voice:
        """The voice of a number, with a pitch, a tempo and a timbre of its own."""
        rng = np.random.default_rng(number)
        root, seconds = 220.0 * 2.0 ** rng.uniform(-0.2, 0.2), rng.uniform(0.12, 0.18)
        return cls(root, int(seconds * RATE), rng.uniform(0.1, 1.0, 4))

    def scale(self) -> NDArray[np.float64]:
        """Its eight notes, [8, T]."""
        time = np.arange(self.note) / RATE
        fade = np.minimum(1.0, np.minimum(time, time[::-1]) / 0.01)
        return np.stack([fade * harmonics(time, self.root * 2.0 ** (note / 4.0), self.strengths) for note in range(8)])


class Melodies(Sequence[Sound]):
    """Each word a melody by each voice, word after word. A voice is made when it is first heard: all take most of a second."""

    def __init__(self, words: tuple[str, ...]) -> None:
        self.melodies = [np.random.default_rng(zlib.crc32(word.encode())).permutation(8)[:4] for word in words]
        self.voices = [Voice.of(number) for number in range(TONE_VOICES)]
        self._said: dict[int, list[Sound]] = {}  # what each voice says, by word

    def __len__(self) -> int:
        return len(self.melodies) * TONE_VOICES

    def __getitem__(self, index: Any) -> Any:
        word, voice = divmod(range(len(self))[index], TONE_VOICES)
        if voice not in self._said:
            notes = self.voices[voice].scale()
            self._said[voice] = [levelled(notes[melody].ravel()) for melody in self.melodies]
        return self._said[voice][word]


def tone_lexicon(words: tuple[str, ...]) -> Lexicon:
    """Each word a melody of four of a scale's eight notes; each voice a scale."""
    clips, voices = Melodies(words), np.tile(np.arange(TONE_VOICES), len(words))
    lengths = np.tile([4 * voice.note for voice in clips.voices], len(words))
    return Lexicon(clips, lengths, np.repeat(np.arange(len(words)), TONE_VOICES), voices % HELD_OUT_EVERY == HELD_OUT_EVERY - 1)


def harmonics(time: NDArray[np.float64], frequency: float, strengths: NDArray[np.float64]) -> NDArray[np.float64]:
    """A tone [T] at times [s] whose harmonics have ``strengths``."""
    orders = np.arange(1, len(strengths) + 1)
    audible = orders * frequency < RATE / 2
    waves = np.sin(2 * np.pi * frequency * orders[audible, None] * time)  # [harmonics, T]
    return strengths[audible] @ waves


@lru_cache(maxsize=1)
def noises() -> NDArray[np.float32]:
    """Every noise but babble for `NOISE_SECONDS`, [kinds, T], at the level of words."""
    rng, count = np.random.default_rng(17), NOISE_SECONDS * RATE
    frequencies = np.fft.rfftfreq(count, 1 / RATE)
    spectrum = np.fft.rfft(rng.standard_normal(count))
    time = np.arange(count) / RATE
    low = np.maximum(frequencies, 20.0)
    hum = harmonics(time, 60.0, rng.uniform(0.2, 1.0, 20)) + 0.1 * rng.standard_normal(count)
    clicks = np.convolve((rng.random(count) < 0.002) * rng.standard_normal(count), np.exp(-np.arange(80) / 16.0))[:count]
    kinds = [np.fft.irfft(spectrum, count), np.fft.irfft(spectrum / np.sqrt(low), count), hum,
             np.fft.irfft(spectrum / low, count), clicks + 0.01 * rng.standard_normal(count)]
    return np.stack([levelled(kind) for kind in kinds])


@lru_cache(maxsize=2)
def timbres(count: int, orders: int) -> NDArray[np.float32]:
    """One period of ``count`` tones with ``orders`` harmonics, [count, PERIOD], each at the level of words."""
    strengths = np.random.default_rng(19).uniform(0.2, 1.0, (count, orders)) / np.arange(1, orders + 1)
    waves = np.sin(2 * np.pi * np.arange(1, orders + 1)[:, None] * np.arange(PERIOD) / PERIOD)  # [orders, PERIOD]
    return np.stack([levelled(row) for row in strengths @ waves])


@lru_cache(maxsize=2)
def beacons(count: int) -> NDArray[np.float32]:
    """Loops of two seconds [count, T] that a source may sound with: noise of some colour that swells, beside a tone."""
    rng, samples = np.random.default_rng(20), 2 * RATE
    time, frequencies = np.arange(samples) / RATE, np.maximum(np.fft.rfftfreq(samples, 1 / RATE), 50.0)
    loops = []
    for _ in range(count):
        noise = np.fft.irfft(np.fft.rfft(rng.standard_normal(samples)) * frequencies ** -rng.uniform(0.0, 1.0), samples)
        tone = harmonics(time, float(rng.integers(100, 800)), rng.uniform(0.1, 1.0, 8))
        swell = 1.0 + 0.5 * np.sin(2 * np.pi * rng.integers(4, 16) * time)
        loops.append(levelled(swell * (levelled(noise) + rng.uniform(0.0, 1.0) * levelled(tone))))
    return np.stack(loops)


@lru_cache(maxsize=8)
def babble(words: tuple[str, ...], source: str) -> Sound:
    """Many voices of a lexicon at once, [T], at the level of words."""
    rng, count, found = np.random.default_rng(18), NOISE_SECONDS * RATE, lexicon(words, source)
    total = np.zeros(count, np.float32)
    for clip in rng.integers(0, len(found.clips), 12 * NOISE_SECONDS):
        start, sound = int(rng.integers(0, count)), found.clips[clip]
        total[(start + np.arange(len(sound))) % count] += sound
    return levelled(total)


def bank(words: tuple[str, ...], source: str) -> NDArray[np.float32]:
    """All noises [kinds, T] in the order of `NOISES`."""
    return np.concatenate([noises(), babble(words, source)[None]])


def source(asked: str) -> str:
    """Where words come from: what was ``asked`` for; without that spoken words where they can be made, else tones.

    Raises UnknownComponent for a data set that does not exist.
    """
    if asked == TONES:
        return TONES
    if asked:
        try:
            return registry.get("dataset", asked).id
        except UnknownComponent as error:
            near = did_you_mean(asked, [TONES, *(entry.name for entry in registry.fitting(WORDS))])
            raise UnknownComponent(f"--env.words {asked}: allowed are {TONES}, and data sets of spoken words such as {SPOKEN}."
                                   f"{near} Data sets: toolkit list dataset") from error
    found = [entry for entry in registry.entries("dataset", SPOKEN, plugins=False) if entry.name == SPOKEN]
    return found[0].id if found and not found[0].missing else TONES


def spoken_lexicon(words: tuple[str, ...], source: str) -> Lexicon:
    """Words from a data set whose examples hold ``audio`` [T] and the word as their label.

    The voices of its split ``test`` are held out. Raises UsageError where a word is missing, or the rate is another.
    """
    data = registry.make("dataset", source)
    splits, key = splits_of(data), target_of(data) or "label"
    clips: list[Sound] = []
    found: list[tuple[int, bool]] = []
    for split in ("train", "test"):
        for example in splits.get(split, ()):
            if example.get(key) in words:
                clips.append(clip_of(example, source))
                found.append((words.index(example[key]), split == "test"))
    missing = [word for index, word in enumerate(words) for held_out in (False, True) if (index, held_out) not in found]
    if missing:
        raise UsageError(f"--env.words {source}: its splits train and test do not both hold {', '.join(sorted(set(missing)))}")
    labels, held_out = zip(*found, strict=True)
    return Lexicon(clips, np.array([len(clip) for clip in clips]), np.array(labels), np.array(held_out))


def clip_of(example: Mapping[str, Any], source: str) -> Sound:
    """An example's sound [T] at the level of words; raises UsageError for another rate than `RATE`."""
    if example.get("sample_rate", RATE) != RATE:
        raise UsageError(f"--env.words {source}: its sounds have {example['sample_rate']} samples a second; allowed: {RATE}")
    audio = np.asarray(example["audio"])
    return levelled(audio / 32768.0 if audio.dtype == np.int16 else audio)
