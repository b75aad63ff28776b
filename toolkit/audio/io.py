"""Sound files: read, write, probe and stream WAV, FLAC, OGG, Opus and MP3.

load     a file (or part of it) as a waveform [channels, time] float32 in [-1, 1]
read     the same as a NumPy array, without importing torch
blocks   a file in constant memory
info     what a file says of itself, without decoding it
save     a waveform to a file
writing  a file from one block of samples after another

soundfile decodes and encodes, soxr resamples. Every failure is an `AudioError` that names the file
and the cause, so that a batch job can catch that one class, report the file and go on.
"""

from __future__ import annotations

import io
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from toolkit.audio._containers import cause_of_failure, promised_too_much
from toolkit.errors import MissingExtra, ToolkitError, UsageError, did_you_mean

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

Source = str | os.PathLike[str] | bytes | BinaryIO
SUFFIXES = {".wav": "WAV", ".flac": "FLAC", ".ogg": "OGG", ".opus": "OGG", ".mp3": "MP3", ".aiff": "AIFF", ".aif": "AIFF",
            ".au": "AU", ".caf": "CAF", ".w64": "W64", ".rf64": "RF64"}
QUALITIES = ("HQ", "VHQ", "MQ", "LQ", "QQ")
BLOCK_SECONDS = 10.0
# What follows a seek in these is decoded wrongly until the decoder has seen some frames: it is told by what came before.
LOSSY, LEAD = ("MP3", "OGG"), 16 * 1152  # samples that are decoded and left out after a seek
PIECE = 1 << 16  # samples of each channel that are encoded at once: libvorbis overflows the stack with a few million
UNKNOWN = (1 << 63) - 1  # what libsndfile says of a FLAC without its length, as of an encoder that could not seek back
UNSCALED = ("FLOAT", "DOUBLE", "OPUS")  # encodings that libsndfile does not bring integers to full scale for
SHORT, LENGTHS = ("WAV", "WAVEX", "AIFF"), 1 << 32  # formats whose headers count bytes in 32 bits
SAMPLE_BYTES = {"PCM_S8": 1, "PCM_U8": 1, "ULAW": 1, "ALAW": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}
COMPRESSED_BYTES, HEADER = 0.6, 4096  # at most, of a sample of any other encoding in these
LOUDER = ("FLOAT", "DOUBLE", "VORBIS", "OPUS", "MPEG_LAYER_III")  # encodings that hold samples beyond full scale; others cut them


class AudioError(ToolkitError):
    """A sound file that cannot be used; the message names the file and the cause."""


@dataclass(frozen=True)
class AudioInfo:
    """What a file says of itself. ``subtype`` is the samples' encoding, such as PCM_16 or VORBIS."""

    sample_rate: int
    channels: int
    frames: int
    format: str
    subtype: str

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.frames / self.sample_rate


def name_of(source: Source) -> str:
    """What messages call a source."""
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    return str(getattr(source, "name", "")) or ("bytes in memory" if isinstance(source, bytes) else "an open file")


def info(source: Source) -> AudioInfo:
    """Rate, channels, length and encoding, read from the header alone where it tells the length. Raises AudioError."""
    with opened(source) as sound:
        return AudioInfo(sound.samplerate, sound.channels, frames_of(sound), sound.format, sound.subtype)


def load(path: Source, sample_rate: int | None = None, mono: bool = False, *, offset: float = 0.0,
         duration: float | None = None, quality: str = "HQ") -> tuple[Tensor, int]:
    """A file as ``(waveform [channels, time] float32 in [-1, 1], rate)``.

    sample_rate  resample to this rate (Hz); None keeps the file's
    mono         average the channels into one
    offset       seconds to skip at the beginning
    duration     seconds to read; None reads to the end
    quality      of soxr's resampling: HQ, VHQ, MQ, LQ or QQ

    Raises AudioError naming the file and the cause.
    """
    import torch

    samples, rate = read(path, sample_rate, mono, offset=offset, duration=duration, quality=quality)
    return torch.from_numpy(samples), rate


def read(path: Source, sample_rate: int | None = None, mono: bool = False, *, offset: float = 0.0,
         duration: float | None = None, quality: str = "HQ") -> tuple[np.ndarray, int]:
    """As `load`, but the waveform is a NumPy array."""
    import numpy as np

    name = name_of(path)
    with opened(path) as sound:
        rate = sound.samplerate
        first, count = span_of(sound, name, offset, duration)
        samples = decoded(sound, first, count, name)
    samples = mixed(samples) if mono else samples  # [time, channels]
    check_finite(samples, name, first / rate, rate)
    if sample_rate is not None and sample_rate != rate:
        samples, rate = resampled(samples, rate, sample_rate, quality), sample_rate
    return np.ascontiguousarray(samples.T), rate


