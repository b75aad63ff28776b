"""``uniform``: replay sampled uniformly, every observation stored once.

Letters: R rows of the ring, N environments, K minibatches, B transitions in each.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from toolkit.agents.base import Array, Batches, Steps
from toolkit.agents.configs import UniformConfig
from toolkit.envs.base import zeros

PIECE_BYTES = 64 * 2**20  # observations gathered at once, at most about this many bytes


class UniformBuffer:
    """A ring of the last ``capacity`` transitions.

    Row r holds the observations that step r started from, so the next observation is row r + 1.
    One row more than the capacity holds the observations to act on next. Where an episode ended
    and its environment was reset in the same step, the true last observation is in a side table.

    Positions are counted from the oldest row, so that what is sampled does not depend on where
    in memory the ring begins.
    """

    def __init__(self, config: UniformConfig, *, capacity: int, n_envs: int, observation_space: gymnasium.Space[Any],
                 action_space: gymnasium.Space[Any], generator: np.random.Generator) -> None:
        self.config: Any = config
        self.capacity = max(1, capacity // n_envs)  # rows
        self.n_envs = n_envs
        self.generator = generator
        rows = self.capacity + 1
        self._observations = self._allocate(observation_space, rows, n_envs)
        self._actions = zeros(action_space, rows, n_envs)
        self._rewards = np.zeros((rows, n_envs), np.float32)
        self._terminated, self._ended = np.zeros((rows, n_envs), bool), np.zeros((rows, n_envs), bool)
        self._valid = np.zeros((rows, n_envs), bool)
        self._final_slot = np.full((rows, n_envs), -1, np.int64)
        self._finals = FinalTable(observation_space)
        self._start, self._size, self._invalid = 0, 0, 0
        self._span = rows * n_envs  # memory positions

    def _allocate(self, space: gymnasium.Space[Any], rows: int, n_envs: int) -> Array:
        """The ring of observations [R, N, ...]; the system gives it memory as it is filled."""
        return zeros(space, rows, n_envs)

    @property
    def row_bytes(self) -> int:
        """Bytes of memory that a row of N transitions takes once it is filled."""
        kept = (self._observations, self._actions, self._rewards, self._terminated, self._ended, self._valid, self._final_slot)
        return sum(array[0].nbytes for array in kept)

    def __len__(self) -> int:
        return self._size * self.n_envs - self._invalid

    def add(self, steps: Steps) -> None:
        """Append T rows, forgetting the oldest when full."""
        if steps.broken_observations is not None:
            self._break_off(steps.broken_copies, steps.broken_observations)
        skip = max(0, len(steps.rewards) - self.capacity)
        rows = len(self._observations)
        count = len(steps.rewards) - skip
        self._forget(max(0, self._size + count - self.capacity))
        at = (self._start + self._size + np.arange(count + 1)) % rows
        self._observations[at] = steps.observations[skip:]
        at = at[:-1]
        self._actions[at] = steps.actions[skip:]
        self._rewards[at] = steps.rewards[skip:]
        self._terminated[at] = steps.terminated[skip:]
        self._ended[at] = steps.terminated[skip:] | steps.truncated[skip:]
        self._valid[at] = steps.valid[skip:]
        self._final_slot[at] = -1
        self._invalid += int((~steps.valid[skip:]).sum())
        late = steps.final_rows >= skip
        if late.any():
            slots = self._finals.add(steps.final_observations[late])
            self._final_slot[at[steps.final_rows[late] - skip], steps.final_copies[late]] = slots
        self._size += count

    def _break_off(self, copies: NDArray[np.int64], observations: Array) -> None:
        """End the episodes of ``copies`` [j] with the newest row, truncated, after the ``observations`` [j, ...] that followed.

        The rows to come overwrite these. That matters to an episode that ended there too, if its copy was to be reset in the
        step after.
        """
        newest = (self._start + self._size - 1) % len(self._observations)
        if self._size:
            late = self._valid[newest, copies] & (self._final_slot[newest, copies] < 0)
            self._final_slot[newest, copies[late]] = self._finals.add(observations[late])
            self._ended[newest, copies[late]] = True

    def _forget(self, count: int) -> None:
        if count == 0:
            return
        at = (self._start + np.arange(count)) % len(self._observations)
        self._invalid -= int((~self._valid[at]).sum())
        self._finals.forget(int((self._final_slot[at] >= 0).sum()))
        self._start = (self._start + count) % len(self._observations)
        self._size -= count

    def batches(self, count: int, batch_size: int) -> Iterator[Batches]:
        """``count`` minibatches in all, in pieces of bounded size."""
        bytes_each = 2 * batch_size * self._observations[0, 0].nbytes
        piece = max(1, PIECE_BYTES // max(1, bytes_each))
        for begin in range(0, count, piece):
            yield self.sample(min(piece, count - begin), batch_size)

    def sample(self, count: int, batch_size: int) -> Batches:
        """``count`` minibatches at once, drawn with replacement from the valid transitions."""
        return self.gather(self._draw(count * batch_size).reshape(count, batch_size))  # [K, B]

    def draw(self, held: int, count: int) -> NDArray[np.int64]:
        """Positions [count] below ``held``, that of the oldest step being 0, by `generator`.

        A subclass may draw in another way. Steps that are not valid are drawn again.
        """
        return self.generator.integers(held, size=count)

    def _draw(self, count: int) -> NDArray[np.int64]:
        """Positions [count] of valid steps."""
        if not len(self):
            raise ValueError("the buffer holds no valid transition to sample")
        held = self._size * self.n_envs
        positions = self.draw(held, count)
        if self._invalid:
            while len(bad := np.flatnonzero(~self._at(self._valid, self._memory(positions)))):
                positions[bad] = self.draw(held, len(bad))
        return positions

    def _memory(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where in memory (row * N + environment) positions counted from the oldest row lie; `_at` turns at the ring's end."""
        return positions + self._start * self.n_envs

    def gather(self, positions: NDArray[np.int64]) -> Batches:
        """The transitions at ``positions`` [K, B], counted from the oldest."""
        here = self._memory(positions)
        if self.config.n_step > 1:
            return self._gather_n_step(positions, here)
        return Batches(
            self._at(self._observations, here), self._at(self._actions, here), self._at(self._rewards, here),
            self._following(here), self._at(self._terminated, here), indices=positions,
        )

    @staticmethod
    def _rows(array: Array) -> Array:
        """Rows and environments as one dimension, [R * N, ...]."""
        return array.reshape(-1, *array.shape[2:])

    def _at(self, array: Array, here: NDArray[np.int64]) -> Array:
        """Elements of a ring at memory positions, past its end from its beginning on. ``take`` is faster than indexing."""
        rows: Array = self._rows(array).take(here, 0, mode="wrap")
        return rows

    def _following(self, here: NDArray[np.int64]) -> Array:
        """The true observations after the steps at memory positions ``here`` [K, B]."""
        following = self._at(self._observations, here + self.n_envs)
        if len(self._finals):
            slots = self._at(self._final_slot, here)
            ended = slots >= 0
            if ended.any():
                following[ended] = self._finals[slots[ended]]
        return following

    def _gather_n_step(self, positions: NDArray[np.int64], here: NDArray[np.int64]) -> Batches:
        """Sums of up to n rewards: stopped by an episode's end, an invalid row, and the newest row."""
        n_step, gamma = self.config.n_step, self.config.gamma
        window = positions[..., None] + np.arange(n_step) * self.n_envs  # [K, B, n]
        at = self._memory(window)
        exists = (window < self._size * self.n_envs) & self._at(self._valid, at)
        goes_on = ~self._at(self._ended, at)
        # A step counts when it exists and no step before it ended the episode or was missing.
        exists[..., 1:] &= goes_on[..., :-1]
        counts = np.logical_and.accumulate(exists, -1)  # [K, B, n]
        powers = np.float32(gamma) ** np.arange(n_step, dtype=np.float32)
        total = (self._at(self._rewards, at) * counts) @ powers  # [K, B]
        steps = counts.sum(-1)
        last = np.take_along_axis(at, steps[..., None] - 1, -1)[..., 0]  # [K, B]
        return Batches(
            self._at(self._observations, here), self._at(self._actions, here), total, self._following(last),
            self._at(self._terminated, last), (powers * np.float32(gamma))[steps - 1], indices=positions,
        )

    def prioritize(self, batches: Batches, priorities: Array) -> None:
        """Uniform replay has no priorities."""

    def state_dict(self) -> dict[str, Any]:
        """The filled rows, oldest first, and the generator."""
        at = (self._start + np.arange(self._size + 1)) % len(self._observations)
        slots = self._final_slot[at[:-1]]
        rows, copies = np.nonzero(slots >= 0)
        return {
            "observations": self._observations[at], "actions": self._actions[at[:-1]], "rewards": self._rewards[at[:-1]],
            "terminated": self._terminated[at[:-1]], "ended": self._ended[at[:-1]], "valid": self._valid[at[:-1]],
            "final_rows": rows, "final_copies": copies, "final_observations": self._finals[slots[rows, copies]],
            "generator": self.generator.bit_generator.state,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._start = self._size = self._invalid = 0
        self._finals.forget(len(self._finals))
        self.generator.bit_generator.state = state["generator"]
        self.add(Steps(
            state["observations"], state["actions"], state["rewards"], state["terminated"],
            state["ended"], state["valid"], state["final_rows"], state["final_copies"],
            state["final_observations"],
        ))


class FinalTable:
    """Last observations of episodes, first in first out, in a ring that grows when needed."""

    def __init__(self, observation_space: gymnasium.Space[Any]) -> None:
        self._rows = zeros(observation_space, 16)
        self._first = 0  # serial number of the oldest row kept
        self._next = 0  # serial number of the next row

    def __len__(self) -> int:
        return self._next - self._first

    def add(self, observations: Array) -> NDArray[np.int64]:
        """Keep ``observations`` [k, ...]; their serial numbers [k]."""
        while len(self) + len(observations) > len(self._rows):
            self._grow()
        serials = self._next + np.arange(len(observations))
        self._rows[serials % len(self._rows)] = observations
        self._next += len(observations)
        return serials

    def _grow(self) -> None:
        serials = np.arange(self._first, self._next)
        wider = np.zeros((2 * len(self._rows), *self._rows.shape[1:]), self._rows.dtype)
        wider[serials % len(wider)] = self._rows[serials % len(self._rows)]
        self._rows = wider

    def forget(self, count: int) -> None:
        """Drop the ``count`` oldest."""
        self._first += count

    def __getitem__(self, serials: NDArray[np.int64]) -> Array:
        return self._rows[serials % len(self._rows)]
