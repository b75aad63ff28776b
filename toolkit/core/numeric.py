"""A number for each example, whatever the examples are: what tasks on tables and on sound share.

number         a value as a number that float32 can hold
boolean        a boolean, or a word for one, as 1 or 0
scaled         many of them as a model takes them
moments        mean and deviation of many
outlier        one beside which the others hardly differ
NumberProblem  base of the tasks; the model learns the number with mean 0 and deviation 1
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from toolkit.core.problem import Array, Batch, Problem, Tally
from toolkit.core.tallies import FirstOutputTally
from toolkit.errors import UsageError

TOO_LARGE = 2.0**128 - 2.0**103  # the smallest number that float32 rounds to infinity
ALIKE = 0.01  # deviations: what differs by less is not told apart
BESIDE = ("so far from the others that they hardly differ beside it: half of them are within "
          f"{ALIKE:g} deviations of each other")
FARTHEST = 1e30  # deviations from a mean: a model multiplies and sums them, and must stay below 3.4e38
NUMBERS = "finite numbers, of a size below 3.4e38"  # which are allowed
BOOLEANS = {"true": 1.0, "false": 0.0}  # the words, in any case


def number(value: Any) -> float | None:
    """``value`` as a number, or None; what float32, in which models compute, cannot hold is none."""
    if isinstance(value, str) and ("_" in value or not value.strip().isascii()):
        return None  # which Python reads as digits: 1_12 is a code
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if abs(found) < TOO_LARGE else None


def boolean(value: Any) -> float | None:
    """1 or 0 for a boolean, which JSON and Parquet have, and for the word that CSV has in its place; None for all else."""
    return BOOLEANS.get(str(value).strip().lower()) if isinstance(value, str | bool | np.bool_) else None


def scaled(values: Array, mean: float, scale: float) -> Array:
    """Numbers [N] less ``mean`` and over ``scale``, float32 [N]; inf where they are too far from the mean to compute with."""
    result = (values - mean) / scale
    return np.where(np.abs(result) < FARTHEST, result, np.inf).astype(np.float32)


def moments(values: Array) -> tuple[float, float]:
    """Mean and deviation; exactly 0 where all are the same, which a sum of rounded squares need not be."""
    return float(values.mean()), 0.0 if values.min() == values.max() else float(values.std())


def outlier(values: Array, scale: float) -> int | None:
    """The place of the farthest of ``values`` [N] where half of them differ by less than `ALIKE` deviations, or None.

    Beside such a one the others are as good as the same, and a model learns nothing of them.
    """
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    return int(np.abs(values - middle).argmax()) if 0 < high - low < ALIKE * scale else None


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
        far = outlier(array, self.scale)
        if far is not None:
            warnings.warn(f"{self.target!r} holds {values[far]!r}, {BESIDE}. Correct it, or take it out of the data",
                          stacklevel=2)

    def encode_numbers(self, values: Sequence[Any]) -> Tensor:
        """Scaled targets [N]. Raises UsageError for one too far from those of training."""
        targets = scaled(np.array([number(value) for value in values], np.float64), self.centre, self.scale)
        if not np.isfinite(targets).all():
            far = values[int(np.flatnonzero(~np.isfinite(targets))[0])]
            raise UsageError(f"{self.target!r} holds {far!r}, too far from the numbers of training (mean {self.centre:g}, "
                             f"deviation {self.scale:g}) for float32. Correct it")
        return torch.from_numpy(targets)

    def loss(self, outputs: Tensor, lengths: Tensor | None, batch: Batch) -> Tensor:
        result: Tensor = self.loss_function(outputs[:, 0], batch.targets)
        return result

    def tally(self) -> Tally:
        return FirstOutputTally(self.centre, self.scale)

    def answers(self, outputs: Tensor, lengths: Tensor | None, batch: Batch) -> list[Any]:
        return [{"value": value * self.scale + self.centre} for value in outputs[:, 0].double().tolist()]
