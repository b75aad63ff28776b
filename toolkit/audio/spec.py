"""FrameSpec: the settings that turn sound into frames, shared by front end, model and vocoder.

A spec is plain data (no torch): it knows how many frames a clip gives, where in time each frame
lies, and in which field it differs from another. It is stored in checkpoints as JSON.

Paddings, by what happens at a clip's ends:
  reflect   n_fft // 2 samples mirrored without the edge sample on both sides (torchaudio, Whisper)
  constant  n_fft // 2 zeros on both sides (librosa, NeMo)
  same      (n_fft - hop_length) // 2 samples mirrored on both sides (HiFi-GAN)
  none      frames of n_fft samples that lie inside the clip
  snip      frames of win_length samples that lie inside the clip (Kaldi)
  mirror    one frame for each hop, mirrored with the edge sample (Kaldi without snip_edges)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from toolkit.config import ConfigError, flag_of
from toolkit.errors import ToolkitError

PADDINGS = ("reflect", "constant", "same", "none", "snip", "mirror")
CENTRED = ("reflect", "constant")
WINDOWED = ("snip", "mirror")  # a frame is win_length long, and zeros follow it up to n_fft


class SpecMismatch(ToolkitError, ValueError):
    """Two parts that must share a FrameSpec do not; the message names the fields."""


@dataclass(frozen=True)
class FrameSpec:
    """What defines the numbers of a front end.

    values       what a frame holds: waveform, spectrum, mel, log-mel, cepstra, chroma, cqt, scalogram, pcen
    bins         numbers in a frame
    sample_rate  samples a second
    n_fft        samples that one spectrum is taken of
    win_length   samples under the window, centred within n_fft (at its start for Kaldi's paddings)
    hop_length   samples from one frame to the next
    window       name of the window
    padding      one of `PADDINGS`
    drop_last    whether the last frame is left out (Whisper, NeMo)
    n_mels       mel or linear bands; 0 without bands
    f_min f_max  Hz, the range of the bands
    mel_scale    htk, slaney, kaldi, linear or empty
    mel_norm     slaney, none or empty
    power        1 magnitudes, 2 powers, 0 neither
    log          none, natural, log10 or db
    details      every further setting that changes the numbers
    """

    values: str
    bins: int
    sample_rate: int
    n_fft: int
    win_length: int
    hop_length: int
    window: str = "rectangular"
    padding: str = "none"
    drop_last: bool = False
    n_mels: int = 0
    f_min: float = 0.0
    f_max: float = 0.0
    mel_scale: str = ""
    mel_norm: str = ""
    power: float = 0.0
    log: str = "none"
    details: tuple[tuple[str, Any], ...] = ()

    def __post_init__(self) -> None:
        limits = (
            ("sample_rate", self.sample_rate >= 1, "at least 1 Hz"),
            ("n_fft", self.n_fft >= 1, "at least 1"),
            ("hop_length", self.hop_length >= 1, "at least 1"),
            ("hop_length", self.padding != "mirror" or self.hop_length <= self.win_length,
             f"at most win_length = {self.win_length} where ends are mirrored"),
            ("win_length", 1 <= self.win_length <= self.n_fft, f"1 to n_fft = {self.n_fft}"),
            ("padding", self.padding in PADDINGS, "one of " + ", ".join(PADDINGS)),
            ("f_max", 0 <= self.f_max <= self.sample_rate / 2, f"at most half the sample rate, {self.sample_rate / 2:g} Hz"),
            ("f_min", self.n_mels == 0 or 0 <= self.f_min < self.f_max, f"0 to below f_max = {self.f_max:g} Hz"),
        )
        for name, holds, allowed in limits:
            if not holds:
                raise ConfigError(f"{name}: got {getattr(self, name)!r}, allowed: {allowed}.")

    # -- time

    @property
    def frame_length(self) -> int:
        """Samples that one frame is computed from."""
        return self.win_length if self.padding in WINDOWED else self.n_fft

    @property
    def left(self) -> int:
        """Samples that precede the clip's first one in the first frame."""
        if self.padding in CENTRED:
            return self.n_fft // 2
        if self.padding == "same":
            return max(0, (self.n_fft - self.hop_length) // 2)
        if self.padding == "mirror":
            return self.win_length // 2 - self.hop_length // 2
        return 0

    def frames(self, samples: int) -> int:
        """Frames of a clip of ``samples`` samples; 0 when it is too short for one."""
        if samples <= 0:
            return 0
        if self.padding == "mirror":
            return (samples + self.hop_length // 2) // self.hop_length
        span = samples + 2 * self.left - self.frame_length
        return max(0, span // self.hop_length + 1 - int(self.drop_last)) if span >= 0 else 0

    @property
    def shortest(self) -> int:
        """Samples of the shortest clip that gives a frame."""
        if self.padding == "mirror":
            return self.hop_length - self.hop_length // 2
        return max(1, self.frame_length - 2 * self.left + int(self.drop_last) * self.hop_length)

    def right(self, samples: int) -> int:
        """Samples that must follow the clip for its last frame to be full."""
        return max(0, (self.frames(samples) - 1) * self.hop_length + self.frame_length - self.left - samples)

    def too_short(self, samples: int) -> str:
        """What is wrong with a clip of ``samples`` samples that gives no frame."""
        return f"{samples} samples at {self.sample_rate} Hz are too short for one frame of {self.frame_length}"

    def times(self, frames: int) -> list[float]:
        """Seconds of the centre of each frame, counted from the clip's first sample."""
        offset = self.frame_length / 2 - self.left
        return [(index * self.hop_length + offset) / self.sample_rate for index in range(frames)]

    @property
    def frame_rate(self) -> float:
        """Frames a second."""
        return self.sample_rate / self.hop_length

    # -- comparing and keeping

    def differences(self, other: FrameSpec) -> dict[str, tuple[Any, Any]]:
        """The fields (and details) in which two specs differ, each with both values."""
        found = {item.name: (getattr(self, item.name), getattr(other, item.name))
                 for item in fields(self) if item.name != "details"}
        mine, theirs = dict(self.details), dict(other.details)
        found.update({name: (mine.get(name), theirs.get(name)) for name in {**mine, **theirs}})
        return {name: pair for name, pair in found.items() if pair[0] != pair[1]}

    def require(self, other: FrameSpec, owner: str = "this part", giver: str = "the front end") -> None:
        """Raise SpecMismatch when ``other``, which ``giver`` gives, is not what ``owner`` was made for."""
        differences = self.differences(other)
        if differences:
            said = "; ".join(f"{name}: {owner} needs {mine!r}, {giver} gives {theirs!r}"
                             for name, (mine, theirs) in differences.items())
            flags = " ".join(f"{flag_of(f'frontend.{name}')} {mine}" for name, (mine, _) in differences.items()
                             if name not in ("values", "bins"))
            raise SpecMismatch(f"{said}. Give the same frames to both" + (f", for example: {flags}" if flags else "."))

    def json(self) -> dict[str, Any]:
        """The spec as JSON values, the form kept in checkpoints."""
        return {**asdict(self), "details": dict(self.details)}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> FrameSpec:
        """The inverse of `json`. Raises ConfigError naming what is missing or unknown."""
        known = {item.name for item in fields(cls)}
        required = {"values", "bins", "sample_rate", "n_fft", "win_length", "hop_length"}
        wrong = sorted((set(row) - known) | (required - set(row)))
        if wrong:
            raise ConfigError(f"a frame spec needs {', '.join(sorted(required))}; unknown or missing: {', '.join(wrong)}.")
        details = row.get("details", {})
        return cls(**{**row, "details": tuple((name, details[name]) for name in details)})
