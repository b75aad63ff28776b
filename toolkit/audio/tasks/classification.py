"""A class for each clip: words, sounds, speakers, keywords."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from toolkit.audio.recognition_configs import AudioClassificationConfig
from toolkit.audio.tasks.base import HeardProblem
from toolkit.core.base import Example
from toolkit.core.classes import ClassProblem
from toolkit.core.rows import like


class AudioClassification(ClassProblem, HeardProblem):
    """Which class a clip belongs to."""

    config: AudioClassificationConfig
    level = "clip"
    things = "clips"

    def learned_from(self, examples: Sequence[Example], generator: np.random.Generator) -> Sequence[Example]:
        if not self.config.shuffle_labels:
            return examples
        labels = [examples[int(place)][self.target] for place in generator.permutation(len(examples))]
        return [like(row, {**row, self.target: label}) for row, label in zip(examples, labels, strict=True)]

    def fit_targets(self, examples: Sequence[Example]) -> None:
        self.fit_classes(self.labels(examples))

    def encode_targets(self, examples: Sequence[Example]) -> Tensor:
        return self.encode_classes(examples)
