"""``transformer`` and ``cnn-rnn``: bodies that read an observation as a sequence.

Letters: B batch, L tokens, E embedding width, D numbers in a token.

Tokens are the rows of a stacked observation (``--frame-stack``: [L, D] or [L, H, W]), oldest
first, or, for a plain vector, its numbers one by one.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import torch
from torch import Tensor, nn

from toolkit.agents.configs import CNNRNNConfig, TransformerConfig
from toolkit.agents.networks.cnn import SMALLEST, Convolutions
from toolkit.agents.networks.encode import Encoder, is_image
from toolkit.core.layers.attention import require_share
from toolkit.envs import packing
from toolkit.errors import UsageError


class Transformer(nn.Module):
    """A pre-norm transformer encoder (Vaswani et al., 2017) over tokens; features are a learned token's output.

    The numbers of a vector become tokens as in the feature tokenizer of Gorishniy et al. (2021): each has an
    embedding of its own, scaled by the number.
    """

    def __init__(self, config: TransformerConfig, *, observation_space: gymnasium.Space[Any]) -> None:
        super().__init__()
        require_share(config.width, config.heads, "network")
        self.encoder = Encoder(observation_space)
        shape = observation_space.shape or ()
        self.rows = shape[0] if len(shape) >= 2 else 0
        self.features = config.width
        tokens = self.rows or self.encoder.size
        if self.rows:
            self.embed: nn.Module = nn.Linear(self.encoder.size // self.rows, config.width)
        else:
            self.embed = ScalarTokens(self.encoder.size, config.width)
        self.summary = nn.Parameter(torch.randn(1, 1, config.width) * 0.02)
        self.position = nn.Parameter(torch.randn(1, tokens, config.width) * 0.02)
        layer = nn.TransformerEncoderLayer(config.width, config.heads, 4 * config.width, dropout=0.0, activation="gelu",
                                           batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, config.layers, norm=nn.LayerNorm(config.width), enable_nested_tensor=False)

    def forward(self, observations: Tensor) -> Tensor:
        inputs = self.encoder(observations)  # [B, L * D] or [B, L]
        tokens = self.embed(inputs.unflatten(-1, (self.rows, -1)) if self.rows else inputs) + self.position  # [B, L, E]
        tokens = torch.cat([self.summary.expand(len(tokens), -1, -1), tokens], 1)  # [B, L + 1, E]
        features: Tensor = self.layers(tokens)[:, 0]
        return features


class ScalarTokens(nn.Module):
    """Numbers [B, L] to tokens [B, L, E]: ``number * weight + bias``, one pair a position."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(count, width) / width**0.5)
        self.bias = nn.Parameter(torch.zeros(count, width))

    def forward(self, numbers: Tensor) -> Tensor:
        return numbers.unsqueeze(-1) * self.weight + self.bias  # [B, L, E]


class CNNRNN(nn.Module):
    """Each frame through convolutions (pictures) or a layer (vectors), then a GRU from the oldest frame to the newest.

    It needs a stacked observation, of pictures [L, H, W] or in colour, or [L, D]; features are the GRU's last output.
    """

    def __init__(self, config: CNNRNNConfig, *, observation_space: gymnasium.Space[Any]) -> None:
        super().__init__()
        shape = observation_space.shape or ()
        if packing.is_packed(observation_space):
            raise UsageError("cnn-rnn reads stacked observations [frames, ...] of one kind, and this environment's are "
                             f"{observation_space}. Use --network mlp, or a wrapper that gives one array")
        if len(shape) < 2:
            raise UsageError(f"cnn-rnn reads stacked observations [frames, ...]; this environment's are {observation_space}. "
                             "Stack them: --frame-stack 4, or use --network mlp")
        self.encoder, self.shape = Encoder(observation_space), shape
        self.picture = is_image(observation_space) and len(shape) > 2 and min(sorted(shape[1:])[-2:]) >= SMALLEST
        if self.picture:
            self.frame: nn.Module = Convolutions(shape[1:], config.frame_features)
        else:
            self.frame = nn.Sequential(nn.Linear(self.encoder.size // shape[0], config.frame_features), nn.ReLU())
        self.memory = nn.GRU(config.frame_features, config.hidden_size, batch_first=True)
        self.features = config.hidden_size

    def forward(self, observations: Tensor) -> Tensor:
        frames = observations if self.picture else self.encoder(observations).unflatten(-1, (self.shape[0], -1))
        each = self.frame(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])  # [B, L, F]
        _, last = self.memory(each)
        features: Tensor = last[-1]  # [B, hidden]
        return features
