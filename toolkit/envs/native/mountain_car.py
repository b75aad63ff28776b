"""MountainCar and MountainCarContinuous (Moore, 1990), as gymnasium defines them. State: position, velocity."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from gymnasium import spaces

from toolkit.envs.base import Array
from toolkit.envs.native.base import ArrayEnv, Moved

MIN_POSITION, MAX_POSITION, MAX_SPEED, GRAVITY = -1.2, 0.6, 0.07, 0.0025
SIGHT = (np.array([MIN_POSITION, -MAX_SPEED], np.float32), np.array([MAX_POSITION, MAX_SPEED], np.float32))


class MountainCar(ArrayEnv):
    """Push left, not at all, or right: -1 a step until the car is on the right hill."""

    size = 2
    goal, force = 0.5, 0.001
    action_space = spaces.Discrete(3)

    def __init__(self, seeds: Sequence[int], max_episode_steps: int | None, goal_velocity: float = 0) -> None:
        super().__init__(seeds, max_episode_steps)
        self.observation_space = spaces.Box(*SIGHT, dtype=np.float32)
        self.goal_velocity = goal_velocity

    def draw(self, generator: np.random.Generator) -> Array:
        return np.array([generator.uniform(-0.6, -0.4), 0.0])

    def move(self, actions: Array) -> Moved:
        position, velocity = self.state
        velocity += (actions - 1) * self.force + np.cos(3 * position) * -GRAVITY
        self._roll(position, velocity)
        return Moved(np.full(self.n_envs, -1.0), self._arrived(position, velocity))

    def _roll(self, position: Array, velocity: Array) -> None:
        """Limit the speed, move, and stop at the left wall; both arrays change in place."""
        np.clip(velocity, -MAX_SPEED, MAX_SPEED, out=velocity)
        position += velocity
        np.clip(position, MIN_POSITION, MAX_POSITION, out=position)
        velocity[(position <= position.dtype.type(MIN_POSITION)) & (velocity < 0)] = 0

    def _arrived(self, position: Array, velocity: Array) -> Array:
        arrived: Array = (position >= self.goal) & (velocity >= self.goal_velocity)
        return arrived


class MountainCarContinuous(MountainCar):
    """Push with any force: 100 on arrival, minus a tenth of the squared force a step."""

    goal, power = 0.45, 0.0015
    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)  # type: ignore[assignment]

    def move(self, actions: Array) -> Moved:
        pushed = actions.reshape(-1)
        # gymnasium's own state is float64 after a reset and float32 from then on. Both are followed, so
        # that the states are equal to the last bit.
        first = np.flatnonzero(self._steps == 0)
        moved = self._driven(self.state.astype(np.float32), pushed)
        if len(first):
            moved[:, first] = self._driven(self.state[:, first], pushed[first])
        self.state[:] = moved
        terminated = self._arrived(*moved)
        return Moved(100.0 * terminated - np.square(pushed, dtype=np.float64) * 0.1, terminated)

    def _driven(self, state: Array, pushed: Array) -> Array:
        """States [2, k] after one step, computed in their own precision."""
        position, velocity = state.copy()
        pull = GRAVITY * np.cos((3 * position).astype(np.float64))
        inside = pushed.astype(np.float32) * np.float32(self.power) - pull.astype(np.float32)
        at_limit = np.sign(pushed).astype(np.float64) * self.power - pull
        velocity += np.where(np.abs(pushed) > 1.0, at_limit, inside).astype(velocity.dtype)
        self._roll(position, velocity)
        return np.stack([position, velocity])
