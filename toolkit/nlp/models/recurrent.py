"""Recurrent readers: a text's class, a tag for each token, the next token. Padding is never read.

B texts, T tokens, E embedding, R hidden units of both directions, C outputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from toolkit.core.layers.attention import key_mask
from toolkit.core.layers.dropout import Dropout
from toolkit.core.layers.recurrent import CELLS, LSTM
from toolkit.nlp.base import TextSpec
from toolkit.nlp.configs import RecurrentConfig, RecurrentLMConfig, TaggerConfig


class Reader(nn.Module):
    """Ids [B, T] to states [B, T, R]; states past a length are 0."""

    def __init__(self, config: RecurrentConfig, cell: str, inputs: int, pad_id: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(inputs, config.embedding_size, pad_id)
        self.dropout = Dropout(config.dropout)
        self.recurrent = CELLS[cell](config.embedding_size, config.hidden_size, config.layers, batch_first=True,
                                     bidirectional=config.bidirectional, dropout=config.dropout if config.layers > 1 else 0.0)
        self.width = config.hidden_size * (1 + config.bidirectional)

    def forward(self, ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """States [B, T, R] and the last state of each direction side by side [B, R]."""
        embedded = self.dropout(self.embedding(ids))  # [B, T, E]
        return self.recurrent.read(embedded, lengths)


class RecurrentClassifier(nn.Module):
    """A class for each text: ids [B, T] -> logits [B, C]."""

    cell = "lstm"

    def __init__(self, config: RecurrentConfig, inputs: int, outputs: int, spec: TextSpec | None = None) -> None:
        super().__init__()
        self.pool = config.pool
        self.reader = Reader(config, self.cell, inputs, (spec or TextSpec()).pad_id)
        self.dropout = Dropout(config.dropout)
        self.output = nn.Linear(self.reader.width, outputs)

    def forward(self, inputs: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        lengths = whole_lengths(inputs, lengths)
        states, last = self.reader(inputs, lengths)
        return self.output(self.dropout(pooled(states, last, lengths, self.pool))), lengths


class LSTMClassifier(RecurrentClassifier):
    """Long short-term memory. Source: Hochreiter and Schmidhuber (1997)."""


class GRUClassifier(RecurrentClassifier):
    """Gated recurrent units. Source: Cho et al. (2014)."""

    cell = "gru"


class Tagger(nn.Module):
    """A tag for each token: ids [B, T] -> logits [B, T, C]. Source: Huang et al. (2015), without the CRF."""

    def __init__(self, config: TaggerConfig, inputs: int, outputs: int, spec: TextSpec | None = None) -> None:
        super().__init__()
        self.reader = Reader(config, config.encoder, inputs, (spec or TextSpec()).pad_id)
        self.dropout = Dropout(config.dropout)
        self.output = nn.Linear(self.reader.width, outputs)

    def forward(self, inputs: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        lengths = whole_lengths(inputs, lengths)
        states, _ = self.reader(inputs, lengths)
        return self.output(self.dropout(states)), lengths


class LSTMLM(nn.Module):
    """The next id at each position: ids [B, T] -> logits [B, T, C]. Source: Graves (2013), arXiv 1308.0850."""

    def __init__(self, config: RecurrentLMConfig, inputs: int, outputs: int, spec: TextSpec | None = None) -> None:
        super().__init__()
        self.embedding = nn.Embedding(inputs, config.embedding_size, (spec or TextSpec()).pad_id)
        self.dropout = Dropout(config.dropout)
        self.recurrent = LSTM(config.embedding_size, config.hidden_size, config.layers, batch_first=True,
                              dropout=config.dropout if config.layers > 1 else 0.0)
        self.output = nn.Linear(config.hidden_size, outputs)

    def forward(self, inputs: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        states, _ = self.recurrent.read(self.dropout(self.embedding(inputs)), whole_lengths(inputs, lengths))
        return self.output(self.dropout(states)), lengths

    def caches(self, room: int) -> list[Memory]:
        """A memory with nothing in it; it takes as much room after one token as after a thousand."""
        return [Memory()]

    def step(self, ids: Tensor, caches: Sequence[Memory]) -> Tensor:
        """Logits [B, C] after the new ids [B, n], the ones before being in the memory."""
        memory, = caches
        states, memory.state = self.recurrent(self.embedding(ids), memory.state)
        found: Tensor = self.output(states[:, -1])
        return found


class Memory:
    """What an LSTM keeps of the tokens so far: states and cells, [layers, B, R] each."""

    def __init__(self) -> None:
        self.state: tuple[Tensor, Tensor] | None = None

    def choose(self, rows: Tensor) -> None:
        """Keep the sequences ``rows`` [B'], in that order."""
        if self.state is not None:
            self.state = self.state[0][:, rows], self.state[1][:, rows]


def whole_lengths(ids: Tensor, lengths: Tensor | None) -> Tensor:
    """``lengths``, or the full one for each text."""
    return torch.full((ids.shape[0],), ids.shape[1], dtype=torch.int64, device=ids.device) if lengths is None else lengths


def pooled(states: Tensor, last: Tensor, lengths: Tensor, how: str) -> Tensor:
    """One vector a text [B, R] of its states [B, T, R], by ``max``, ``mean`` or ``last``."""
    if how == "last":
        return last
    mask = key_mask(lengths, states.shape[1], states.device)
    assert mask is not None
    if how == "max":
        return states.masked_fill(~mask[..., None], -torch.inf).amax(1)
    return masked_average(states, mask)


def masked_average(states: Tensor, mask: Tensor) -> Tensor:
    """The mean [B, D] of states [B, T, D] where ``mask`` [B, T] is True."""
    weights = mask[..., None].to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1)