def blocks(path: Source, sample_rate: int | None = None, mono: bool = False, *, seconds: float = BLOCK_SECONDS,
           offset: float = 0.0, duration: float | None = None, quality: str = "HQ") -> Iterator[np.ndarray]:
    """The waveform of `read` in consecutive pieces [channels, time], in constant memory.

    ``seconds`` is how much of the file is decoded at a time. Joined, the pieces equal the whole within
    soxr's rounding. Raises AudioError, possibly after some pieces.
    """
    import numpy as np

    name = name_of(path)
    if seconds <= 0:
        raise UsageError(f"seconds: got {seconds}, allowed: a number above 0")
    with opened(path) as sound:
        rate = sound.samplerate
        first, left = span_of(sound, name, offset, duration)
        channels = 1 if mono else sound.channels
        resampler = None
        if sample_rate is not None and sample_rate != rate:
            import soxr

            resampler = soxr.ResampleStream(rate, sample_rate, channels, dtype="float32", quality=checked_quality(quality))
        size, at = max(1, round(seconds * rate)), 0
        while left > 0:
            samples = decoded(sound, first, min(size, left), name, at)
            check_finite(samples, name, first / rate, rate)
            at = first = first + len(samples)
            left -= len(samples)
            samples = mixed(samples) if mono else samples
            if resampler is not None:
                samples = resampler.resample_chunk(samples, last=left <= 0)
                samples = samples.reshape(-1, channels)  # [time, channels]
            if len(samples):
                yield np.ascontiguousarray(samples.T)


def save(path: str | os.PathLike[str] | BinaryIO, waveform: Any, sample_rate: int, *, subtype: str | None = None,
         format: str | None = None, overwrite: bool = False) -> None:
    """Write a waveform [channels, time] or [time], float in [-1, 1] or integers, to a file.

    The format follows the suffix; ``subtype`` is the samples' encoding (PCM_16, PCM_24, FLOAT, VORBIS, OPUS, ...),
    the format's usual one when None. The file appears complete or not at all. Samples beyond full scale that are cut are
    warned of. Raises AudioError; UsageError when the file exists and ``overwrite`` is false.
    """
    samples = as_samples(waveform, name_of(path))  # [time, channels]
    kind, subtype = checked_format(path, format, subtype)
    if lost := beyond(samples, subtype or imported_soundfile().default_subtype(kind)):
        warnings.warn(f"{name_of(path)}: {lost_text(lost, samples.size)}. Divide the waveform by its peak, or write a WAV with "
                      "subtype='FLOAT'", stacklevel=2)
    if not isinstance(path, (str, os.PathLike)):
        write(path, samples, sample_rate, subtype, kind, name_of(path))
        return
    with appearing(Path(path), overwrite) as temporary:
        write(temporary, samples, sample_rate, subtype, kind, name_of(path))


class SoundWriter:
    """A sound file that is being written. ``channels`` and ``sample_rate`` (Hz) are the file's."""

    def __init__(self, sound: Any, name: str) -> None:
        self._sound, self._name = sound, name
        self.sample_rate: int = sound.samplerate
        self.channels: int = sound.channels
        self.samples = 0  # of each channel, so far
        self.beyond = 0  # of all channels, so far: those beyond full scale, which are cut

    def write(self, waveform: Any) -> None:
        """Append a waveform [channels, time] as `save` takes it; one without samples adds nothing. Raises AudioError."""
        if not waveform.shape[-1]:
            return
        samples = as_samples(waveform, self._name)  # [time, channels]
        if samples.shape[1] != self.channels:
            raise AudioError(f"{self._name}: it has {self.channels} channels; got a block of {samples.shape[1]}")
        with explained(self._name, self.channels, self.sample_rate, self._sound.format, self._sound.subtype):
            put(self._sound, samples, self._name)
        self.beyond += beyond(samples, self._sound.subtype)
        self.samples += len(samples)


