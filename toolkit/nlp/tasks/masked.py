"""Hidden tokens from those around them: how BERT learns.

Source: Devlin et al. (2019), section 3.1, task 1: of the tokens to be guessed, 80 % are hidden, 10 %
replaced by a random one and 10 % left as they are.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from toolkit.core.base import Example
from toolkit.core.losses import IGNORED
from toolkit.core.problem import Array, Batch, Judged, Tally
from toolkit.errors import UsageError
from toolkit.nlp.base import MASK, SPECIALS
from toolkit.nlp.configs import MaskedLanguageModelConfig
from toolkit.nlp.ragged import Ragged
from toolkit.nlp.tasks.base import TextProblem, Texts

GUESSES = 5  # tokens that are told for each mask


class MaskedLanguageModel(TextProblem):
    """Guess the hidden tokens of texts; which ones are hidden differs each epoch, but not in evaluations."""

    unit = "tokens"
    level = "masked"
    config: MaskedLanguageModelConfig

    def encode(self, examples: Sequence[Example], targets: bool = True) -> Texts:
        rows: list[list[int]] = []
        most = self.config.max_length - 2
        for example in examples:
            ids = self.tokenizer.encode(self.text(example)) if targets else self.question(self.text(example))
            # A long text becomes several examples when training.
            rows += [[self.tokenizer.begin_id, *ids[start:start + most], self.tokenizer.end_id]
                     for start in range(0, max(1, len(ids)), most)]
        return Texts(Ragged(rows))

    def question(self, text: str) -> list[int]:
        """The ids of a text in which ``<mask>``, or what a pretrained tokenizer writes, stands for each hidden token.

        Warns where nothing is hidden. Raises UsageError for a text that is too long.
        """
        hidden, spelling, most = self.tokenizer.mask_id, SPECIALS[MASK], self.config.max_length - 2
        pieces = [text] if hidden in self.tokenizer.encode(spelling) else text.split(spelling)
        ids = list(self.tokenizer.encode(pieces[0]))
        for piece in pieces[1:]:
            ids += [hidden, *self.tokenizer.encode(piece)]
        if hidden not in ids:
            warnings.warn(f"{text!r} hides no token, so nothing is guessed. Write {spelling} for each one that is to be guessed: "
                          f'toolkit predict RUN "the film was {spelling}"', stacklevel=2)
        if len(ids) > most:
            raise UsageError(f"a text has {len(ids)} tokens; allowed: at most {most}, the run's max_length without the ends. "
                             "Make it shorter")
        return ids

    def held_out(self, examples: Sequence[Example]) -> tuple[Sequence[Example], Sequence[Example]]:
        return super().held_out(examples) if len(examples) > 1 else self.cut_in_two(examples[0])

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
        """Each text with its masks filled, and for each mask the likeliest tokens, the first of which stands in the text."""
        assert lengths is not None
        return [self.answer(*each) for each in zip(batch.inputs, outputs, lengths.tolist(), strict=True)]

    def answer(self, ids: Tensor, logits: Tensor, length: int) -> dict[str, Any]:
        """The answer for ids [T] of one text, of which ``length`` are its own, and their logits [T, C]."""
        hidden = torch.nonzero(ids[:length] == self.tokenizer.mask_id)[:, 0]
        shares = logits[hidden].float().softmax(-1)
        shares[:, [*self.forbidden, self.tokenizer.end_id]] = 0.0
        best = shares.topk(min(GUESSES, shares.shape[1]))
        filled = ids[:length].clone()
        filled[hidden] = best.indices[:, 0]
        masks = [[{"token": self.tokenizer.decode([place]).strip(), "probability": share}
                  for place, share in zip(*pair, strict=True)]
                 for pair in zip(best.indices.tolist(), best.values.tolist(), strict=True)]
        return {"text": self.tokenizer.decode(filled.tolist()), "masks": masks}


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
