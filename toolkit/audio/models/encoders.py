"""``transformer`` and ``conformer``: attention over positions that convolutions made fewer.

Sources: Vaswani et al. (2017), arXiv 1706.03762; Gulati et al. (2020), arXiv 2005.08100.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from toolkit.audio.models.base import Heard, Subsampling, mask_of, strides_of
from toolkit.audio.recognition_configs import EncoderConfig
from toolkit.core.configs import AttentionConfig, EncoderLayerConfig, FeedForwardConfig
from toolkit.core.layers.attention import EncoderLayer, FeedForward, MultiHeadAttention, require_share
from toolkit.core.layers.dropout import Dropout

KERNEL = 15  # positions that the convolution of a conformer layer sees
CHANNELS = 32


class Encoder(Heard):
    """Base: subsampling, a projection, layers with rotary positions, a norm."""

    def __init__(self, config: EncoderConfig, inputs: int, outputs: int, spec: Any = None) -> None:
        super().__init__(config.width, outputs, config.dropout, spec)
        self.subsampling = Subsampling(inputs, (CHANNELS,) * 3, strides_of(config.subsampling, 3))
        self.projection = nn.Linear(self.subsampling.width, config.width)
        self.layers = nn.ModuleList(self.layer(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)

    def layer(self, config: EncoderConfig) -> nn.Module:
        """One layer: states [B, T, W] and a mask [B, T], True for positions that are a clip's own."""
        raise NotImplementedError

    def states(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        seen, counts = self.subsampling(inputs, lengths)
        states, mask = self.projection(seen), mask_of(counts, seen.shape[1])
        for layer in self.layers:
            states = layer(states, mask)
        return self.norm(states), counts


class ConformerLayer(nn.Module):
    """Half a feed-forward part, attention, a convolution, the other half; the convolution's norm is a layer norm,
    so that no clip depends on the others of its batch."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        width = config.width
        self.first_norm, self.last_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention_norm, self.convolution_norm, self.norm = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)
        parts = FeedForwardConfig(width, config.hidden, "silu", config.dropout)
        self.first, self.last = FeedForward(parts), FeedForward(parts)
        self.attention = MultiHeadAttention(AttentionConfig(width, config.heads, config.dropout, rotary=True))
        self.gate = nn.Linear(width, 2 * width)
        self.depthwise = nn.Conv1d(width, width, KERNEL, padding=KERNEL // 2, groups=width)
        self.inner_norm = nn.LayerNorm(width)
        self.pointwise = nn.Linear(width, width)
        self.dropout = Dropout(config.dropout)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        states = states + 0.5 * self.dropout(self.first(self.first_norm(states)))
        states = states + self.dropout(self.attention(self.attention_norm(states), mask))
        states = states + self.dropout(self.around(self.convolution_norm(states), mask))
        states = states + 0.5 * self.dropout(self.last(self.last_norm(states)))
        return self.norm(states)

    def around(self, states: Tensor, mask: Tensor) -> Tensor:
        gated = F.glu(self.gate(states), -1) * mask.unsqueeze(-1)
        mixed = self.depthwise(gated.transpose(1, 2)).transpose(1, 2)  # (B, T, W)
        return self.pointwise(F.silu(self.inner_norm(mixed)))


class Transformer(Encoder):
    """Features [B, F, bins] to outputs [B, C] or [B, T, C]; T = F / ``subsampling``, rounded up at each convolution."""

    def layer(self, config: EncoderConfig) -> nn.Module:
        require_share(config.width, config.heads, "model", even=True)
        return EncoderLayer(EncoderLayerConfig(config.width, config.heads, config.hidden, "silu", config.dropout, norm_first=True,
                                               rotary=True))


class Conformer(Encoder):
    """As `Transformer`, with a convolution in every layer."""

    def layer(self, config: EncoderConfig) -> nn.Module:
        require_share(config.width, config.heads, "model", even=True)
        return ConformerLayer(config)
