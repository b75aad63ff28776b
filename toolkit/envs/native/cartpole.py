"""CartPole (Barto, Sutton and Anderson, 1983), as gymnasium defines it.

State: position and speed of the cart, angle and angular speed of the pole; metres, seconds, radians.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from toolkit.envs.base import Array
from toolkit.envs.native.base import ArrayEnv, Moved

GRAVITY, POLE_MASS, HALF_POLE, FORCE, SECONDS = 9.8, 0.1, 0.5, 10.0, 0.02
TOTAL_MASS = POLE_MASS + 1.0
POLE_MASS_LENGTH = POLE_MASS * HALF_POLE
MAX_POSITION, MAX_ANGLE = 2.4, 12 * 2 * math.pi / 360
SIGHT = np.array([2 * MAX_POSITION, np.inf, 2 * MAX_ANGLE, np.inf], np.float32)


class CartPole(ArrayEnv):
    """Push the cart left or right: 1 a step until the pole falls or the cart leaves the track.

    With ``sutton_barto_reward`` a step earns 0, and -1 when it ends so.
    """

    size = 4
    action_space = spaces.Discrete(2)

    def __init__(self, seeds: Sequence[int], max_episode_steps: int | None, sutton_barto_reward: bool = False) -> None:
        super().__init__(seeds, max_episode_steps)
        self.observation_space = spaces.Box(-SIGHT, SIGHT, dtype=np.float32)
        self._by_failure = sutton_barto_reward

    def draw(self, generator: np.random.Generator) -> Array:
        return generator.uniform(-0.05, 0.05, (4,))

    def move(self, actions: Array) -> Moved:
        position, speed, angle, turn = self.state
        cosine, sine = np.cos(angle), np.sin(angle)
        # The dynamics of Florian, "Correct equations for the dynamics of the cart-pole system" (2007), eq. 23 and 24,
        # without friction; each expression in gymnasium's order, so that states are equal to the last bit.
        shared = (np.where(actions == 1, FORCE, -FORCE) + POLE_MASS_LENGTH * np.square(turn) * sine) / TOTAL_MASS
        turning = (GRAVITY * sine - cosine * shared) / (
            HALF_POLE * (4.0 / 3.0 - POLE_MASS * np.square(cosine) / TOTAL_MASS))
        pushed = shared - POLE_MASS_LENGTH * turning * cosine / TOTAL_MASS
        position += SECONDS * speed
        speed += SECONDS * pushed
        angle += SECONDS * turn
        turn += SECONDS * turning
        fallen: NDArray[np.bool_] = (np.abs(position) > MAX_POSITION) | (np.abs(angle) > MAX_ANGLE)
        return Moved(-fallen.astype(np.float64) if self._by_failure else np.ones(self.n_envs), fallen)
