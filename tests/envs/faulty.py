"""``faulty:CartPole-v0``: CartPole that goes wrong in its worker.

``faulty:Paying-v0``: CartPole with unusual rewards, by ``how``. ``faulty:Misfit-v0`` breaks Gymnasium's interface, by ``how``.

Options: ``what`` happens (raise, refuse, die, hang) at the ``after``-th step of a copy; with ``once``, a path, only
the first copy to come there does it, and leaves that file behind.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np


class Faulty(gymnasium.Wrapper[Any, Any, Any, Any]):
    def __init__(self, what: str, after: int, once: str = "") -> None:
        super().__init__(gymnasium.make("CartPole-v1"))
        self.what, self.after, self.once, self.taken = what, after, once, 0

    def step(self, action: Any) -> Any:
        self.taken += 1
        if self.taken == self.after and self._mine():
            if self.what == "raise":
                raise RuntimeError("the pole broke")
            if self.what == "refuse":
                raise ConnectionRefusedError("nobody listens")
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


REWARDS = {"an array of one": np.array([2.5]), "a scalar array": np.array(2.5, np.float32), "nested": [[2.5]], "a bool": np.True_,
           "an int": 3, "two": np.array([1.0, 2.0]), "none": np.zeros((0,)), "no number": None, "a text": "1.5",
           "complex": np.array(1j)}


class Paying(gymnasium.Wrapper[Any, Any, Any, Any]):
    """CartPole whose rewards are ``REWARDS[how]``."""

    def __init__(self, how: str) -> None:
        super().__init__(gymnasium.make("CartPole-v1"))
        self.how = how

    def step(self, action: Any) -> Any:
        observation, _, *rest = self.env.step(action)
        return observation, REWARDS[self.how], *rest


class Misfit(gymnasium.Env[Any, Any]):
    """Breaks Gymnasium's interface; a copy's third step is where it can go wrong late."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, how: str) -> None:
        self.how, self.taken = how, 0

    def reset(self, *, options: Any = None, **seed: Any) -> Any:
        super().reset(**seed)
        seen = np.zeros(3 if self.how == "first shape" else 2, np.float32)
        return seen if self.how == "no info" else (seen, {})

    def step(self, action: Any) -> Any:
        self.taken += 1
        if self.how == "raise":
            return {}["the spring"]
        seen = np.zeros({"shape": 3, "one number": 1}.get(self.how, 2) if self.taken == 3 else 2, np.float32)
        return (seen, 0.0, False, {}) if self.how == "old api" else (seen, 0.0, False, False, {})


class NoSeed(Misfit):
    def reset(self) -> Any:  # type: ignore[override]
        return np.zeros(2, np.float32)


SPACES: dict[str, gymnasium.Space[Any]] = {
    "picture": gymnasium.spaces.Box(0, 255, (2, 2), np.uint8), "choice": gymnasium.spaces.Discrete(3, start=1),
    "choices": gymnasium.spaces.MultiDiscrete([2, 3]), "bits": gymnasium.spaces.MultiBinary(3),
    "row": gymnasium.spaces.Box(-1, 1, (3,), np.float32),
    "leaf": gymnasium.spaces.Dict(a=gymnasium.spaces.Discrete(3), b=gymnasium.spaces.Box(0, 9, (1,), np.float32))}


class Showing(gymnasium.Env[Any, Any]):
    """Has the space ``SPACES[space]``, and shows ``first`` and then ``later``; an episode has three steps."""

    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, space: str, first: Any, later: Any) -> None:
        self.observation_space, self.first, self.later, self.taken = SPACES[space], first, later, 0

    def reset(self, *, options: Any = None, **seed: Any) -> Any:
        super().reset(**seed)
        self.taken = 0
        return self.first, {}

    def step(self, action: Any) -> Any:
        self.taken += 1
        return self.later, 0.0, self.taken == 3, False, {}


gymnasium.register("faulty/Misfit-v0", Misfit)
gymnasium.register("faulty/Showing-v0", Showing)
gymnasium.register("faulty/NoSeed-v0", lambda how: NoSeed(how))
gymnasium.register("faulty/CartPole-v0", Faulty)
gymnasium.register("faulty/Paying-v0", Paying)


class Changing(gymnasium.Env[Any, Any]):
    """Forbids another action at each step, that which the observation shows; hands out its own buffer; has a state of its own."""

    observation_space = gymnasium.spaces.Box(0, 1, (3,), np.float32)
    action_space = gymnasium.spaces.Discrete(3)

    def __init__(self, length: int = 7) -> None:
        self.length, self.shown = length, np.zeros(3, np.float32)

    def _next(self) -> dict[str, Any]:
        self.forbidden = int(self.np_random.integers(3))
        self.shown[:] = np.arange(3) == self.forbidden
        return {"action_mask": np.array(self.shown == 0, np.int8)}

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.taken = 0
        return self.shown, self._next()

    def step(self, action: Any) -> Any:
        assert action != self.forbidden, "this action is forbidden"
        self.taken += 1
        return self.shown, 1.0, False, self.taken == self.length, self._next()

    def get_state(self) -> dict[str, Any]:
        return {"taken": self.taken, "forbidden": self.forbidden, "generator": self.np_random.bit_generator.state}

    def set_state(self, state: dict[str, Any]) -> Any:
        self.taken, self.forbidden, self.np_random.bit_generator.state = state["taken"], state["forbidden"], state["generator"]
        self.shown[:] = np.arange(3) == self.forbidden
        return self.shown


gymnasium.register("faulty/Changing-v0", Changing)
