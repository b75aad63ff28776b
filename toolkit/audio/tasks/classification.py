"""A class for each clip: words, sounds, speakers, keywords."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from toolkit.audio.recognition_configs import AudioClassificationConfig
from toolkit.audio.tasks.base import HeardProblem, Sound
from toolkit.core.base import Example
from toolkit.core.problem import Array, Batch, Tally
from toolkit.core.tabular import class_answers
from toolkit.core.tallies import ClassTally
from toolkit.errors import UsageError


class AudioClassification(HeardProblem):
    """Which class a clip belongs to."""

    config: AudioClassificationConfig
    level = "clip"

    def __init__(self, config: AudioClassificationConfig) -> None:
        super().__init__(config)
        self.classes: list[str] = []
        self.weights: Tensor | None = None

    @property
    def target(self) -> str:
        return self.config.target or self.target_name or "label"

    @property
    def outputs(self) -> int:
        return len(self.classes)

    def label(self, example: Example) -> str:
        return str(example[self.target]).strip()

    def groups(self, examples: Sequence[Example]) -> Array:
        return np.array([self.label(example) for example in examples])

    def held_out(self, examples: Sequence[Example]) -> tuple[Sequence[Example], Sequence[Example]]:
        return super().held_out(list(examples))

    def fit_targets(self, examples: Sequence[Example]) -> None:
        counts = Counter(self.label(example) for example in examples)
        self.classes = sorted(counts)
        if len(self.classes) < 2:
            raise UsageError(f"all clips have the same {self.target!r}; there is nothing to learn")
        if self.config.class_weights == "balanced":
            self.weights = torch.tensor([len(examples) / (len(counts) * counts[name]) for name in self.classes])

    def facts(self) -> dict[str, Any]:
        return {**super().facts(), "classes": self.classes, "weights": self.weights}

    def restore(self, facts: Mapping[str, Any]) -> None:
        super().restore(facts)
        self.classes, self.weights = list(facts["classes"]), facts["weights"]

    def encode_targets(self, examples: Sequence[Example]) -> Tensor:
        places = {name: index for index, name in enumerate(self.classes)}
        unknown = sorted({self.label(example) for example in examples} - set(places))
        if unknown:
            raise UsageError(f"{self.target!r} holds {unknown[0]!r}, which is not among the classes trained on: "
                             f"{', '.join(self.classes[:20])}")
        return torch.tensor([places[self.label(example)] for example in examples])

    def check(self, splits: Mapping[str, Sequence[Example]]) -> None:
        super().check(splits)
        if self.config.shuffle_labels:
            rows = list(splits["train"])
            labels = [row[self.target] for row in rows]
            random.Random(self.config.split_seed).shuffle(labels)
            splits["train"] = [{**row, self.target: label}  # type: ignore[index]
                               for row, label in zip(rows, labels, strict=True)]

    def targets_of(self, encoded: Sound, indices: Array) -> tuple[Tensor | None, Tensor | None]:
        return (None if encoded.targets is None else encoded.targets[torch.from_numpy(indices)]), None

    def loss(self, outputs: Tensor, lengths: Tensor | None, batch: Batch) -> Tensor:
        weights = None if self.weights is None else self.weights.to(outputs.device)
        result: Tensor = self.loss_function(outputs, batch.targets, class_weights=weights)
        return result

    def tally(self) -> Tally:
        return ClassTally(self.classes)

    def answers(self, outputs: Tensor, lengths: Tensor | None, batch: Batch) -> list[Any]:
        return class_answers(outputs, self.classes)