@contextmanager
def writing(path: str | os.PathLike[str], sample_rate: int, channels: int, *, subtype: str | None = None,
            format: str | None = None, overwrite: bool = False) -> Iterator[SoundWriter]:
    """A `SoundWriter` for a file of any length, in constant memory.

    Format, encoding and errors are those of `save`. The file appears when the block of ``with`` ends without an
    exception, and not at all otherwise; one without samples is an AudioError.
    """
    name = name_of(path)
    kind, subtype = checked_format(path, format, subtype)
    with appearing(Path(path), overwrite) as temporary:
        with explained(name, channels, sample_rate, kind, subtype):
            sound = imported_soundfile().SoundFile(os.fsencode(temporary), "w", sample_rate, channels, subtype, format=kind)
        try:
            writer = SoundWriter(sound, name)
            yield writer
        finally:
            with explained(name, channels, sample_rate, kind, subtype):
                sound.close()
        if not writer.samples:
            raise AudioError(f"{name}: nothing was written: there are no samples")


@contextmanager
def appearing(target: Path, overwrite: bool) -> Iterator[Path]:
    """A file beside ``target`` that takes its name when the block of ``with`` ends well, and is removed otherwise.

    Raises AudioError where none can be made there; UsageError when ``target`` exists and ``overwrite`` is false.
    """
    if target.exists() and not overwrite:
        raise UsageError(f"{target} exists. Choose another name, or say that it may be overwritten (overwrite=True)")
    try:
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".new-", delete=False) as file:
            temporary = Path(file.name)
    except OSError as error:
        raise AudioError(f"{target} cannot be written: {error.strerror or error}") from error
    try:
        yield temporary
        os.chmod(temporary, 0o666 & ~current_umask())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def resampled(samples: np.ndarray, rate: int, sample_rate: int, quality: str = "HQ") -> np.ndarray:
    """``samples`` [time, channels] at another rate, by soxr. Raises UsageError for a rate below 1."""
    import soxr

    if sample_rate < 1:
        raise UsageError(f"sample_rate: got {sample_rate}, allowed: a whole number at least 1")
    return soxr.resample(samples, rate, sample_rate, quality=checked_quality(quality))


def checked_quality(quality: str) -> str:
    if quality not in QUALITIES:
        raise UsageError(f"quality: got {quality!r}, allowed: {', '.join(QUALITIES)}.{did_you_mean(quality, QUALITIES)}")
    return quality


# -- opening and decoding


def opened(source: Source) -> Any:
    """An open soundfile.SoundFile. Raises AudioError with the first true cause."""
    soundfile = imported_soundfile()
    name = name_of(source)
    if isinstance(source, (str, os.PathLike)):
        check_path(Path(source))
    holder: Any = io.BytesIO(source) if isinstance(source, bytes) else source
    if isinstance(source, (str, os.PathLike)):
        holder = os.fsencode(source)  # a name need not be UTF-8, which soundfile makes of a text
    here = holder.tell() if hasattr(holder, "tell") else None
    try:
        sound = soundfile.SoundFile(holder)
        if sound.frames >= UNKNOWN:  # it is decoded once to know its length, and then begun anew
            with sound:
                counted = sum(iter(lambda: len(up_to(sound, PIECE)), 0))
            if here is not None:
                holder.seek(here)
            sound = soundfile.SoundFile(holder)
            sound.counted = counted
    except (soundfile.LibsndfileError, TypeError) as error:
        raise AudioError(f"{name}: {cause_of_failure(source, error)}") from error
    try:
        problem = promised_too_much(source)
        if problem:
            raise AudioError(f"{name}: {problem}")
        if frames_of(sound) == 0:
            raise AudioError(f"{name}: it holds no samples (its header is valid, its length is 0)")
    except AudioError:
        sound.close()
        raise
    return sound


def imported_soundfile() -> Any:
    try:
        import soundfile
    except (ImportError, OSError) as error:
        raise MissingExtra(f"soundfile could not be imported ({error}). Install it: pip install soundfile") from error
    return soundfile


def check_path(path: Path) -> None:
    """Raise AudioError for what the file system already knows to be wrong."""
    try:
        size = path.stat().st_size
    except OSError as error:
        missing = f"it is a link to {path.readlink()}, which is not there" if path.is_symlink() else "there is no such file"
        raise AudioError(f"{path}: {missing if isinstance(error, FileNotFoundError) else error.strerror}") from error
    if path.is_dir():
        raise AudioError(f"{path}: it is a folder, {'not a file' if os.access(path, os.R_OK) else 'which may not be read'}")
    if size == 0:
        raise AudioError(f"{path}: it is empty (0 bytes)")


