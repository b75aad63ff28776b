"""A class for each text."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from toolkit.core.base import Example
from toolkit.core.classes import ClassProblem
from toolkit.core.problem import Array, Batch
from toolkit.nlp.configs import TextClassificationConfig
from toolkit.nlp.ragged import Ragged
from toolkit.nlp.tasks.base import TextProblem, Texts


class TextClassification(ClassProblem, TextProblem):
    """Which class a text belongs to."""

    config: TextClassificationConfig
    things = "texts"

    def columns(self) -> list[str]:
        return [self.config.text_column, self.target]

    def fit(self, examples: Sequence[Example]) -> None:
        super().fit(examples)
        self.fit_classes(self.labels(examples))

    def encode(self, examples: Sequence[Example], targets: bool = True) -> Texts:
        ids = Ragged([self.wrapped(self.text(example)) for example in examples])
        return Texts(ids, self.encode_classes(examples) if targets else None)

    def collate(self, encoded: Texts, indices: Array) -> Batch:
        inputs, lengths = encoded.ids.pad(indices, self.tokenizer.pad_id)
        targets = None if encoded.targets is None else encoded.targets[torch.from_numpy(indices)]
        return Batch(inputs, lengths, targets, None, indices)
