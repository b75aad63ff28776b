"""A class for each text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from toolkit.core.base import Example
from toolkit.core.problem import Array, Batch, Tally
from toolkit.core.tabular import class_answers
from toolkit.core.tallies import ClassTally
from toolkit.errors import UsageError
from toolkit.nlp.configs import TextClassificationConfig
from toolkit.nlp.ragged import Ragged
from toolkit.nlp.tasks.base import TextProblem, Texts


class TextClassification(TextProblem):
    """Which class a text belongs to."""

    config: TextClassificationConfig

    def __init__(self, config: TextClassificationConfig) -> None:
        super().__init__(config)
        self.classes: list[str] = []
        self.weights: Tensor | None = None

    @property
    def target(self) -> str:
        return self.config.target or self.target_name or "label"

    @property
    def outputs(self) -> int:
        return len(self.classes)

    def columns(self) -> list[str]:
        return [self.config.text_column, self.target]

    def groups(self, examples: Sequence[Example]) -> Array:
        return np.array([self.label(example) for example in examples])

    def label(self, example: Example) -> str:
        return str(example[self.target]).strip()

    def fit(self, examples: Sequence[Example]) -> None:
        super().fit(examples)
        counts = Counter(self.label(example) for example in examples)
        self.classes = sorted(counts)
        if len(self.classes) < 2:
            raise UsageError(f"all texts have the same {self.target!r}; there is nothing to learn")
        if self.config.class_weights == "balanced":
            self.weights = torch.tensor([len(examples) / (len(counts) * counts[name]) for name in self.classes])

    def facts(self) -> dict[str, Any]:
        return {**super().facts(), "classes": self.classes, "target": self.target, "weights": self.weights}

    def restore(self, facts: Mapping[str, Any]) -> None:
        super().restore(facts)
        self.classes, self.target_name, self.weights = list(facts["classes"]), facts["target"], facts["weights"]

    def encode(self, examples: Sequence[Example], targets: bool = True) -> Texts:
        ids = Ragged([self.wrapped(self.text(example)) for example in examples])
        if not targets:
            return Texts(ids)
        places = {name: index for index, name in enumerate(self.classes)}
        unknown = sorted({self.label(example) for example in examples} - set(places))
        if unknown:
            raise UsageError(f"{self.target!r} holds {unknown[0]!r}, which is not among the classes trained on: "
                             f"{', '.join(self.classes[:20])}")
        return Texts(ids, torch.tensor([places[self.label(example)] for example in examples]))

    def collate(self, encoded: Texts, indices: Array) -> Batch:
        inputs, lengths = encoded.ids.pad(indices, self.tokenizer.pad_id)
        targets = None if encoded.targets is None else encoded.targets[torch.from_numpy(indices)]
        return Batch(inputs, lengths, targets, None, indices)

    def loss(self, outputs: Tensor, lengths: Tensor | None, batch: Batch) -> Tensor:
        weights = None if self.weights is None else self.weights.to(outputs.device)
        result: Tensor = self.loss_function(outputs, batch.targets, class_weights=weights)
        return result

    def tally(self) -> Tally:
        return ClassTally(self.classes)

    def answers(self, outputs: Tensor, lengths: Tensor | None, batch: Batch) -> list[Any]:
        return class_answers(outputs, self.classes)
