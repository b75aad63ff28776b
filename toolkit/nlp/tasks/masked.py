"""Hidden tokens from those around them: how BERT learns.

Source: Devlin et al. (2019), section 3.1, task 1: of the tokens to be guessed, 80 % are hidden, 10 %
replaced by a random one and 10 % left as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from toolkit.core.base import Example
from toolkit.core.losses import IGNORED
from toolkit.core.problem import Array, Batch, Judged, Tally
from toolkit.nlp.base import SPECIALS
from toolkit.nlp.configs import MaskedLanguageModelConfig
from toolkit.nlp.ragged import Ragged
from toolkit.nlp.tasks.base import TextProblem, Texts


class MaskedLanguageModel(TextProblem):
    """Guess the hidden tokens of texts; which ones are hidden differs each epoch, but not in evaluations."""

    unit = "tokens"
    level = "masked"
    config: MaskedLanguageModelConfig

    def encode(self, examples: Sequence[Example], targets: bool = True) -> Texts:
        rows: list[list[int]] = []
        most = self.config.max_length - 2
        for example in examples:
            ids = self.tokenizer.encode(self.text(example))
            # A long text becomes several examples when training, and is cut when asked about.
            pieces = [ids[start:start + most] for start in range(0, max(1, len(ids)), most)] if targets else [ids[:most]]
            rows += [[self.tokenizer.begin_id, *piece, self.tokenizer.end_id] for piece in pieces]
        return Texts(Ragged(rows))

    def held_out(self, examples: Sequence[Example]) -> tuple[Sequence[Example], Sequence[Example]]:
        """A text on its own is cut: its last share is held out."""
        if len(examples) > 1:
            return super().held_out(examples)
        text = self.text(examples[0])
        cut = round(len(text) * (1 - self.config.holdout))
        return [{self.config.text_column: text[:cut]}], [{self.config.text_column: text[cut:]}]

    def units(self, encoded: Texts) -> Array:
        return encoded.ids.sizes

    def collate(self, encoded: Texts, indices: Array) -> Batch:
        inputs, lengths = encoded.ids.pad(indices, self.tokenizer.pad_id)
        return Batch(inputs, lengths, None, None, indices)

    def augment(self, batch: Batch, generator: torch.Generator) -> Batch:
        ids = batch.inputs.cpu()
        special = torch.tensor([self.tokenizer.pad_id, self.tokenizer.begin_id, self.tokenizer.end_id])
        open_ = ~torch.isin(ids, special)
        guessed = (torch.rand(ids.shape, generator=generator) < self.config.share) & open_
        draw = torch.rand(ids.shape, generator=generator)
        others = torch.randint(min(len(SPECIALS), self.tokenizer.size - 1), self.tokenizer.size, ids.shape, generator=generator)
        changed = torch.where(draw < 0.8, torch.full_like(ids, self.tokenizer.mask_id), torch.where(draw < 0.9, others, ids))
        device = batch.inputs.device
        return replace(batch, inputs=torch.where(guessed, changed, ids).to(device),
                       targets=ids.masked_fill(~guessed, IGNORED).to(device))

    def fixed(self, batch: Batch) -> Batch:
        first = int(batch.indices[0]) if len(batch.indices) else 0
        return self.augment(batch, torch.Generator().manual_seed(first))

    def loss(self, outputs: Tensor, lengths: Tensor | None, batch: Batch) -> Tensor:
        result: Tensor = self.loss_function(outputs, batch.targets)
        return result

    def tally(self) -> Tally:
        return MaskedTally()

    def answers(self, outputs: Tensor, lengths: Tensor | None, batch: Batch) -> list[Any]:
        """For each text the likeliest token at each place, as text."""
        assert lengths is not None
        best = outputs.argmax(-1).tolist()
        return [{"text": self.tokenizer.decode(row[1:int(length) - 1])} for row, length in zip(best, lengths, strict=True)]


class MaskedTally:
    """Accuracy, perplexity and nats over the hidden tokens."""

    def __init__(self) -> None:
        self._nats, self._tokens, self._right = 0.0, 0, 0

    def add(self, outputs: Tensor, lengths: Tensor | None, batch: Batch) -> None:
        assert batch.targets is not None
        valid = batch.targets != IGNORED
        chosen, targets = outputs[valid].float(), batch.targets[valid]
        self._nats -= float(chosen.log_softmax(-1).gather(1, targets[:, None]).double().sum())
        self._right += int((chosen.argmax(-1) == targets).sum())
        self._tokens += len(targets)

    def result(self) -> Judged:
        nats = self._nats / max(1, self._tokens)
        values = {"accuracy": self._right / max(1, self._tokens), "perplexity": math.exp(min(nats, 700)), "loss": nats}
        return Judged(-nats, values, {"count": self._tokens})
