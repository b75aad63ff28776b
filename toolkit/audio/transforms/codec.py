"""Codec round trips: a clip encoded and decoded again in memory."""

from __future__ import annotations

import io as memory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from toolkit.audio import io
from toolkit.audio.transforms import configs
from toolkit.audio.transforms.base import Transform, below, check_bounds, uniform
from toolkit.config import ConfigError

# codec -> format, subtype, rates it takes (empty: any)
FORMS: dict[str, tuple[str, str, tuple[int, ...]]] = {
    "mp3": ("MP3", "MPEG_LAYER_III", (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)),
    "vorbis": ("OGG", "VORBIS", ()), "opus": ("OGG", "OPUS", (8000, 12000, 16000, 24000, 48000)),
    "mu-law": ("WAV", "ULAW", ()), "a-law": ("WAV", "ALAW", ()),
    "gsm": ("WAV", "GSM610", (8000,)), "adpcm": ("WAV", "IMA_ADPCM", ())}
COMPRESSED = ("mp3", "vorbis", "opus")
PADDING_SECONDS = 0.25  # of silence behind a clip, so that its end is not lost with the encoder's last block
DELAY_SECONDS = 0.15  # up to which an encoder's delay is looked for
HEADROOM = 0.99


class Codec(Transform):
    """What a codec leaves of a clip, at the same place and length; computed on the CPU."""

    def __init__(self, config: configs.CodecConfig) -> None:
        check_bounds(compression=config.compression)
        if not config.codecs:
            raise ConfigError(f"codecs: got none, allowed: {', '.join(FORMS)}")
        super().__init__(config)

    def apply(self, clip: Tensor, generator: torch.Generator) -> Tensor:
        name = self.config.codecs[below(len(self.config.codecs), generator)]
        compression = uniform(self.config.compression, generator) if name in COMPRESSED else None
        samples = clip.detach().cpu().float().numpy()
        peak = float(np.abs(samples).max())
        if peak == 0:
            return clip
        # A codec cuts at full scale, which is another transform's business.
        scale = HEADROOM / peak if peak > HEADROOM else 1.0
        return torch.from_numpy(round_trip(samples * scale, self.config.sample_rate, name, compression) / scale).to(clip)


def round_trip(samples: np.ndarray, sample_rate: int, name: str, compression: float | None = None) -> np.ndarray:
    """Samples [T] after one codec, as long and in step with what went in."""
    import soxr

    kind, subtype, rates = FORMS[name]
    rate = sample_rate if not rates or sample_rate in rates else min(
        (rate for rate in rates if rate >= sample_rate), default=rates[-1])
    padded = np.pad(samples, (0, round(PADDING_SECONDS * sample_rate)))
    given = soxr.resample(padded, sample_rate, rate) if rate != sample_rate else padded
    decoded = coded(given, rate, kind, subtype, compression)
    if rate != sample_rate:
        decoded = soxr.resample(decoded, rate, sample_rate)
    delay = delay_of(decoded, padded, round(DELAY_SECONDS * sample_rate))
    decoded = decoded[delay:] if delay >= 0 else np.pad(decoded, (-delay, 0))
    return np.pad(decoded, (0, max(0, len(samples) - len(decoded))))[:len(samples)].astype(np.float32)


def coded(samples: np.ndarray, rate: int, kind: str, subtype: str, compression: float | None) -> np.ndarray:
    """Samples written to memory and read again."""
    soundfile = io.imported_soundfile()
    holder = memory.BytesIO()
    options: dict[str, Any] = {} if compression is None else {"compression_level": compression}
    with soundfile.SoundFile(holder, "w", rate, 1, subtype, format=kind, **options) as sound:
        io.put(sound, samples, kind)
    holder.seek(0)
    decoded, read_rate = soundfile.read(holder, dtype="float32")
    if read_rate != rate:  # Opus may answer in its own rate
        import soxr

        decoded = soxr.resample(decoded, read_rate, rate)
    return np.asarray(decoded)


def delay_of(later: np.ndarray, earlier: np.ndarray, reach: int) -> int:
    """Samples by which ``later`` follows ``earlier``, at most ``reach`` either way: the peak of their correlation."""
    size = 1 << (len(later) + len(earlier) - 1).bit_length()
    correlation = np.fft.irfft(np.fft.rfft(later, size) * np.fft.rfft(earlier, size).conj(), size)
    lags = np.concatenate([np.arange(reach + 1), np.arange(-reach, 0)])
    return int(lags[np.argmax(correlation[lags])])
