"""The generator of HiFi-GAN (Kong et al., 2020), in its three published sizes.

B clips, F frames, C channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import weight_norm

from toolkit.audio.vocoder_configs import HifiganConfig
from toolkit.audio.vocoders.base import Neural
from toolkit.audio.vocoders.channels_last import columns, convolve, in_blocks
from toolkit.config import ConfigError
from toolkit.core.weights import read_weights, require_fit

SLOPE, LAST_SLOPE, DEVIATION = 0.1, 0.01, 0.01
G, V = "parametrizations.weight.original0", "parametrizations.weight.original1"


def conv(inputs: int, outputs: int, kernel: int, dilation: int = 1) -> nn.Conv1d:
    """A convolution that keeps the length, normalised."""
    made = nn.Conv1d(inputs, outputs, kernel, dilation=dilation, padding=dilation * (kernel - 1) // 2)
    return weight_norm(made)


class PairedBlock(nn.Module):
    """Residual steps of a dilated and a plain convolution (V1, V2)."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(conv(channels, channels, kernel, dilation) for dilation in dilations)
        self.convs2 = nn.ModuleList(conv(channels, channels, kernel) for _ in dilations)
        self.radius = sum((kernel - 1) // 2 * (dilation + 1) for dilation in dilations)

    def forward(self, x: Tensor) -> Tensor:
        for first, second in zip(self.convs1, self.convs2, strict=True):
            x = x + second(functional.leaky_relu(first(functional.leaky_relu(x, SLOPE)), SLOPE))
        return x

    def quickly(self, x: Tensor, active: Tensor) -> Tensor:
        """The same of [B, C, 1, T] without gradients, given x after the activation; both stay as they are."""
        total = x
        for first, second in zip(self.convs1, self.convs2, strict=True):
            seen = active if total is x else functional.leaky_relu(total, SLOPE)
            between = functional.leaky_relu(convolve(first, seen), SLOPE, inplace=True)
            total = convolve(second, between).add_(total)
        return total


class SingleBlock(nn.Module):
    """Residual steps of a dilated convolution (V3)."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(conv(channels, channels, kernel, dilation) for dilation in dilations)
        self.radius = sum((kernel - 1) // 2 * dilation for dilation in dilations)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.convs:
            x = x + layer(functional.leaky_relu(x, SLOPE))
        return x

    def quickly(self, x: Tensor, active: Tensor) -> Tensor:
        """The same of [B, C, 1, T] without gradients, given x after the activation; both stay as they are."""
        total = x
        for layer in self.convs:
            seen = active if total is x else functional.leaky_relu(total, SLOPE)
            total = convolve(layer, seen).add_(total)
        return total


class Hifigan(Neural):
    """Transposed convolutions, each followed by the mean of residual blocks of several kernels."""

    in_bfloat16 = ("conv_pre", "ups", "resblocks")

    def __init__(self, config: HifiganConfig) -> None:
        super().__init__(config, "hifigan")
        check(config, self.spec.hop_length)
        block = PairedBlock if config.block == "paired" else SingleBlock
        share = len(config.dilations) // len(config.kernels)
        self.rates, self.kernels = config.upsample_rates, config.upsample_kernels
        self.conv_pre = conv(self.spec.bins, config.channels, 7)
        self.ups, self.resblocks = nn.ModuleList(), nn.ModuleList()
        channels = config.channels
        for rate, kernel in zip(self.rates, self.kernels, strict=True):
            self.ups.append(weight_norm(nn.ConvTranspose1d(channels, channels // 2, kernel, rate, (kernel - rate) // 2)))
            channels //= 2
            self.resblocks.extend(block(channels, size, config.dilations[place * share:(place + 1) * share])
                                  for place, size in enumerate(config.kernels))
        self.side_by_side = len(config.kernels)
        self.conv_post = conv(channels, 1, 7)
        self.context = self._context()
        self._initialise()
        if config.weights:
            load_published(self, config.weights)

    def synthesise(self, mel: Tensor) -> Tensor:
        sound = self._quickly(mel) if self._quick(mel) else self._plainly(mel)
        return sound[:, :self.samples(mel.shape[1])]  # the last of centred frames only ends the clip

    def _plainly(self, mel: Tensor) -> Tensor:
        """Waveforms [B, F hop] of [B, F, mels]."""
        with self._lowered(mel.device):
            x = self.conv_pre(mel.transpose(1, 2))  # [B, C, F]
            for stage, up in enumerate(self.ups):
                x = up(functional.leaky_relu(x, SLOPE))
                x = self._mean(x, stage)
        sound: Tensor = self.conv_post(functional.leaky_relu(x.to(mel.dtype), LAST_SLOPE))
        return torch.tanh(sound)[:, 0]

    def _mean(self, x: Tensor, stage: int) -> Tensor:
        first = stage * self.side_by_side
        total: Tensor = self.resblocks[first](x)
        for place in range(first + 1, first + self.side_by_side):
            total = total + self.resblocks[place](x)
        return total / self.side_by_side

    def _quickly(self, mel: Tensor) -> Tensor:
        """`_plainly` without gradients on [B, C, 1, T], each result written over what is not needed again."""
        x = convolve(self.conv_pre, columns(mel))
        for stage, up in enumerate(self.ups):
            x = convolve(up, functional.leaky_relu(x, SLOPE, inplace=True))
            x = in_blocks(partial(self._mean_quickly, stage=stage), x, self._radius(stage))
        sound = convolve(self.conv_post, functional.leaky_relu(x, LAST_SLOPE, inplace=True))
        return sound.tanh_()[:, 0, 0]

    def _mean_quickly(self, x: Tensor, stage: int) -> Tensor:
        active = functional.leaky_relu(x, SLOPE)
        first, *others = self._blocks(stage)
        total = first.quickly(x, active)
        for block in others:
            total.add_(block.quickly(x, active))
        return total.div_(self.side_by_side)

    def _blocks(self, stage: int) -> list[Any]:
        return list(self.resblocks[stage * self.side_by_side:(stage + 1) * self.side_by_side])

    def _radius(self, stage: int) -> int:
        """Steps on either side that the residual blocks of a stage see."""
        return max(int(block.radius) for block in self._blocks(stage))

    def _context(self) -> int:
        """Frames on either side that a sample depends on: radii added up from the output to the input."""
        radius = 3  # conv_post
        for stage in reversed(range(len(self.rates))):
            radius += self._radius(stage)
            radius = -(-(radius + self.kernels[stage]) // self.rates[stage])
        return radius + 3  # conv_pre

    def _initialise(self) -> None:
        """Upsampling and residual weights from N(0, 0.01), as published."""
        for name, module in self.named_modules():
            if isinstance(module, (nn.Conv1d, nn.ConvTranspose1d)) and not name.startswith("conv_pre"):
                module.weight = torch.randn_like(module.weight) * DEVIATION


def check(config: HifiganConfig, hop: int) -> None:
    """Raise ConfigError for settings that do not fit together."""
    product = 1
    for rate in config.upsample_rates:
        product *= rate
    stages = len(config.upsample_rates)
    limits = (
        ("upsample_rates", product == hop, config.upsample_rates, f"rates whose product is the hop, {hop}"),
        ("upsample_kernels", len(config.upsample_kernels) == stages and all(
            kernel >= rate and (kernel - rate) % 2 == 0 for kernel, rate in zip(config.upsample_kernels, config.upsample_rates)),
         config.upsample_kernels, "one for each rate, larger than it by an even number"),
        ("channels", config.channels % 2 ** stages == 0, config.channels, f"a multiple of 2 ** {stages}"),
        ("kernels", all(kernel % 2 for kernel in config.kernels), config.kernels, "odd numbers"),
        ("dilations", len(config.dilations) % len(config.kernels) == 0, config.dilations,
         f"as many for each of the {len(config.kernels)} kernels"),
    )
    for name, holds, given, allowed in limits:
        if not holds:
            raise ConfigError(f"{name}: got {given!r}, allowed: {allowed}.")


# -- published weights


def load_published(vocoder: Hifigan, path: str) -> None:
    """Take over a generator's weights from a file of the authors' form: ``{"generator": {"conv_pre.weight_g": ...}}``.

    Both weight-normalised and plain weights are read; nothing in the file is executed. Raises UsageError
    naming what is missing, unknown or of another shape.
    """
    theirs = read_weights(path, "generator")
    own = vocoder.state_dict()
    renamed = {renamed_key(name, own): value for name, value in theirs.items()}
    if any(name.endswith(".weight") for name in renamed) and any(name.endswith(G) for name in own):
        renamed = normalised(renamed, own)
    require_fit(own, renamed, path, "generator", "Try hifigan-v1, hifigan-v2 or hifigan-v3")
    vocoder.load_state_dict(renamed)


def renamed_key(name: str, own: Mapping[str, Tensor]) -> str:
    for old, new in (("weight_g", G), ("weight_v", V)):
        if name.endswith("." + old):
            return name[:-len(old)] + new
    return name


def normalised(plain: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Plain weights as length and direction."""
    result: dict[str, Tensor] = {}
    for name, value in plain.items():
        if name.endswith(".weight") and name not in own:
            stem = name[:-len("weight")]
            result[stem + G] = value.flatten(1).norm(dim=1).reshape(-1, *[1] * (value.dim() - 1))
            result[stem + V] = value
        else:
            result[name] = value
    return result


def folded_parameters(vocoder: nn.Module) -> int:
    """Parameters as they are once weight norms are folded."""
    lengths = sum(value.numel() for name, value in vocoder.named_parameters() if name.endswith(G))
    return sum(value.numel() for value in vocoder.parameters()) - lengths


def is_folded(vocoder: nn.Module) -> bool:
    return not any(parametrize.is_parametrized(part) for part in vocoder.modules())
