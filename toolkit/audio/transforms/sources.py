"""Recordings that transforms draw from: noises and impulse responses."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor

from toolkit.audio import io, manifests
from toolkit.audio.manifests import Clip
from toolkit.audio.transforms.base import below
from toolkit.errors import UsageError
from toolkit.files import glimpse

KEPT_SECONDS = 600.0  # of decoded sound kept in memory


class Recordings:
    """The clips of a file, a folder or a manifest, loaded mono at one rate when they are drawn."""

    def __init__(self, path: str, sample_rate: int) -> None:
        self.clips = clips_at(path)
        self.sample_rate = sample_rate
        self._kept: dict[int, Tensor] = {}
        self._seconds = 0.0

    def fingerprint(self) -> list[str]:
        """A line for each clip: where in its file it is, and what that holds."""
        return [f"{clip.start} {clip.duration} {glimpse(Path(clip.path))}" for clip in self.clips]

    def draw(self, generator: torch.Generator) -> Tensor:
        """One recording [T], double precision. Raises AudioError naming a file that cannot be used."""
        return self.recording(below(len(self.clips), generator))

    def stretch(self, samples: int, generator: torch.Generator) -> Tensor:
        """``samples`` of one recording from a drawn place on; a shorter one is repeated."""
        recording, start = self.place(samples, generator)
        if len(recording) < samples:
            recording = recording.repeat(samples // len(recording) + 1)
        return recording[start:start + samples]

    def place(self, samples: int, generator: torch.Generator) -> tuple[Tensor, int]:
        """One recording and a drawn place in it from which ``samples`` reach to its end at most; 0 where it is shorter."""
        recording = self.draw(generator)
        return recording, below(max(1, len(recording) - samples + 1), generator)

    def recording(self, index: int) -> Tensor:
        """One recording [T], T >= 1. Raises AudioError naming a file that cannot be used."""
        if index not in self._kept:
            clip = self.clips[index]
            samples = io.read(clip.path, self.sample_rate, True, offset=clip.start, duration=clip.duration)[0][0]
            if not len(samples):
                raise io.AudioError(f"{clip.path}: it is too short to be drawn from: at {self.sample_rate} Hz it has no sample. "
                                    "Leave it out")
            recording = torch.from_numpy(samples).double()
            self._seconds += len(recording) / self.sample_rate
            if self._seconds > KEPT_SECONDS:
                return recording
            self._kept[index] = recording
        return self._kept[index]


def clips_at(path: str) -> list[Clip]:
    """The clips that ``path`` names. Files of a folder that cannot be used are warned of.

    Raises UsageError when nothing is left.
    """
    place = Path(path)
    if place.suffix.lower() in manifests.FORMS:
        return manifests.read(place)
    if not place.is_dir():
        io.info(place)
        return [Clip(str(place))]
    clips, problems = manifests.scan(place, labels=False, texts=False)
    for problem in problems:
        warnings.warn(f"left out: {problem}", stacklevel=2)
    if not clips:
        raise UsageError(f"path: {path} holds no sound that can be used ({len(problems)} files are damaged)")
    return clips
