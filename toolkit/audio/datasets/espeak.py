"""Speech from libespeak-ng, the library that the wheel ``espeakng-loader`` ships, driven through ctypes.

Voice      a language or accent, a variant of the speaker, a speed and a pitch
Utterance  samples, when each word begins, and from when to when each phoneme sounds
Espeak     the library; one a process

What is said depends a little on what the process said before, so data sets are made in a process of their
own, in a fixed order. espeak-ng is GPL-3: it is an optional package, loaded when speech is made, and no speech is shipped.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.errors import MissingExtra, ToolkitError, UsageError, did_you_mean

INSTALL = 'pip install "toolkit[speech]"  (or: pip install espeakng-loader)'
SYNCHRONOUS, UTF8, WORD_EVENT, PHONEME_EVENT, END_OF_LIST = 2, 1, 1, 7, 0
TELL_PHONEMES, IN_IPA = 1, 2  # espeakINITIALIZE_PHONEME_EVENTS, espeakINITIALIZE_PHONEME_IPA
RATE, PITCH = 1, 3  # espeak_PARAMETER
LOCK = threading.Lock()


@dataclass(frozen=True)
class Voice:
    """Who speaks: ``language`` such as ``en-us``, ``variant`` such as ``f3``, ``speed`` in words a minute, ``pitch`` 0 to 99."""

    language: str
    variant: str = ""
    speed: int = 160
    pitch: int = 50

    @property
    def name(self) -> str:
        return f"{self.language}+{self.variant}" if self.variant else self.language


@dataclass(frozen=True)
class Utterance:
    """Samples [T] int16 at `Espeak.sample_rate`, and (letter of the text, second) where words begin.

    The library speaks some words in one breath (``in the``); they have one beginning. ``phonemes`` are (letters of the
    International Phonetic Alphabet, first second, last second), a stress mark before a stressed one.
    """

    samples: np.ndarray
    words: tuple[tuple[int, float], ...]
    phonemes: tuple[tuple[str, float, float], ...]


class Event(ctypes.Structure):
    """espeak_EVENT of speak_lib.h."""

    _fields_ = [("type", ctypes.c_int), ("unique_identifier", ctypes.c_uint), ("text_position", ctypes.c_int),
                ("length", ctypes.c_int), ("audio_position", ctypes.c_int), ("sample", ctypes.c_int),
                ("user_data", ctypes.c_void_p), ("id", ctypes.c_char * 8)]


CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(Event))


class Espeak:
    """libespeak-ng, initialised. Raises MissingExtra without the package, ToolkitError when it does not start."""

    def __init__(self) -> None:
        try:
            import espeakng_loader
        except ImportError as error:
            raise MissingExtra(f"made speech needs espeakng-loader, which is not installed. Install it: {INSTALL}. Data that "
                               "needs no speech: toolkit list dataset") from error
        self.library: Any = ctypes.CDLL(espeakng_loader.get_library_path())
        self.data = Path(espeakng_loader.get_data_path())
        self.sample_rate = int(self.library.espeak_Initialize(SYNCHRONOUS, 0, str(self.data).encode(), TELL_PHONEMES | IN_IPA))
        if self.sample_rate <= 0:
            raise ToolkitError(f"espeak-ng did not start with its data in {self.data} (code {self.sample_rate}). "
                               f"Install it anew: {INSTALL}")
        self.library.espeak_Info.restype = ctypes.c_char_p
        self.version = str(self.library.espeak_Info(None).decode())
        self._blocks: list[np.ndarray] = []
        self._words: list[tuple[int, float]] = []
        self._phonemes: list[tuple[str, float]] = []
        self._callback = CALLBACK(self._take)  # kept alive: the library holds a bare pointer
        self.library.espeak_SetSynthCallback(self._callback)

    def variants(self) -> list[str]:
        """The names of speakers that any language can be spoken with."""
        return sorted(path.name for path in (self.data / "voices" / "!v").iterdir())

    def languages(self) -> list[str]:
        """The names of languages and accents."""
        files = [path for path in (self.data / "lang").rglob("*") if path.is_file()]
        return sorted({line.split()[1] for path in files for line in path.read_text(errors="replace").splitlines()
                       if line.startswith("language ")})

    def speak(self, text: str, voice: Voice) -> Utterance:
        """``text`` spoken by ``voice``.

        Raises UsageError for a voice that does not exist, ToolkitError when espeak-ng reports a failure.
        """
        with LOCK:
            self._choose(voice)
            self._blocks, self._words, self._phonemes = [], [], []
            self.library.espeak_ng_SetRandSeed(ctypes.c_long(1))  # breath is random, and seeded with the time
            coded = text.encode() + b"\0"
            self._must(self.library.espeak_Synth(coded, len(coded), 0, 1, 0, UTF8, None, None), f"speaking {text!r}")
            self._must(self.library.espeak_Synchronize(), f"speaking {text!r}")
            if not self._blocks:
                raise ToolkitError(f"espeak-ng said nothing for {text!r} with the voice {voice.name}")
            samples = np.concatenate(self._blocks)
            return Utterance(samples, tuple(self._words), lasting(self._phonemes, len(samples) / self.sample_rate))

    def _choose(self, voice: Voice) -> None:
        # A variant that does not exist is ignored by the library, and some languages fall back to another: so names are checked.
        if voice.variant and voice.variant not in self._variants:
            raise UsageError(f"espeak-ng has no variant {voice.variant!r}.{did_you_mean(voice.variant, list(self._variants))}")
        if voice.language not in self._languages:
            raise UsageError(f"espeak-ng has no voice {voice.language!r}.{did_you_mean(voice.language, list(self._languages))}")
        code = self.library.espeak_SetVoiceByName(voice.name.encode())
        if code != 0:  # en-gb is listed and is not a voice; en-gb-x-rp is
            others = [name for name in sorted(self._languages) if name.startswith(voice.language[:2]) and name != voice.language]
            raise UsageError(f"espeak-ng cannot speak with the voice {voice.name!r} (code {code}). Near it: {', '.join(others)}")
        self._must(self.library.espeak_SetParameter(RATE, voice.speed, 0), f"setting the speed {voice.speed}")
        self._must(self.library.espeak_SetParameter(PITCH, voice.pitch, 0), f"setting the pitch {voice.pitch}")

    @property
    def _variants(self) -> frozenset[str]:
        return _names(self)[0]

    @property
    def _languages(self) -> frozenset[str]:
        return _names(self)[1]

    def _must(self, code: int, doing: str) -> None:
        if code != 0:
            raise ToolkitError(f"espeak-ng failed at {doing} (code {code})")

    def _take(self, samples: Any, count: int, events: Any) -> int:
        if samples and count > 0:
            self._blocks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        place = 0
        while events[place].type != END_OF_LIST:
            if events[place].type == WORD_EVENT:
                self._words.append((events[place].text_position - 1, events[place].audio_position / 1000))
            elif events[place].type == PHONEME_EVENT:
                self._phonemes.append((events[place].id.decode(errors="replace"), events[place].audio_position / 1000))
            place += 1
        return 0


def lasting(begins: Sequence[tuple[str, float]], end: float) -> tuple[tuple[str, float, float], ...]:
    """Phonemes and their beginnings as (phoneme, first second, last second); one without letters is a silence.

    >>> lasting([("n", 0.0), ("oʊ", 0.1), ("", 0.3), ("n", 0.5)], 0.6)
    (('n', 0.0, 0.1), ('oʊ', 0.1, 0.3), ('n', 0.5, 0.6))
    """
    ends = [begin for _, begin in begins[1:]] + [end]
    return tuple((letters, begin, stop) for (letters, begin), stop in zip(begins, ends, strict=True) if letters and stop > begin)


@cache
def _names(espeak: Espeak) -> tuple[frozenset[str], frozenset[str]]:
    return frozenset(espeak.variants()), frozenset(espeak.languages())


@cache
def shared() -> Espeak:
    """This process's library."""
    return Espeak()
