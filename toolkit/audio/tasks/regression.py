"""A number for each clip: a pitch, an age, a loudness."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from toolkit.audio.recognition_configs import AudioRegressionConfig
from toolkit.audio.tasks.base import HeardProblem, Sound
from toolkit.core.base import Example
from toolkit.core.problem import Array, Batch, Tally
from toolkit.core.tallies import FirstOutputTally
from toolkit.errors import UsageError


class AudioRegression(HeardProblem):
    """A number a clip; the model learns it with mean 0 and deviation 1."""

    config: AudioRegressionConfig
    level: ClassVar[Any] = "clip"
    outputs = 1

    def __init__(self, config: AudioRegressionConfig) -> None:
        super().__init__(config)
        self.centre, self.scale = 0.0, 1.0

    @property
    def target(self) -> str:
        return self.config.target or self.target_name or "label"

    def fault(self, row: Example) -> str | None:
        if row.get(self.target) not in (None, "") and number(row[self.target]) is None:
            return f"{self.target!r} is {row[self.target]!r}, not a number"
        return super().fault(row)

    def fit_targets(self, examples: Sequence[Example]) -> None:
        values = np.array([number(row[self.target]) for row in examples], np.float64)
        self.centre, self.scale = float(values.mean()), float(values.std())
        if not self.scale:
            raise UsageError(f"all clips have the same {self.target!r} ({values[0]:g}); there is nothing to learn")

    def facts(self) -> dict[str, Any]:
        return {**super().facts(), "centre": self.centre, "scale": self.scale}

    def restore(self, facts: Mapping[str, Any]) -> None:
        super().restore(facts)
        self.centre, self.scale = facts["centre"], facts["scale"]

    def encode_targets(self, examples: Sequence[Example]) -> Tensor:
        values = torch.tensor([number(row[self.target]) for row in examples], dtype=torch.float64)
        return ((values - self.centre) / self.scale).float()

    def targets_of(self, encoded: Sound, indices: Array) -> tuple[Tensor | None, Tensor | None]:
        return (None if encoded.targets is None else encoded.targets[torch.from_numpy(indices)]), None

    def loss(self, outputs: Tensor, lengths: Tensor | None, batch: Batch) -> Tensor:
        result: Tensor = self.loss_function(outputs[:, 0], batch.targets)
        return result

    def tally(self) -> Tally:
        return FirstOutputTally(self.centre, self.scale)

    def answers(self, outputs: Tensor, lengths: Tensor | None, batch: Batch) -> list[Any]:
        return [{"value": value * self.scale + self.centre} for value in outputs[:, 0].double().tolist()]


def number(value: Any) -> float | None:
    """A finite number, or None for anything else."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None
