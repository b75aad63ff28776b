"""A number for each example, whatever the examples are: what tasks on tables and on sound share.

number         a value as a finite number
moments        mean and deviation of many
NumberProblem  base of the tasks; the model learns the number with mean 0 and deviation 1
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from toolkit.core.problem import Array, Batch, Problem, Tally
from toolkit.core.tallies import FirstOutputTally
from toolkit.errors import UsageError


def number(value: Any) -> float | None:
    """``value`` as a finite number, or None."""
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def moments(values: Array) -> tuple[float, float]:
    """Mean and deviation; exactly 0 where all are the same, which a sum of rounded squares need not be."""
    return float(values.mean()), 0.0 if values.min() == values.max() else float(values.std())


class NumberProblem(Problem[Any]):
    """Mixed into the base of a room's tasks, before it; that says where an example's number stands, and saves the scale."""

    outputs = 1
    things: ClassVar[str] = "rows"  # what examples are called

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.centre, self.scale = 0.0, 1.0

    @property
    def target(self) -> str:
        """The column that holds the number."""
        raise NotImplementedError

    def fit_numbers(self, values: Sequence[Any]) -> None:
        """Learn the scale. Raises UsageError when all values are the same."""
        array = np.array([number(value) for value in values], np.float64)
        self.centre, self.scale = moments(array)
        if not self.scale:
            raise UsageError(f"all {self.things} have the same {self.target!r} ({array[0]:g}); there is nothing to learn")

    def encode_numbers(self, values: Sequence[Any]) -> Tensor:
        """Scaled targets [N]."""
        numbers = torch.tensor([number(value) for value in values], dtype=torch.float64)
        return ((numbers - self.centre) / self.scale).float()

    def loss(self, outputs: Tensor, lengths: Tensor | None, batch: Batch) -> Tensor:
        result: Tensor = self.loss_function(outputs[:, 0], batch.targets)
        return result

    def tally(self) -> Tally:
        return FirstOutputTally(self.centre, self.scale)

    def answers(self, outputs: Tensor, lengths: Tensor | None, batch: Batch) -> list[Any]:
        return [{"value": value * self.scale + self.centre} for value in outputs[:, 0].double().tolist()]
