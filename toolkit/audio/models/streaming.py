"""``streaming-conformer``: a conformer that hears sound as it comes, and gives what it gives for the whole clip at once.

CausalSubsampling  convolutions that see earlier frames alone
ChunkedAttention   positions that look at their own chunk and at so many before it
StreamingLayer     a conformer layer of such parts
StreamState        all that a stream needs of what it has heard; its size does not grow
StreamingConformer the model: `forward` for clips, `step` and `finish` for streams

Each part takes what it remembers and gives what it remembers next. `forward` begins with nothing remembered and gives
all positions at once, so the two ways share all their code. Positions turn by their place in the window of a chunk, never
by their place in the stream: an hour in, angles are as exact as at the beginning.
Sources: Gulati et al. (2020), arXiv 2005.08100; chunks: Zhang et al. (2020), arXiv 2012.05481.
B streams, F frames, T positions, W width, H heads, d width of a head, C chunk, L positions before a chunk, K kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from toolkit.audio.models.base import Heard, mask_of, strides_of, whole_lengths
from toolkit.audio.models.encoders import CHANNELS, KERNEL
from toolkit.audio.recognition_configs import StreamingEncoderConfig
from toolkit.core.configs import FeedForwardConfig, RotaryConfig
from toolkit.core.layers.attention import FeedForward, attend, require_share
from toolkit.core.layers.dropout import Dropout
from toolkit.core.layers.positions import Rotary
from toolkit.errors import UsageError

SEEN = 3  # frames that a convolution of the subsampling sees: its own and the two before
Memory = tuple[Tensor, ...]


@runtime_checkable
class Streams(Protocol):
    """A model that hears sound as it comes: what `step` and `finish` give, joined, is what it gives for the whole clip."""

    stride: int  # frames that one position steps by

    def step(self, frames: Tensor, state: Any = None, own: Tensor | None = None) -> tuple[Tensor, Any]:
        """Outputs that ``frames`` [B, n, bins] complete, and the state to go on with; ``state`` None begins new streams.

        ``own`` [B] is how many of the frames are each stream's own, where some end before others; a stream that has ended
        has none from then on. Outputs are [B, m, C], m may be 0; for one answer a clip, the answer so far [B, C].
        """

    def finish(self, state: Any) -> Tensor:
        """The outputs that only the end completes."""


class CausalSubsampling(nn.Module):
    """Features [B, F, bins] to [B, T, W]: as `base.Subsampling`, looking at earlier frames alone."""

    def __init__(self, bins: int, channels: Sequence[int], strides: Sequence[int]) -> None:
        super().__init__()
        before = (1, *channels[:-1])
        self.strides, self.channels = tuple(strides), tuple(channels)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inner, outer, SEEN, stride=(stride, 2), padding=(0, 1), bias=False)
            for inner, outer, stride in zip(before, channels, strides, strict=True))
        sizes = [bins, *(bins := (bins + 1) // 2 for _ in channels)]
        self.shapes = [(inner, size) for inner, size in zip(before, sizes[:-1], strict=True)]  # of what is remembered
        self.norms = nn.ModuleList(nn.LayerNorm(outer * size) for outer, size in zip(channels, sizes[1:], strict=True))
        self.width = channels[-1] * bins

    def begin(self, like: Tensor) -> Memory:
        """Silence before the first frame."""
        return tuple(like.new_zeros(len(like), inner, SEEN - 1, size) for inner, size in self.shapes)

    def forward(self, inputs: Tensor, taken: Tensor, first: int, memory: Memory) -> tuple[Tensor, Memory]:
        """The positions that frames ``first`` and after complete; ``taken`` [B] are each clip's own frames so far."""
        values = (inputs * own_mask(taken, first, inputs.shape[1])).unsqueeze(1)  # (B, 1, n, bins)
        flat, kept = inputs, []
        parts = zip(self.convolutions, self.norms, self.channels, self.strides, memory, strict=True)
        for convolution, norm, channels, stride, before in parts:
            joined = torch.cat([before, values], 2)
            count = (joined.shape[2] - SEEN) // stride + 1
            kept.append(joined[:, :, count * stride:])
            first, taken = ceiling(first, stride), ceiling(taken, stride)
            nothing = joined.new_zeros(len(joined), channels, 0, (joined.shape[3] + 1) // 2)
            values = convolution(joined) if count > 0 else nothing
            positions = values.transpose(1, 2)  # (B, T, channels, bins)
            flat = F.relu(norm(positions.flatten(2))) * own_mask(taken, first, count)
            values = flat.view(positions.shape).transpose(1, 2)
        return flat, tuple(kept)


class ChunkedAttention(nn.Module):
    """Self-attention over x [B, T, W] in chunks of ``chunk`` positions; each looks at its chunk and ``left`` before it.

    Raises UsageError when heads does not divide width.
    """

    def __init__(self, config: StreamingEncoderConfig) -> None:
        super().__init__()
        require_share(config.width, config.heads, "model", even=True)
        self.heads, self.dropout = config.heads, config.dropout
        self.chunk, self.left = config.chunk, config.left * config.chunk
        self.inward = nn.Linear(config.width, 3 * config.width)
        self.outward = nn.Linear(config.width, config.width)
        self.rotary = Rotary(RotaryConfig(width=config.width // config.heads))

    def begin(self, like: Tensor) -> Memory:
        """Keys and values [B, H, L, d] before the first position, which nobody may look at: [B, L]."""
        size = self.outward.in_features // self.heads
        nothing = like.new_zeros(len(like), self.heads, self.left, size)
        return nothing, nothing, torch.zeros(len(like), self.left, dtype=torch.bool, device=like.device)

    def forward(self, x: Tensor, own: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """``own`` [B, T] is True where a position is its clip's own; x begins with a chunk."""
        size, length, width = x.shape
        chunks = ceiling(length, self.chunk)
        room = chunks * self.chunk - length
        packed = self.inward(F.pad(x, (0, 0, 0, room))).view(size, chunks * self.chunk, 3, self.heads, width // self.heads)
        query, key, value = packed.permute(2, 0, 3, 1, 4)  # (B, H, T, d)
        keys, values = torch.cat([memory[0], key], 2), torch.cat([memory[1], value], 2)
        known = torch.cat([memory[2], F.pad(own, (0, room))], 1)
        seen = self.left + self.chunk
        found = attend(
            self.rotary(windows(query, self.chunk, self.chunk), self.left),  # (B chunks, H, C, d)
            self.rotary(windows(keys, seen, self.chunk)), windows(values, seen, self.chunk),  # (B chunks, H, L + C, d)
            known.unfold(1, seen, self.chunk).reshape(size * chunks, 1, 1, seen),
            dropout=self.dropout if self.training else 0.0)
        merged = found.transpose(1, 2).reshape(size, chunks * self.chunk, width)[:, :length]
        end = keys.shape[2] - self.left
        return self.outward(merged), (keys[:, :, end:], values[:, :, end:], known[:, end:])


class StreamingLayer(nn.Module):
    """A conformer layer whose attention goes by chunks and whose convolution looks back alone."""

    def __init__(self, config: StreamingEncoderConfig) -> None:
        super().__init__()
        width = config.width
        self.first_norm, self.last_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention_norm, self.convolution_norm, self.norm = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)
        parts = FeedForwardConfig(width, config.hidden, "silu", config.dropout)
        self.first, self.last = FeedForward(parts), FeedForward(parts)
        self.attention = ChunkedAttention(config)
        self.gate = nn.Linear(width, 2 * width)
        self.depthwise = nn.Conv1d(width, width, KERNEL, groups=width)
        self.inner_norm = nn.LayerNorm(width)
        self.pointwise = nn.Linear(width, width)
        self.dropout = Dropout(config.dropout)

    def begin(self, like: Tensor) -> Memory:
        return (*self.attention.begin(like), like.new_zeros(len(like), KERNEL - 1, self.gate.in_features))

    def forward(self, states: Tensor, own: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        states = states + 0.5 * self.dropout(self.first(self.first_norm(states)))
        looked, attended = self.attention(self.attention_norm(states), own, memory[:3])
        states = states + self.dropout(looked)
        gated = F.glu(self.gate(self.convolution_norm(states)), -1) * own.unsqueeze(-1)
        joined = torch.cat([memory[3], gated], 1)  # (B, K - 1 + T, W)
        mixed = self.depthwise(joined.transpose(1, 2)).transpose(1, 2)  # (B, T, W)
        states = states + self.dropout(self.pointwise(F.silu(self.inner_norm(mixed))))
        states = states + 0.5 * self.dropout(self.last(self.last_norm(states)))
        return self.norm(states), (*attended, joined[:, states.shape[1]:])


@dataclass(frozen=True)
class StreamState:
    """What B streams have heard, as far as it matters. A step makes a new one: an old one can be gone on from again."""

    frames: int  # given so far
    taken: Tensor  # [B] of them that were each stream's own
    convolutions: Memory
    waiting: Tensor  # [B, n, W] positions of a chunk that is not complete
    done: int  # positions before them
    layers: tuple[Memory, ...]
    total: Tensor  # [B, W] sum of the states so far, for one answer a clip
    greatest: Tensor  # [B, W]


class StreamingConformer(Heard):
    """Features [B, F, bins] to outputs [B, C] or [B, T, C]; T = F / ``subsampling``, rounded up at each convolution.

    A position is answered once its chunk is complete: ``chunk`` positions of ``subsampling`` frames later at most.
    """

    def __init__(self, config: StreamingEncoderConfig, inputs: int, outputs: int, spec: Any = None) -> None:
        super().__init__(config.width, outputs, config.dropout, spec)
        self.inputs, self.chunk, self.stride = inputs, config.chunk, config.subsampling
        self.subsampling = CausalSubsampling(inputs, (CHANNELS,) * 3, strides_of(config.subsampling, 3))
        self.projection = nn.Linear(self.subsampling.width, config.width)
        self.layers = nn.ModuleList(StreamingLayer(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)

    def positions(self, lengths: Tensor) -> Tensor:
        """How many positions clips of ``lengths`` [B] frames have."""
        for stride in self.subsampling.strides:
            lengths = ceiling(lengths, stride)
        return lengths

    def states(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        counts = self.positions(lengths)
        seen, _ = self.subsampling(inputs, lengths, 0, self.subsampling.begin(inputs))
        states, own = self.projection(seen), mask_of(counts, seen.shape[1])
        for layer in self.layers:
            states, _ = layer(states, own, begun(layer, states))
        return self.norm(states), counts

    # -- streams

    def begin(self, size: int) -> StreamState:
        """``size`` streams that have heard nothing."""
        like = self.norm.weight.new_zeros(size, 1)
        nothing = like.new_zeros(size, self.norm.weight.shape[0])
        return StreamState(0, torch.zeros(size, dtype=torch.int64, device=like.device), self.subsampling.begin(like),
                           nothing.unsqueeze(1)[:, :0], 0, tuple(begun(layer, like) for layer in self.layers), nothing,
                           torch.full_like(nothing, torch.finfo(like.dtype).min))

    @torch.no_grad()
    def step(self, frames: Tensor, state: StreamState | None = None, own: Tensor | None = None) -> tuple[Tensor, StreamState]:
        """See `Streams`. Raises UsageError for frames of another shape than the streams'."""
        before = self.begin(len(frames)) if state is None else state
        if frames.dim() != 3 or frames.shape[2] != self.inputs or len(frames) != len(before.taken):
            raise UsageError(f"step: got frames {list(frames.shape)}; allowed: [{len(before.taken)}, any number, {self.inputs}]")
        taken = before.taken + whole_lengths(frames, own)
        seen, convolutions = self.subsampling(frames, taken, before.frames, before.convolutions)
        waiting = torch.cat([before.waiting, self.projection(seen)], 1)
        ready = waiting.shape[1] // self.chunk * self.chunk
        heard = StreamState(before.frames + frames.shape[1], taken, convolutions, waiting, before.done, before.layers,
                            before.total, before.greatest)
        states, after = self._advance(heard, ready)
        return self._answer(states, after), after

    @torch.no_grad()
    def finish(self, state: StreamState) -> Tensor:
        """See `Streams`."""
        return self._answer(*self._advance(state, state.waiting.shape[1]))

    def _advance(self, state: StreamState, count: int) -> tuple[Tensor, StreamState]:
        """The states [B, count, W] of the first ``count`` positions that wait, and the state without them."""
        states, layers = state.waiting[:, :count], state.layers
        if count == 0:
            return states, state
        own = own_mask(self.positions(state.taken), state.done, count)
        remembered = []
        for layer, memory in zip(self.layers, layers, strict=True):
            states, kept = layer(states, own.squeeze(-1), memory)
            remembered.append(kept)
        states = self.norm(states)
        highest = states.masked_fill(~own, torch.finfo(states.dtype).min).amax(1)
        return states, StreamState(state.frames, state.taken, state.convolutions, state.waiting[:, count:], state.done + count,
                                   tuple(remembered), state.total + (states * own).sum(1), torch.maximum(state.greatest, highest))

    def _answer(self, states: Tensor, state: StreamState) -> Tensor:
        if self.level == "clip":
            counts = self.positions(state.taken).clamp(max=state.done)
            states = summary(state.total, state.greatest, counts)
        outputs: Tensor = self.output(states)
        return outputs


def begun(layer: nn.Module, like: Tensor) -> Memory:
    """What a layer remembers before the first position."""
    assert isinstance(layer, StreamingLayer)
    return layer.begin(like)


def summary(total: Tensor, greatest: Tensor, counts: Tensor) -> Tensor:
    """What `base.pooled` gives for states of which sum and greatest value [B, W] are known: [B, 2 W]."""
    mean = total / counts.clamp(min=1).unsqueeze(1)
    return torch.cat([mean, greatest.masked_fill(counts.unsqueeze(1) == 0, 0.0)], -1)


def windows(x: Tensor, size: int, step: int) -> Tensor:
    """Stretches of x [B, H, T, d]: ``size`` positions from every ``step``-th on, [B n, H, size, d]."""
    return x.unfold(2, size, step).permute(0, 2, 1, 4, 3).flatten(0, 1)


def own_mask(taken: Tensor, first: int, count: int) -> Tensor:
    """True [B, count, 1] where a position, counted from ``first``, is before its clip's end ``taken`` [B]."""
    places = torch.arange(first, first + count, device=taken.device)
    return (places < taken[:, None]).unsqueeze(-1)


def ceiling(number: Any, divisor: int) -> Any:
    """``number`` (int or integer tensor) over ``divisor``, rounded up."""
    return (number + divisor - 1) // divisor
