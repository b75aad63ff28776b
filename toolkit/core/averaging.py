"""The mean of a network's parameters over the last part of a run (Polyak and Juditsky, 1992).

Single iterates of a stochastic optimizer scatter around a point; their mean is closer to it. A
policy that acts by the mean does not depend on which update happened to be the last.
"""

from __future__ import annotations

import copy
from typing import Any

from toolkit.core.clock import Clock
from toolkit.core.flat import FlatParameters


class TailAverage:
    """``module`` holds the mean of the parameters seen by `add` in the last ``share`` of the run.

    Nothing is averaged before; then ``count`` is 0, the average is false and ``module`` must not be
    used. A run that is extended starts its average anew in the last part of the new budget.
    """

    def __init__(self, flat: FlatParameters, share: float, clock: Clock) -> None:
        self.module: Any = copy.deepcopy(flat.module)
        self.share, self.clock, self.count = share, clock, 0
        self._flat, self._mean = flat, FlatParameters(self.module)

    def __bool__(self) -> bool:
        return self.count > 0

    def add(self) -> None:
        """Take the parameters as they are now into the mean, where the run is far enough."""
        if self.clock.fraction < 1.0 - self.share:
            self.count = 0
            return
        self.count += 1
        self._flat.blend_into(self._mean, 1.0 / self.count)

    def state_dict(self) -> dict[str, Any]:
        return {"module": self.module.state_dict(), "count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.module.load_state_dict(state["module"])
        self.count = state["count"]