def span_of(sound: Any, name: str, offset: float, duration: float | None) -> tuple[int, int]:
    """First sample and count of a part of a file. Raises AudioError when it lies outside."""
    rate, frames = sound.samplerate, frames_of(sound)
    if offset < 0 or (duration is not None and duration <= 0):
        raise UsageError(f"offset must be at least 0 and duration above 0; got offset={offset}, duration={duration}")
    first = round(offset * rate)
    if first >= frames:
        raise AudioError(f"{name}: offset {offset:g} s is past its end at {frames / rate:g} s")
    return first, frames - first if duration is None else min(frames - first, max(1, round(duration * rate)))


def frames_of(sound: Any) -> int:
    """How many samples each channel of an `opened` file has, also where its header does not say."""
    return int(sound.frames if sound.frames < UNKNOWN else sound.counted)


def up_to(sound: Any, count: int) -> np.ndarray:
    """The next ``count`` samples [time, channels] float32, or what is left of them.

    soundfile seeks after every read, which fails at the end of a FLAC of unknown length, and nothing can be read after that;
    what was read is there, and such a file holds no NaN.
    """
    import numpy as np

    if sound.frames < UNKNOWN:
        samples: np.ndarray = sound.read(count, dtype="float32", always_2d=True)
        return samples
    samples = np.full((count, sound.channels), np.nan, np.float32)
    with suppress(imported_soundfile().LibsndfileError):
        sound.read(out=samples)
    return samples[:int(np.isfinite(samples[:, 0]).sum())]


def decoded(sound: Any, first: int, count: int, name: str, at: int = 0) -> np.ndarray:
    """``count`` samples [time, channels] float32 from sample ``first`` on. Raises AudioError when the file holds fewer.

    ``at`` is the sample that the stream stands at; up to ``first`` an encoding without a way to seek (GSM) is decoded.
    """
    soundfile = imported_soundfile()
    lead = min(first, LEAD) if sound.format in LOSSY else 0  # soundfile seeks after every read, so that each begins with one
    try:
        if sound.seekable():
            sound.seek(first - lead)
        while not sound.seekable() and at < first and (passed := len(up_to(sound, min(PIECE, first - at)))):
            at += passed
        samples = up_to(sound, lead + count)[lead:]
    except soundfile.LibsndfileError as error:
        raise AudioError(f"{name}: it is damaged after {first / sound.samplerate:.3f} s: {error}") from error
    if len(samples) < count:
        raise AudioError(f"{name}: it is truncated: its header promises {frames_of(sound)} samples, "
                         f"but decoding ends after {first + len(samples)}")
    return samples


def mixed(samples: np.ndarray) -> np.ndarray:
    """The mean of the channels: [time, channels] to [time, 1]."""
    channels = samples.shape[1]
    if channels == 1:
        return samples
    total = samples[:, 0] + samples[:, 1]  # a strided sum is several times faster than mean(axis=1)
    for channel in range(2, channels):
        total += samples[:, channel]
    total *= 1.0 / channels
    return total[:, None]


def check_finite(samples: np.ndarray, name: str, start: float, rate: int) -> None:
    """Raise AudioError naming the first NaN or infinity."""
    import numpy as np

    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(samples.sum()):
            return
    bad = ~np.isfinite(samples).all(axis=1)
    if bad.any():
        first = int(bad.argmax())
        raise AudioError(f"{name}: {int(bad.sum())} samples are NaN or infinite, the first at {start + first / rate:.3f} s")


# -- encoding


def as_samples(waveform: Any, name: str) -> np.ndarray:
    """A waveform (tensor or array, [channels, time] or [time]) as [time, channels]. Raises AudioError."""
    import numpy as np

    samples = np.asarray(waveform.detach().cpu() if hasattr(waveform, "detach") else waveform)
    if samples.ndim == 1:
        samples = samples[None]
    if samples.ndim != 2 or 0 in samples.shape:
        raise AudioError(f"{name}: a waveform is [channels, time] or [time] with at least one sample; got shape {samples.shape}")
    if samples.dtype not in (np.int16, np.int32, np.float32, np.float64):
        samples = samples.astype(np.float32) if np.issubdtype(samples.dtype, np.floating) else samples
    if samples.dtype not in (np.int16, np.int32, np.float32, np.float64):
        raise AudioError(f"{name}: samples are float32, float64, int16 or int32; got {samples.dtype}")
    if np.issubdtype(samples.dtype, np.floating) and not np.isfinite(samples).all():
        raise AudioError(f"{name}: the waveform holds NaN or infinite samples; nothing was written")
    return samples.T


