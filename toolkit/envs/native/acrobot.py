"""Acrobot (Sutton, 1996; the dynamics of Sutton and Barto's book), as gymnasium defines it.

State: both angles [rad], both angular velocities [rad/s]. Masses, lengths and moments of inertia
are 1, centres of mass lie half way.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from gymnasium import spaces
from numpy import cos, float_power, pi, sin

from toolkit.envs.base import Array
from toolkit.envs.native.base import ArrayEnv, Moved

DT, GRAVITY = 0.2, 9.8
MAX_SPEEDS = np.array([[4 * pi], [9 * pi]])  # [2, 1]


class Acrobot(ArrayEnv):
    """Swing the free end above the bar by a torque on the joint between the links: -1 a step until then."""

    size = 4
    action_space = spaces.Discrete(3)

    def __init__(self, seeds: Sequence[int], max_episode_steps: int | None) -> None:
        super().__init__(seeds, max_episode_steps)
        high = np.array([1.0, 1.0, 1.0, 1.0, *MAX_SPEEDS[:, 0]], np.float32)
        self.observation_space = spaces.Box(-high, high, dtype=np.float32)

    def draw(self, generator: np.random.Generator) -> Array:
        return generator.uniform(-0.1, 0.1, 4).astype(np.float32)

    def observe(self, state: Array) -> Array:
        cosines, sines = cos(state[:2]), sin(state[:2])
        return np.stack([cosines[0], sines[0], cosines[1], sines[1], state[2], state[3]], -1).astype(np.float32)  # [N, 6]

    def observe_first(self, state: Array) -> Array:
        return self.observe(state.astype(np.float32))  # as it is drawn

    def move(self, actions: Array) -> Moved:
        state, torque = self.state, actions - 1.0
        # One step of the classic Runge-Kutta method of fourth order.
        k1 = slopes(state, torque)
        k2 = slopes(state + DT / 2.0 * k1, torque)
        k3 = slopes(state + DT / 2.0 * k2, torque)
        k4 = slopes(state + DT * k3, torque)
        state = state + DT / 6.0 * (k1 + 2 * k2 + 2 * k3 + k4)
        state[:2] = wrapped(state[:2])
        np.clip(state[2:], -MAX_SPEEDS, MAX_SPEEDS, out=state[2:])
        self.state = state
        terminated = -cos(state[0]) - cos(state[1] + state[0]) > 1.0
        return Moved(np.where(terminated, 0.0, -1.0), terminated)


def wrapped(angles: Array) -> Array:
    """The angles in [-pi, pi], by whole turns; a step moves them by less than two turns."""
    for _ in range(2):
        angles = angles - 2 * pi * (angles > pi)
        angles = angles + 2 * pi * (angles < -pi)
    return angles


def slopes(state: Array, torque: Array) -> Array:
    """The time derivative [4, N] of states [4, N] (the book's equations of motion)."""
    angle1, angle2, speed1, speed2 = state
    cosine, sine = cos(angle2), sin(angle2)
    d1 = 0.25 + (1.25 + cosine) + 1.0 + 1.0  # in this order: gymnasium rounds so
    d2 = 0.25 + 0.5 * cosine + 1.0
    phi2 = 0.5 * GRAVITY * cos(angle1 + angle2 - pi / 2.0)
    # float_power rounds as the power of a scalar does, which is what gymnasium takes; a square of an
    # array does not always, and this system is chaotic.
    phi1 = (-0.5 * float_power(speed2, 2) * sine - speed2 * speed1 * sine + 1.5 * GRAVITY * cos(angle1 - pi / 2) + phi2)
    acceleration2 = (torque + d2 / d1 * phi1 - 0.5 * float_power(speed1, 2) * sine - phi2) / (
        1.25 - float_power(d2, 2) / d1)
    acceleration1 = -(d2 * acceleration2 + phi1) / d1
    return np.stack([speed1, speed2, acceleration1, acceleration2])
