"""Framewise: what all front ends share, from clips to masked features.

A front end prepares the samples, extends each clip beyond its ends, turns frames into values
(`analyse`, one frame at a time) and finishes the values (`finish`, over the frames of a clip).
On the CPU without gradients, those of parameters too, clips are taken one by one and frames in chunks, so
that the activations stay in the cache, each by one thread; otherwise the batch is computed at once. Both give the same numbers.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from toolkit.audio.frontends.framing import MODES, extend, extend_batch, frames_of, mask_of
from toolkit.audio.frontends.stream import FrameStream
from toolkit.audio.spec import FrameSpec
from toolkit.audio.threads import in_threads, one_thread
from toolkit.errors import UsageError

CHUNK = 1 << 19  # samples in the frames of one chunk: about two megabytes


class Framewise(nn.Module):
    """A front end [B, T] -> [B, F, bins]; subclasses define `analyse` and may define `prepare` and `finish`.

    ``whole_clip`` says why a frame depends on the whole clip; it is empty where frames can be streamed.
    ``ordered`` frames must be analysed one after another, as where they draw from one generator. ``prepares`` says
    whether `prepare` does anything.
    """

    spec: FrameSpec
    whole_clip: str = ""
    ordered: bool = False

    def __init__(self, spec: FrameSpec) -> None:
        super().__init__()
        self.spec = spec
        self.mode = MODES[spec.padding]
        self.prepares = type(self).prepare is not Framewise.prepare

    # -- what subclasses define

    def prepare(self, clips: Tensor, lengths: Tensor, before: Tensor | None = None) -> Tensor:
        """The clips [B, T] before framing; ``before`` [B, 1] is the sample that precedes a stream's block."""
        return clips

    def analyse(self, frames: Tensor) -> Tensor:
        """Values [..., F, inner] of frames [..., F, frame_length], each frame by itself.

        This may run in inference mode: tensors that are kept between calls belong into `Constants`.
        """
        raise NotImplementedError

    def finish(self, values: Tensor, counts: Tensor | None, state: Any = None) -> tuple[Tensor, Any]:
        """Features [B, F, bins] of values [B, F, inner] with ``counts`` [B] frames, and the state of a stream.

        Without ``counts`` every frame is its clip's; ``values`` may then be overwritten.
        """
        return values, None

    # -- the promise

    def forward(self, waveform: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Features [B, F, bins] and frames [B] of waveforms [B, T] float in [-1, 1] with lengths [B].

        One clip [T] gives [F, bins] and frames [1]. What lies past a clip's length is not read; features
        past its frames are 0. Raises UsageError for wrong shapes, types and lengths.
        """
        clips = checked_waveform(waveform)
        if torch.is_autocast_enabled(clips.device.type):  # a model may be content with fewer digits; its features keep theirs
            with torch.autocast(clips.device.type, enabled=False):
                return self.forward(waveform, lengths)
        learns = torch.is_grad_enabled() and any(value.requires_grad for value in self.parameters())
        short = short_frames(self.spec, clips) if lengths is None and not learns else 0
        if short:
            features, counts = self._short_clip(clips, short)
            return features if waveform.dim() == 2 else features[0], counts
        sizes = checked_lengths(clips, lengths)
        if clips.device.type == "cpu" and not learns and not (torch.is_grad_enabled() and clips.requires_grad):
            features, counts = self._one_by_one(clips, sizes)
        else:
            counts = frame_counts(self.spec, sizes)
            features = self._at_once(clips, sizes, counts)
        return features if waveform.dim() == 2 else features[0], counts

    def stream(self) -> FrameStream:
        """A stream for one clip. Raises UsageError where a frame depends on the whole clip."""
        if self.whole_clip:
            raise UsageError(f"this front end cannot stream: {self.whole_clip}")
        return FrameStream(self)

    def _short_clip(self, clip: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """The same as `_one_by_one` for one clip [1, T] of one chunk, where every call that is not made counts.

        It runs in inference mode, which asks less of each call; what leaves it is a copy that autograd may use.
        """
        spec, samples = self.spec, clip.shape[1]
        with one_thread(), torch.inference_mode():
            prepared = self.prepare(clip, torch.tensor([samples])) if self.prepares else clip
            extended = extend(prepared[0], spec.left, spec.right(samples), self.mode)
            frames = frames_of(extended, spec.frame_length, spec.hop_length)
            values = self.analyse(frames if len(frames) == count else frames[:count])
            features: Tensor = self.finish(values[None], None)[0]
        return features if torch.is_inference_mode_enabled() else features.clone(), torch.full((1,), count)

    def _one_by_one(self, clips: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
        """The features and frames of each clip, one after another; clips without gradients."""
        lengths = sizes.tolist()
        counts = [self.spec.frames(length) for length in lengths]
        if counts and counts == [self.spec.frames(clips.shape[1])] and counts[0]:
            return self._clip(clips[:, :lengths[0]], counts[0]), torch.tensor(counts)
        features = clips.new_zeros(len(clips), self.spec.frames(clips.shape[1]), self.spec.bins)

        def fill(index: int) -> None:
            features[index, :counts[index]] = self._clip(clips[index:index + 1, :lengths[index]], counts[index])[0]

        in_threads([partial(fill, index) for index, count in enumerate(counts) if count], self.ordered)
        return features, torch.tensor(counts, dtype=torch.int64)

    def _clip(self, clip: Tensor, count: int) -> Tensor:
        """The features [1, count, bins] of one clip [1, T]."""
        samples = clip.shape[1]
        with one_thread():
            prepared = self.prepare(clip, torch.tensor([samples]))[0]
            extended = extend(prepared, self.spec.left, self.spec.right(samples), self.mode)
        values = self.values_of(extended, count)
        with one_thread():
            features: Tensor = self.finish(values[None], None)[0]
        return features

    def values_of(self, samples: Tensor, frames: int) -> Tensor:
        """The first ``frames`` frames' values [frames, inner] of extended samples, in chunks."""
        views = frames_of(samples, self.spec.frame_length, self.spec.hop_length)[:frames]
        chunk = max(8, CHUNK // self.spec.frame_length)
        with one_thread():
            first = self.analyse(views[:chunk])
        if frames <= chunk:
            return first
        values = first.new_empty(frames, *first.shape[1:])
        values[:chunk] = first

        def fill(begin: int) -> None:
            values[begin:begin + chunk] = self.analyse(views[begin:begin + chunk])

        in_threads([partial(fill, begin) for begin in range(chunk, frames, chunk)], self.ordered)
        return values

    def _at_once(self, clips: Tensor, sizes: Tensor, counts: Tensor) -> Tensor:
        frames = self.spec.frames(clips.shape[1])
        if frames == 0:
            return clips.new_zeros(len(clips), 0, self.spec.bins)
        total = (frames - 1) * self.spec.hop_length + self.spec.frame_length
        samples = extend_batch(self.prepare(clips, sizes), sizes, self.spec.left, total, self.mode)
        values = self.analyse(frames_of(samples, self.spec.frame_length, self.spec.hop_length))
        features = self.finish(values, counts)[0]
        return torch.where(mask_of(counts, frames)[..., None], features, features.new_zeros(()))


def short_frames(spec: FrameSpec, clips: Tensor) -> int:
    """The frames of one clip [1, T] on the CPU, without gradients, where they fit one chunk; else 0."""
    if clips.shape[0] != 1 or clips.device.type != "cpu" or (clips.requires_grad and torch.is_grad_enabled()):
        return 0
    frames = spec.frames(clips.shape[1])
    return frames if frames <= max(8, CHUNK // spec.frame_length) else 0


def checked_clips(waveform: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
    """Clips [B, T] and lengths [B] of what a caller gave. Raises UsageError saying what is allowed."""
    clips = checked_waveform(waveform)
    return clips, checked_lengths(clips, lengths)


def checked_waveform(waveform: Tensor) -> Tensor:
    """Clips [B, T] of what a caller gave. Raises UsageError saying what is allowed."""
    if not isinstance(waveform, Tensor):
        raise UsageError(f"a waveform is a torch tensor [T] or [B, T]; got {type(waveform).__name__}")
    if waveform.dim() not in (1, 2):
        raise UsageError(f"a waveform is one clip [T] or clips [B, T]; got shape {tuple(waveform.shape)}. "
                         "Several channels: give each as a clip, or load with mono=True")
    if not waveform.is_floating_point():
        raise UsageError(f"a waveform is float in [-1, 1]; got {waveform.dtype}: divide integers by their full scale")
    clips = waveform if waveform.dim() == 2 else waveform[None]
    return clips.float() if clips.dtype in (torch.float16, torch.bfloat16) else clips


def checked_lengths(clips: Tensor, lengths: Tensor | None) -> Tensor:
    """Lengths [B] of clips [B, T], all of T where none were given. Raises UsageError saying what is allowed."""
    if lengths is None:
        return torch.full((len(clips),), clips.shape[1], dtype=torch.int64, device=clips.device)
    sizes = torch.as_tensor(lengths, device=clips.device)
    if sizes.shape != clips.shape[:1] or sizes.is_floating_point() or sizes.is_complex() or sizes.dtype == torch.bool:
        raise UsageError(f"lengths are {len(clips)} whole numbers, one for each clip; "
                         f"got {sizes.dtype} of shape {tuple(sizes.shape)}")
    # Reading the values would make a GPU wait, so there lengths are trusted.
    if sizes.device.type == "cpu" and len(sizes) and not 0 <= int(sizes.min()) <= int(sizes.max()) <= clips.shape[1]:
        raise UsageError(f"lengths are between 0 and {clips.shape[1]}, the samples given; got {sizes.tolist()}")
    return sizes.long()


def frame_counts(spec: FrameSpec, sizes: Tensor) -> Tensor:
    """`FrameSpec.frames` of each length [B], without reading them from the device."""
    if spec.padding == "mirror":
        return torch.div(sizes + spec.hop_length // 2, spec.hop_length, rounding_mode="floor") * (sizes > 0)
    span = sizes + 2 * spec.left - spec.frame_length
    counts = torch.div(span, spec.hop_length, rounding_mode="floor") + 1 - int(spec.drop_last)
    return torch.where((span >= 0) & (sizes > 0), counts.clamp(min=0), torch.zeros_like(counts))