def beyond(samples: np.ndarray, subtype: str) -> int:
    """How many samples are beyond full scale, and are cut where they are encoded as ``subtype``."""
    import numpy as np

    cut = np.issubdtype(samples.dtype, np.floating) and subtype not in LOUDER
    return int(np.count_nonzero(np.abs(samples) > 1)) if cut else 0


def lost_text(lost: int, samples: int) -> str:
    return f"{lost:,} of {samples:,} samples ({100 * lost / samples:.3g} %) are beyond full scale, and are cut"


def checked_format(path: Any, format: str | None, subtype: str | None) -> tuple[str, str | None]:
    """The format and subtype to write. Raises UsageError naming what is allowed."""
    soundfile = imported_soundfile()
    suffix = Path(path).suffix.lower() if isinstance(path, (str, os.PathLike)) else ""
    kind = format.upper() if format else SUFFIXES.get(suffix)
    if kind == "OPUS" or (kind == "OGG" and suffix == ".opus"):
        kind, subtype = "OGG", subtype or "OPUS"
    if kind is None:
        raise UsageError(f"{name_of(path)}: the suffix {suffix!r} names no format that can be written. "
                         f"Allowed: {', '.join(SUFFIXES)}.{did_you_mean(suffix, SUFFIXES)}")
    if kind not in soundfile.available_formats():
        raise UsageError(f"format {kind!r} cannot be written. Allowed: {', '.join(soundfile.available_formats())}."
                         f"{did_you_mean(kind, soundfile.available_formats())}")
    allowed = soundfile.available_subtypes(kind)
    if subtype is not None and subtype.upper() not in allowed:
        raise UsageError(f"subtype {subtype!r} does not exist in {kind}. Allowed: {', '.join(allowed)}."
                         f"{did_you_mean(subtype, allowed)}")
    return kind, subtype.upper() if subtype else None


def write(target: Any, samples: np.ndarray, sample_rate: int, subtype: str | None, kind: str, name: str) -> None:
    channels, holder = samples.shape[1], os.fsencode(target) if isinstance(target, (str, os.PathLike)) else target
    with (explained(name, channels, sample_rate, kind, subtype),
          imported_soundfile().SoundFile(holder, "w", sample_rate, channels, subtype, format=kind) as sound):
        put(sound, samples, name)


def put(sound: Any, samples: np.ndarray, name: str) -> None:
    """Append samples [time, channels] or [time] to an open soundfile.SoundFile, a piece at a time.

    Raises AudioError before the file is longer than its header can say.
    """
    import numpy as np

    size = (sound.frames + len(samples)) * sound.channels * SAMPLE_BYTES.get(sound.subtype, COMPRESSED_BYTES)
    if sound.format in SHORT and size + HEADER >= LENGTHS:
        raise AudioError(f"{name}: a {sound.format} holds less than {LENGTHS:,} bytes; this sound needs {round(size) + HEADER:,} "
                         "or more. Name it .rf64, .w64 or .flac")
    scaled = np.issubdtype(samples.dtype, np.integer) and sound.subtype in UNSCALED
    for place in range(0, len(samples), PIECE):
        piece = samples[place:place + PIECE]
        sound.write(piece / -float(np.iinfo(piece.dtype).min) if scaled else piece)


@contextmanager
def explained(name: str, channels: int, sample_rate: int, kind: str, subtype: str | None) -> Iterator[None]:
    """Turns what soundfile raises while it writes into an AudioError that says what was asked."""
    soundfile = imported_soundfile()
    try:
        yield
    except (soundfile.LibsndfileError, ValueError, OSError) as error:
        # Before it stands the name of the temporary file.
        cause = str(getattr(error, "error_string", error)).removeprefix("Error :").strip().rstrip(".")
        hint = ""
        if "sample rate" in cause:
            hint = ". Resample it: --sample-rate 48000"
        elif channels > 2:
            hint = f". {kind} may hold fewer channels: --mono averages them"
        sound = f"{channels} channel{'s' if channels > 1 else ''} at {sample_rate} Hz"
        encoding = f"{kind} {subtype}" if subtype else kind
        raise AudioError(f"{name}: {sound} could not be written as {encoding}: {cause}{hint}") from error


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
