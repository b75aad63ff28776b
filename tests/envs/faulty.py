"""``faulty:CartPole-v0``: CartPole that goes wrong in its worker.

Options: ``what`` happens (raise, die, hang) at the ``after``-th step of a copy; with ``once``, a path, only
the first copy to come there does it, and leaves that file behind.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import gymnasium


class Faulty(gymnasium.Wrapper[Any, Any, Any, Any]):
    def __init__(self, what: str, after: int, once: str = "") -> None:
        super().__init__(gymnasium.make("CartPole-v1"))
        self.what, self.after, self.once, self.taken = what, after, once, 0

    def step(self, action: Any) -> Any:
        self.taken += 1
        if self.taken == self.after and self._mine():
            if self.what == "raise":
                raise RuntimeError("the pole broke")
            if self.what == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(600)
        return self.env.step(action)

    def _mine(self) -> bool:
        if not self.once:
            return True
        try:
            Path(self.once).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


gymnasium.register("faulty/CartPole-v0", Faulty)
