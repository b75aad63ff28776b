"""A class for each clip: words, sounds, speakers, keywords."""

from __future__ import annotations

import random
from collections.abc import MutableMapping, Sequence

from torch import Tensor

from toolkit.audio.recognition_configs import AudioClassificationConfig
from toolkit.audio.tasks.base import HeardProblem
from toolkit.core.base import Example
from toolkit.core.classes import ClassProblem


class AudioClassification(ClassProblem, HeardProblem):
    """Which class a clip belongs to."""

    config: AudioClassificationConfig
    level = "clip"
    things = "clips"

    def check(self, splits: MutableMapping[str, Sequence[Example]]) -> None:
        super().check(splits)
        if self.config.shuffle_labels:
            rows = list(splits["train"])
            labels = [row[self.target] for row in rows]
            random.Random(self.config.split_seed).shuffle(labels)
            splits["train"] = [{**row, self.target: label} for row, label in zip(rows, labels, strict=True)]

    def fit_targets(self, examples: Sequence[Example]) -> None:
        self.fit_classes(self.labels(examples))

    def encode_targets(self, examples: Sequence[Example]) -> Tensor:
        return self.encode_classes(self.labels(examples))
