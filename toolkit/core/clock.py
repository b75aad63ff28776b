"""The run's position: how many units are done, and how many the budget holds.

Schedules are functions of this absolute position, so a resumed run continues its curves, and a
run that is extended (``toolkit resume RUN --steps N``) follows the curve of the new budget.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Clock:
    """``step`` units done out of ``budget``; one object is shared by trainer, task and component."""

    budget: int
    step: int = 0

    @property
    def remaining(self) -> int:
        return max(0, self.budget - self.step)

    @property
    def fraction(self) -> float:
        """The share of the budget that is done, in [0, 1]."""
        return min(1.0, self.step / self.budget) if self.budget else 1.0
