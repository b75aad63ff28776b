"""Transformers on ids: a class for each text, and the next id, with cached generation.

B texts, T tokens, D width, C outputs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from toolkit.core.configs import EncoderLayerConfig, PositionsConfig
from toolkit.core.layers.attention import Cache, EncoderLayer, key_mask, require_share
from toolkit.core.layers.dropout import Dropout
from toolkit.core.layers.positions import Learned, Sinusoidal
from toolkit.nlp.base import TextSpec
from toolkit.nlp.configs import TransformerLMConfig, TransformerTextConfig
from toolkit.nlp.models.recurrent import masked_average, whole_lengths


class Stack(nn.Module):
    """Embedding, positions and layers: ids [B, T] -> [B, T, D], normalised at the end."""

    def __init__(self, config: TransformerTextConfig, inputs: int, pad_id: int) -> None:
        super().__init__()
        require_share(config.width, config.heads, "model", even=config.positions == "rotary")
        self.embedding = nn.Embedding(inputs, config.width, pad_id)
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.scale = math.sqrt(config.width) if config.positions == "sinusoidal" else 1.0
        longest = PositionsConfig(config.width, config.longest)
        self.positions = {"sinusoidal": Sinusoidal, "learned": Learned}[config.positions](longest) \
            if config.positions != "rotary" else None
        self.room = None if self.positions is None else config.longest  # positions that turn go on for ever
        layer = EncoderLayerConfig(config.width, config.heads, config.hidden, config.activation, config.dropout, True,
                                   config.positions == "rotary")
        self.layers = nn.ModuleList(EncoderLayer(layer) for _ in range(config.layers))
        self.norm, self.dropout = nn.LayerNorm(config.width), Dropout(config.dropout)
        for module in self.layers.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        # Residual branches start smaller the more there are: Radford et al. (2019), section 2.3.
        for name, parameter in self.layers.named_parameters():
            if name.endswith(("outward.weight", "down.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * config.layers))

    def forward(self, ids: Tensor, mask: Tensor | None = None, causal: bool = False,
                caches: Sequence[Cache] | None = None) -> Tensor:
        x = self.embedding(ids) * self.scale
        if self.positions is not None:
            x = self.positions(x, caches[0].length if caches else 0)
        x = self.dropout(x)
        for index, layer in enumerate(self.layers):
            x = layer(x, mask, causal, caches[index] if caches else None)
        found: Tensor = self.norm(x)
        return found

    def step(self, ids: Tensor, caches: Sequence[Cache]) -> Tensor:
        """States [B, D] after one new id each [B, 1], without dropout; what came before is in the caches."""
        x = self.embedding(ids) * self.scale
        if self.positions is not None:
            x = self.positions(x, caches[0].length)
        x = x[:, 0]
        layers: Any = self.layers
        for layer, cache in zip(layers, caches, strict=True):
            x = layer.step(x, cache)
        found: Tensor = self.norm(x)
        return found


class TransformerClassifier(nn.Module):
    """A class for each text, from the mean of its positions: ids [B, T] -> logits [B, C].

    Source: the encoder of Vaswani et al. (2017), normalised first.
    """

    def __init__(self, config: TransformerTextConfig, inputs: int, outputs: int, spec: TextSpec | None = None) -> None:
        super().__init__()
        self.stack = Stack(config, inputs, (spec or TextSpec()).pad_id)
        self.output = nn.Linear(config.width, outputs)
        self.room = self.stack.room

    def forward(self, inputs: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        lengths = whole_lengths(inputs, lengths)
        mask = key_mask(lengths, inputs.shape[1], inputs.device)
        assert mask is not None
        return self.output(masked_average(self.stack(inputs, mask), mask)), lengths


class TransformerLM(nn.Module):
    """The next id at each position: ids [B, T] -> logits [B, T, C]. Source: Radford et al. (2019).

    No position sees a later one, so padding at the end changes nothing before it.
    """

    def __init__(self, config: TransformerLMConfig, inputs: int, outputs: int, spec: TextSpec | None = None) -> None:
        super().__init__()
        self.stack = Stack(config, inputs, (spec or TextSpec()).pad_id)
        self.output = nn.Linear(config.width, outputs, bias=not config.tied)
        if config.tied and inputs == outputs:
            self.output.weight = self.stack.embedding.weight
        self.longest, self.room = config.longest, self.stack.room

    def forward(self, inputs: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        return self.output(self.stack(inputs, causal=True)), lengths

    def caches(self, room: int) -> list[Cache]:
        """An empty cache for each layer, for sequences of up to ``room`` tokens."""
        return [Cache(room) for _ in self.stack.layers]

    def step(self, ids: Tensor, caches: Sequence[Cache]) -> Tensor:
        """Logits [B, C] after the new ids [B, n], the ones before being in the caches."""
        alone = ids.shape[1] == 1 and not self.training
        states = self.stack.step(ids, caches) if alone else self.stack(ids, None, True, caches)[:, -1]
        found: Tensor = self.output(states)
        return found
