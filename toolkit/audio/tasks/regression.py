"""A number for each clip: a pitch, an age, a loudness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor

from toolkit.audio.recognition_configs import AudioRegressionConfig
from toolkit.audio.tasks.base import HeardProblem
from toolkit.core.base import Example
from toolkit.core.numeric import NUMBERS, NumberProblem, number


class AudioRegression(NumberProblem, HeardProblem):
    """A number a clip; the model learns it with mean 0 and deviation 1."""

    config: AudioRegressionConfig
    level: ClassVar[Any] = "clip"
    things = "clips"

    @property
    def target(self) -> str:
        return self.config.target or self.target_name or "label"

    def fault(self, row: Example) -> str | None:
        if row.get(self.target) not in (None, "") and number(row[self.target]) is None:
            return f"{self.target!r} is {row[self.target]!r}, not a number; allowed: {NUMBERS}"
        return super().fault(row)

    def fit_targets(self, examples: Sequence[Example]) -> None:
        self.fit_numbers([row[self.target] for row in examples])

    def facts(self) -> dict[str, Any]:
        return {**super().facts(), "centre": self.centre, "scale": self.scale}

    def restore(self, facts: Mapping[str, Any]) -> None:
        super().restore(facts)
        self.centre, self.scale = facts["centre"], facts["scale"]

    def encode_targets(self, examples: Sequence[Example]) -> Tensor:
        return self.encode_numbers([row[self.target] for row in examples])
