"""``wavenet`` (van den Oord et al., 2016): each sample drawn from what the samples before it and the mel frames say.

Dilated causal convolutions of two samples, gated; the sample is one of 256 mu-law levels (ITU-T G.711's companding).
Trained on real samples all at once, it draws them one by one: `Player` keeps for each layer the states that its
next step needs (Paine et al., 2016, "Fast WaveNet"), so that a sample costs one small product a layer.

B clips, F frames, T samples, C channels, S skip channels, L layers, Q levels.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from toolkit.audio.vocoder_configs import WaveNetConfig
from toolkit.audio.vocoders.base import Base

Array = NDArray[np.float32]
LEVELS, MU = 256, 255.0
LOOK = 1  # frames on both sides that the conditioning of a frame sees


def to_levels(waveform: Tensor) -> Tensor:
    """Mu-law levels 0 to 255 of samples in [-1, 1], of any shape: ``sign(x) ln(1 + 255 |x|) / ln 256``, rounded.

    >>> to_levels(torch.tensor([-1.0, 0.0, 1.0])).tolist()
    [0, 128, 255]
    """
    squeezed = waveform.clamp(-1, 1).sign() * torch.log1p(MU * waveform.clamp(-1, 1).abs()) / math.log1p(MU)
    return ((squeezed + 1) / 2 * MU + 0.5).floor().long()


def from_levels(levels: Tensor) -> Tensor:
    """The samples that mu-law levels stand for; the inverse of `to_levels` but for its rounding."""
    squeezed = levels.float() / MU * 2 - 1
    return squeezed.sign() * torch.expm1(squeezed.abs() * math.log1p(MU)) / MU


class WaveNet(Base):
    """``teach(mel, waveform)`` gives the levels' logits for training; calling it draws a waveform."""

    def __init__(self, config: WaveNetConfig) -> None:
        super().__init__(config, "wavenet")
        channels, skip = config.channels, config.skip_channels
        self.dilations = [2 ** (layer % config.cycle) for layer in range(config.layers)]
        self.receptive_field = sum(self.dilations) + 1  # samples
        self.embed = nn.Embedding(LEVELS, channels)
        self.condition = nn.Conv1d(self.spec.bins, channels, 2 * LOOK + 1, padding=LOOK)
        self.conditions = nn.ModuleList(nn.Conv1d(channels, 2 * channels, 1) for _ in self.dilations)
        self.gates = nn.ModuleList(nn.Conv1d(channels, 2 * channels, 2, dilation=step) for step in self.dilations)
        self.outputs = nn.ModuleList(nn.Conv1d(channels, channels + skip, 1) for _ in self.dilations)
        self.first, self.last = nn.Conv1d(skip, skip, 1), nn.Conv1d(skip, LEVELS, 1)

    def teach(self, mel: Tensor, waveform: Tensor) -> Tensor:
        """Logits [B, Q, T] of each sample of ``waveform`` [B, T], given those before it and the frames [B, F, mels]."""
        before = functional.pad(to_levels(waveform)[:, :-1], (1, 0), value=LEVELS // 2)  # silence before the first
        return self.logits(before, self.conditioned(mel), 0)

    def conditioned(self, mel: Tensor) -> Tensor:
        """What all layers are told of each frame, [B, L, 2 C, F]."""
        seen = torch.relu(self.condition(mel.transpose(1, 2)))
        return torch.stack([layer(seen) for layer in self.conditions], 1)

    def logits(self, before: Tensor, told: Tensor, start: int) -> Tensor:
        """Logits [B, Q, T] after the levels ``before`` [B, T], the first of which is sample ``start`` - 1."""
        sample = torch.arange(start, start + before.shape[1], device=before.device)
        frame = (sample // self.spec.hop_length).clamp(max=told.shape[-1] - 1)
        states = self.embed(before).transpose(1, 2)  # [B, C, T]
        channels, sums = states.shape[1], []
        for index, (gate, output, step) in enumerate(zip(self.gates, self.outputs, self.dilations, strict=True)):
            gated = gate(functional.pad(states, (step, 0))) + told[:, index][..., frame]
            both = output(torch.tanh(gated[:, :channels]) * torch.sigmoid(gated[:, channels:]))
            states = states + both[:, :channels]
            sums.append(both[:, channels:])
        logits: Tensor = self.last(torch.relu(self.first(torch.relu(torch.stack(sums).sum(0)))))
        return logits

    @torch.no_grad()
    def synthesise(self, mel: Tensor) -> Tensor:
        player = Player(self, len(mel))
        told = self.conditioned(mel).cpu().numpy()
        count = self.samples(mel.shape[1])
        frames = -(-count // self.spec.hop_length)
        drawn = [player.draw(told[..., frame]) for frame in range(frames)]
        return from_levels(torch.from_numpy(np.concatenate(drawn, 1)[:, :count])).to(mel.device)

    @torch.no_grad()
    def synthesise_without_cache(self, mel: Tensor) -> Tensor:
        """The same sound as `synthesise` by the whole network for each sample: what the cache is measured beside."""
        told, hop, chance = self.conditioned(mel), self.spec.hop_length, Chance(self.config)
        levels = torch.full((len(mel), 1), LEVELS // 2)
        for sample in range(self.samples(mel.shape[1])):
            if sample % hop == 0:
                noise = chance.draw(hop)
            begin = max(0, sample + 1 - self.receptive_field)
            logits = self.logits(levels[:, begin:].to(mel.device), told, begin)[..., -1].cpu().numpy()
            drawn = torch.from_numpy((logits * chance.sharpness + noise[sample % hop]).argmax(-1))
            levels = torch.cat((levels, drawn[:, None]), 1)
        return from_levels(levels[:, 1:]).to(mel.device)

    def stream(self) -> WaveNetStream:
        return WaveNetStream(self)


class Chance:
    """Noise that makes the greatest of logits a draw from their softmax (Gumbel's trick), the same for the same seed."""

    def __init__(self, config: Any) -> None:
        self._generator = np.random.default_rng(config.seed)
        self._random = config.temperature > 0
        self.sharpness = np.float32(1 / config.temperature) if self._random else np.float32(1)

    def draw(self, samples: int) -> Array:
        """[samples, Q]; zeros at temperature 0, which takes the likeliest."""
        if not self._random:
            return np.zeros((samples, LEVELS), np.float32)
        return self._generator.gumbel(size=(samples, LEVELS)).astype(np.float32)


class Player:
    """Draws samples one after another; every layer's last ``dilation`` inputs lie in a ring."""

    def __init__(self, network: WaveNet, clips: int) -> None:
        self.network, self.chance = network, Chance(network.config)
        # One product a layer: the input a dilation ago and the one now, side by side.
        gates = [np.concatenate((array(gate.weight)[..., 0], array(gate.weight)[..., 1]), 1) for gate in network.gates]
        self._gate_bias = np.stack([array(gate.bias) for gate in network.gates])[:, None]  # [L, 1, 2 C]
        outputs = [array(output.weight)[..., 0] for output in network.outputs]
        self._weights = (array(network.embed.weight), np.stack(gates))
        self._more = (np.stack(outputs), np.stack([array(output.bias) for output in network.outputs]),
                      array(network.first.weight)[..., 0].copy(), array(network.first.bias),
                      array(network.last.weight)[..., 0].copy(), array(network.last.bias))
        self._dilations = np.array(network.dilations)
        self._offsets = np.cumsum(self._dilations) - self._dilations
        self._rings = np.zeros((int(self._dilations.sum()), clips, network.embed.embedding_dim), np.float32)
        self._levels = np.full(clips, LEVELS // 2)
        self._sample = 0

    def draw(self, told: Array) -> NDArray[np.int64]:
        """Levels [B, hop] of the next frame, of which the layers are told ``told`` [B, L, 2 C]."""
        from toolkit.audio.vocoders import _draw

        hop = self.network.spec.hop_length
        drawn = np.empty((len(told), hop), np.int64)
        layers = np.ascontiguousarray(told.transpose(1, 0, 2) + self._gate_bias)  # [L, B, 2 C]
        _draw.draw(self._levels, drawn, self._sample, self._rings, self._offsets, self._dilations, *self._weights, layers,
                   *self._more, self.chance.draw(hop), float(self.chance.sharpness))
        self._sample += hop
        return drawn


def array(parameter: Any) -> Array:
    """A parameter as it is now, for NumPy."""
    values: Array = np.ascontiguousarray(parameter.detach().float().cpu().numpy())
    return values


class WaveNetStream:
    """Frames in blocks to samples in blocks, a frame late: the conditioning sees a frame on both sides."""

    def __init__(self, network: WaveNet) -> None:
        self.network, self.player = network, Player(network, 1)
        self._frames: Tensor | None = None  # [n, mels] from LOOK before the next one to be drawn
        self._drawn = self._seen = 0  # frames

    def push(self, block: Tensor) -> Tensor:
        """The samples [T] that the frames ``block`` [n, mels] complete; T may be 0."""
        if self._frames is None:
            self._frames = block.new_zeros(LOOK, block.shape[1])
        self._frames = torch.cat((self._frames, block))
        self._seen += len(block)
        late = LOOK + int(self.network.samples(1) == 0)  # the last frame of a centred clip only ends it
        return self._told(self._frames, self._seen - late)

    def finish(self) -> Tensor:
        """The samples [T] that only the clip's end completes."""
        if self._frames is None:
            return torch.zeros(0)
        ended = torch.cat((self._frames, self._frames.new_zeros(LOOK, self._frames.shape[1])))
        return self._told(ended, self.network.samples(self._seen) // self.network.spec.hop_length)

    @torch.no_grad()
    def _told(self, frames: Tensor, until: int) -> Tensor:
        count = until - self._drawn
        if count <= 0:
            return frames.new_zeros(0)
        used = frames[None, :count + 2 * LOOK]
        told = self.network.conditioned(used)[..., LOOK:LOOK + count].cpu().numpy()
        levels = np.concatenate([self.player.draw(told[..., frame]) for frame in range(count)], 1)
        self._frames, self._drawn = frames[count:], until
        return from_levels(torch.from_numpy(levels[0]))
