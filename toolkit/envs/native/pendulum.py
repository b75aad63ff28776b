"""Pendulum, as gymnasium defines it: swing up and hold. State: angle from upright [rad], angular velocity [rad/s]."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from gymnasium import spaces

from toolkit.envs.base import Array
from toolkit.envs.native.base import ArrayEnv, Moved

MAX_SPEED, MAX_TORQUE, DT = 8, 2.0, 0.05
FIRST = np.array([np.pi, 1.0])  # starts are uniform between minus this and this


class Pendulum(ArrayEnv):
    """Cost: squared angle, a tenth of the squared velocity, a thousandth of the squared torque."""

    size = 2

    def __init__(self, seeds: Sequence[int], max_episode_steps: int | None, g: float = 10.0) -> None:
        super().__init__(seeds, max_episode_steps)
        high = np.array([1.0, 1.0, MAX_SPEED], np.float32)
        self.observation_space = spaces.Box(-high, high, dtype=np.float32)
        self.action_space = spaces.Box(-MAX_TORQUE, MAX_TORQUE, (1,), np.float32)
        self.gravity = g

    def draw(self, generator: np.random.Generator) -> Array:
        return generator.uniform(-FIRST, FIRST)

    def observe(self, state: Array) -> Array:
        angle, velocity = state
        return np.stack([np.cos(angle), np.sin(angle), velocity], -1).astype(np.float32)  # [N, 3]

    def move(self, actions: Array) -> Moved:
        angle, velocity = self.state
        torque = np.clip(actions.reshape(-1), -MAX_TORQUE, MAX_TORQUE)
        wrapped = (angle + np.pi) % (2 * np.pi) - np.pi
        # float_power rounds as the power of a scalar does, which is what gymnasium takes.
        effort = 0.001 * np.float_power(torque, 2).astype(np.float32)
        costs = np.float_power(wrapped, 2) + 0.1 * np.float_power(velocity, 2) + effort
        velocity = velocity + (3 * self.gravity / 2 * np.sin(angle) + 3.0 * torque) * DT
        velocity = np.clip(velocity, -MAX_SPEED, MAX_SPEED)
        self.state = np.stack([angle + velocity * DT, velocity])
        return Moved(-costs, self._never)
