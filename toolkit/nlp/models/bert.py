"""BERT from scratch: the encoder, and heads for a class a text, a class a token, or hidden tokens.

Source: Devlin et al. (2019). At the defaults, with 30,522 ids, the encoder has 109,482,240 parameters.
B texts, T tokens, D width, C outputs.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from toolkit.core.configs import EncoderLayerConfig
from toolkit.core.layers.attention import EncoderLayer, key_mask, require_share
from toolkit.core.layers.dropout import Dropout
from toolkit.core.layers.positions import check_room
from toolkit.nlp.base import TextSpec
from toolkit.nlp.configs import BertConfig
from toolkit.nlp.models.recurrent import whole_lengths


class BertEncoder(nn.Module):
    """Ids [B, T] to states [B, T, D], and a pooled state [B, D] of the first token."""

    def __init__(self, config: BertConfig, inputs: int, pad_id: int = 0) -> None:
        super().__init__()
        require_share(config.width, config.heads, "model")
        self.tokens = nn.Embedding(inputs, config.width, pad_id)
        self.positions = nn.Embedding(config.longest, config.width)
        self.segments = nn.Embedding(config.segments, config.width)
        self.norm, self.dropout = nn.LayerNorm(config.width, eps=config.eps), Dropout(config.dropout)
        layer = EncoderLayerConfig(config.width, config.heads, config.hidden, "gelu", config.dropout, eps=config.eps)
        self.layers = nn.ModuleList(EncoderLayer(layer) for _ in range(config.layers))
        self.pooler = nn.Linear(config.width, config.width)
        self.apply(initialise)

    def forward(self, ids: Tensor, lengths: Tensor | None = None, segments: Tensor | None = None) -> tuple[Tensor, Tensor]:
        check_room(ids.shape[1], self.positions.num_embeddings)
        places = torch.arange(ids.shape[1], device=ids.device)  # [T]
        kinds = torch.zeros_like(ids) if segments is None else segments
        x = self.dropout(self.norm(self.tokens(ids) + self.segments(kinds) + self.positions(places)))  # [B, T, D]
        mask = key_mask(lengths, ids.shape[1], ids.device)
        for layer in self.layers:
            x = layer(x, mask)
        return x, torch.tanh(self.pooler(x[:, 0]))


class Bert(nn.Module):
    """The encoder with the head that the task's level needs: [B, C] for a text, [B, T, C] for positions."""

    def __init__(self, config: BertConfig, inputs: int, outputs: int, spec: TextSpec | None = None) -> None:
        super().__init__()
        spec = spec or TextSpec()
        self.encoder = BertEncoder(config, inputs, spec.pad_id)
        self.level, self.room = spec.level, config.longest
        self.dropout = Dropout(config.dropout)
        if spec.level == "masked":
            self.head: nn.Module = MaskedHead(config, self.encoder.tokens)
        else:
            self.head = nn.Linear(config.width, outputs)
            self.head.apply(initialise)

    def forward(self, inputs: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        lengths = whole_lengths(inputs, lengths)
        states, pooled = self.encoder(inputs, lengths)
        if self.level == "masked":
            return self.head(states), lengths
        return self.head(self.dropout(pooled if self.level == "text" else states)), lengths

    def take_body(self, state: Mapping[str, Tensor]) -> None:
        """The encoder's weights of another run, whose head may be another. Raises RuntimeError when they do not fit."""
        start = "encoder."
        self.encoder.load_state_dict({name[len(start):]: value for name, value in state.items() if name.startswith(start)})


class MaskedHead(nn.Module):
    """Which token was hidden: states [B, T, D] -> logits [B, T, ids]; the output layer is the embedding turned round."""

    def __init__(self, config: BertConfig, embedding: nn.Embedding) -> None:
        super().__init__()
        self.dense, self.norm = nn.Linear(config.width, config.width), nn.LayerNorm(config.width, eps=config.eps)
        self.dense.apply(initialise)
        self.bias = nn.Parameter(torch.zeros(embedding.num_embeddings))
        self.output = nn.Linear(config.width, embedding.num_embeddings, bias=False)
        self.output.weight = embedding.weight

    def forward(self, states: Tensor) -> Tensor:
        found: Tensor = self.output(self.norm(F.gelu(self.dense(states)))) + self.bias
        return found


def initialise(module: nn.Module) -> None:
    """Weights with deviation 0.02, biases and the padding's vector 0: Devlin et al. (2019), code."""
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
    if isinstance(module, nn.Embedding) and module.padding_idx is not None:
        with torch.no_grad():
            module.weight[module.padding_idx].zero_()


def from_hugging_face(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of Hugging Face's ``BertModel`` under the names of `BertEncoder`."""
    plain = {"embeddings.word_embeddings.": "tokens.", "embeddings.position_embeddings.": "positions.",
             "embeddings.token_type_embeddings.": "segments.", "embeddings.LayerNorm.": "norm.", "pooler.dense.": "pooler."}
    inside = {"attention.output.dense.": "attention.outward.", "attention.output.LayerNorm.": "norm1.",
              "intermediate.dense.": "feed_forward.up.", "output.dense.": "feed_forward.down.", "output.LayerNorm.": "norm2."}
    found: dict[str, Tensor] = {}
    for name, value in state.items():
        for old, new in plain.items():
            if name.startswith(old):
                found[new + name[len(old):]] = value
        if name.startswith("encoder.layer."):
            number, _, rest = name[len("encoder.layer."):].partition(".")
            for old, new in inside.items():
                if rest.startswith(old):
                    found[f"layers.{number}.{new}{rest[len(old):]}"] = value
            if rest.startswith("attention.self.query."):
                parts = [state[name.replace(".query.", f".{part}.")] for part in ("query", "key", "value")]
                found[f"layers.{number}.attention.inward.{rest.rpartition('.')[2]}"] = torch.cat(parts)
    return found
