"""``wav2vec2``: convolutions over samples, then a Transformer; from random weights or from a local file.

The parameters' names are torchaudio's, so that its weights fit, and with fewer prefixes those of transformers.
A clip's outputs do not depend on its batch: the first norm is over each clip's own positions. Source: Baevski et
al. (2020), arXiv 2006.11477. B clips, T samples, P positions, W width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from toolkit.audio.models.base import Heard, mask_of
from toolkit.audio.recognition_configs import Wav2Vec2Config
from toolkit.core.layers.attention import require_share
from toolkit.core.layers.dropout import Dropout
from toolkit.core.weights import read_weights, require_fit
from toolkit.errors import UsageError

EPSILON = 1e-5
DIRECTION, LENGTH = "parametrizations.weight.original1", "parametrizations.weight.original0"
# What other files call the same parameters: the beginnings of their names, and ours.
BEGINNINGS = (("model.", ""), ("wav2vec2.", ""), ("feature_projection.", "encoder.feature_projection."),
              ("encoder.layers.", "encoder.transformer.layers."), ("encoder.layer_norm.", "encoder.transformer.layer_norm."),
              ("encoder.pos_conv_embed.", "encoder.transformer.pos_conv_embed."))
ENDINGS = (("conv.weight_v", f"conv.{DIRECTION}"), ("conv.weight_g", f"conv.{LENGTH}"))
HEADS = ("aux.", "lm_head.", "quantizer.", "project_q.", "project_hid.", "masked_spec_embed")  # not the body's


class Block(nn.Module):
    """A convolution without padding, a norm where there is one, GELU: [B, C, T] and lengths to [B, C', P] and lengths."""

    def __init__(self, inner: int, outer: int, kernel: int, stride: int, bias: bool, norm: str) -> None:
        super().__init__()
        self.kernel, self.stride, self.norm = kernel, stride, norm
        self.layer_norm: nn.Module | None = {
            "group": nn.GroupNorm(outer, outer), "layer": nn.LayerNorm(outer)}.get(norm)
        self.conv = nn.Conv1d(inner, outer, kernel, stride, bias=bias)

    def positions(self, lengths: Tensor) -> Tensor:
        return ((lengths - self.kernel) // self.stride + 1).clamp(min=0)

    def forward(self, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        values, lengths = self.conv(values), self.positions(lengths)
        if isinstance(self.layer_norm, nn.LayerNorm):
            values = self.layer_norm(values.transpose(1, 2)).transpose(1, 2)
        elif isinstance(self.layer_norm, nn.GroupNorm):
            values = over_own_positions(values, lengths, self.layer_norm.weight, self.layer_norm.bias)
        return F.gelu(values), lengths


def over_own_positions(values: Tensor, lengths: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Each channel of [B, C, P] to mean 0 and variance 1 over its clip's own positions, scaled and shifted."""
    own = mask_of(lengths, values.shape[2]).unsqueeze(1)  # (B, 1, P)
    count = lengths.clamp(min=1)[:, None, None]
    mean = (values * own).sum(2, keepdim=True) / count
    variance = ((values - mean).square() * own).sum(2, keepdim=True) / count
    return (values - mean) * (variance + EPSILON).rsqrt() * weight[:, None] + bias[:, None]


class FeatureExtractor(nn.Module):
    """The convolutions: [B, T, channels] to [B, P, channels']."""

    def __init__(self, config: Wav2Vec2Config, inputs: int) -> None:
        super().__init__()
        shapes = tuple(zip(config.channels, config.kernels, config.strides, strict=True))
        inner = (inputs, *config.channels[:-1])
        norms = ["group" if place == 0 else "none" for place in range(len(shapes))] if config.norm == "group" else (
            ["layer"] * len(shapes))
        self.conv_layers = nn.ModuleList(Block(before, *shape, config.bias, norm)
                                         for before, shape, norm in zip(inner, shapes, norms, strict=True))
        self.field = field_of(config.kernels, config.strides)

    def positions(self, lengths: Tensor) -> Tensor:
        lengths = lengths.clamp(min=self.field)  # silence follows what is shorter
        for block in self.conv_layers:
            assert isinstance(block, Block)
            lengths = block.positions(lengths)
        return lengths

    def forward(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        values = (inputs * mask_of(lengths, inputs.shape[1]).unsqueeze(-1)).transpose(1, 2)  # (B, C, T)
        values = F.pad(values, (0, max(0, self.field - values.shape[2])))
        lengths = lengths.clamp(min=self.field)
        for block in self.conv_layers:
            values, lengths = block(values, lengths)
        return values.transpose(1, 2), lengths


def field_of(kernels: tuple[int, ...], strides: tuple[int, ...]) -> int:
    """Samples that one position looks at; 400 of the published sizes."""
    field = 1
    for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
        field = (field - 1) * stride + kernel
    return field


class Projection(nn.Module):
    """Norm, linear map, dropout."""

    def __init__(self, inner: int, width: int, dropout: float) -> None:
        super().__init__()
        self.layer_norm, self.projection, self.dropout = nn.LayerNorm(inner), nn.Linear(inner, width), Dropout(dropout)

    def forward(self, values: Tensor) -> Tensor:
        found: Tensor = self.dropout(self.projection(self.layer_norm(values)))
        return found


class Positions(nn.Module):
    """Where a position is, from what is around it: a grouped convolution, GELU."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.conv: nn.Module = nn.utils.parametrizations.weight_norm(
            nn.Conv1d(config.width, config.width, config.position_kernel, padding=config.position_kernel // 2,
                      groups=config.position_groups), dim=2)

    def forward(self, states: Tensor) -> Tensor:
        return F.gelu(self.conv(states.transpose(1, 2))[:, :, :states.shape[1]]).transpose(1, 2)


class Attention(nn.Module):
    """Multi-head attention to positions that are a clip's own, mask [B, 1, 1, P]."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.share = heads, dropout
        self.k_proj, self.v_proj, self.q_proj, self.out_proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        query, key, value = (part(states).unflatten(2, (self.heads, -1)).transpose(1, 2)  # (B, heads, P, W / heads)
                             for part in (self.q_proj, self.k_proj, self.v_proj))
        found = F.scaled_dot_product_attention(query, key, value, mask, self.share if self.training else 0.0)
        mixed: Tensor = self.out_proj(found.transpose(1, 2).flatten(2))
        return mixed


class FeedForward(nn.Module):
    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.intermediate_dense, self.output_dense = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.dropout = Dropout(dropout)

    def forward(self, states: Tensor) -> Tensor:
        found: Tensor = self.dropout(self.output_dense(self.dropout(F.gelu(self.intermediate_dense(states)))))
        return found


class Layer(nn.Module):
    """Attention and feed-forward, norms after them (base) or before them (large)."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.norm_first = config.norm_first
        self.attention = Attention(config.width, config.heads, config.dropout)
        self.dropout = Dropout(config.dropout)
        self.layer_norm, self.final_layer_norm = nn.LayerNorm(config.width), nn.LayerNorm(config.width)
        self.feed_forward = FeedForward(config.width, config.hidden, config.dropout)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        if self.norm_first:
            states = states + self.dropout(self.attention(self.layer_norm(states), mask))
            return states + self.feed_forward(self.final_layer_norm(states))
        states = self.layer_norm(states + self.dropout(self.attention(states, mask)))
        found: Tensor = self.final_layer_norm(states + self.feed_forward(states))
        return found


class Transformer(nn.Module):
    """States [B, P, W] and which of them are a clip's own [B, P] to states."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.norm_first, self.layer_drop = config.norm_first, config.layer_drop
        self.pos_conv_embed = Positions(config)
        self.layer_norm, self.dropout = nn.LayerNorm(config.width), Dropout(config.dropout)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))

    def forward(self, states: Tensor, own: Tensor) -> Tensor:
        states = states + self.pos_conv_embed(states)
        states = self.dropout(states if self.norm_first else self.layer_norm(states))
        for layer in self.layers:
            if not (self.training and self.layer_drop and float(torch.rand(())) < self.layer_drop):
                states = layer(states, own[:, None, None])
        found: Tensor = self.layer_norm(states) if self.norm_first else states
        return found


class Encoder(nn.Module):
    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.feature_projection = Projection(config.channels[-1], config.width, config.dropout)
        self.transformer = Transformer(config)

    def forward(self, features: Tensor, counts: Tensor) -> Tensor:
        own = mask_of(counts, features.shape[1])
        found: Tensor = self.transformer(self.feature_projection(features) * own.unsqueeze(-1), own)
        return found


class Wav2Vec2(Heard):
    """Samples [B, T, 1] to outputs [B, C] or [B, P, C]; with the published sizes a position is 20 ms of 25 ms at 16 kHz.

    Raises UsageError for features that are no samples, and for a file whose weights do not fit.
    """

    def __init__(self, config: Wav2Vec2Config, inputs: int, outputs: int, spec: Any = None) -> None:
        check(config, spec)
        super().__init__(config.width, outputs, config.dropout, spec)
        self.freeze = config.freeze
        self.feature_extractor = FeatureExtractor(config, inputs)
        self.encoder = Encoder(config)
        self.encoder.apply(begin)
        if config.weights:
            load_weights(self, config.weights)
        for module in frozen_parts(self, config.freeze):
            module.requires_grad_(False)

    def positions(self, frames: Tensor) -> Tensor:
        return self.feature_extractor.positions(frames)

    def states(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        features, counts = self.feature_extractor(inputs, lengths)
        return self.encoder(features, counts), counts

    def unfreeze(self, fraction: float) -> None:
        """At ``fraction`` of the run, let the last so many parts learn: all of them after half of it.

        Source: gradual unfreezing, Howard and Ruder (2018), section 3.3.
        """
        if self.freeze != "gradual":
            return
        groups = [self.feature_extractor, self.encoder.feature_projection, self.encoder.transformer.pos_conv_embed,
                  *self.encoder.transformer.layers]
        learning = min(len(groups), int(2 * fraction * len(groups)))
        for group in groups[len(groups) - learning:]:
            group.requires_grad_(True)
        if learning:
            self.encoder.transformer.layer_norm.requires_grad_(True)


def check(config: Wav2Vec2Config, spec: Any) -> None:
    frames = getattr(spec, "frames", None)
    if frames is not None and frames.values != "waveform":
        raise UsageError(f"wav2vec2 hears samples, and the front end gives {frames.values}. Give it samples: "
                         "--frontend waveform --frontend.normalize true")
    if not len(config.channels) == len(config.kernels) == len(config.strides):
        raise UsageError(f"wav2vec2 has {len(config.channels)} channels, {len(config.kernels)} kernels and {len(config.strides)} "
                         "strides; allowed: as many of each (--model.channels, --model.kernels, --model.strides)")
    for name, parts in (("heads", config.heads), ("position_groups", config.position_groups)):
        require_share(config.width, parts, "model", name)


def begin(module: nn.Module) -> None:
    """Linear maps begin with weights from N(0, 0.02) and biases of 0, as BERT's."""
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)


def frozen_parts(model: Wav2Vec2, freeze: str) -> list[nn.Module]:
    parts: dict[str, list[nn.Module]] = {"none": [], "convolutions": [model.feature_extractor]}
    return parts.get(freeze, [model.feature_extractor, model.encoder])


# -- weights


def load_weights(model: Wav2Vec2, path: str) -> None:
    """Take over all but the output layer from a file of torchaudio's or transformers' names; nothing in it is executed.

    Raises UsageError naming what is missing or of another shape.
    """
    own = {name: value for name, value in model.state_dict().items() if not name.startswith("output.")}
    theirs = {renamed(name): value for name, value in read_weights(path).items()}
    theirs = {name: value for name, value in theirs.items() if not name.startswith(HEADS)}
    require_fit(own, theirs, path, "model", "The sizes are settings: toolkit info model wav2vec2")
    model.load_state_dict(theirs, strict=False)


def renamed(name: str) -> str:
    """A parameter's name in this module."""
    for theirs, ours in BEGINNINGS:
        if name.startswith(theirs):
            name = ours + name[len(theirs):]
    for theirs, ours in ENDINGS:
        if name.endswith(theirs):
            name = name[:-len(theirs)] + ours
    return name

