"""``prioritized``: replay in proportion to the last error (Schaul et al., 2016), from a sum tree.

Letters: K minibatches, B transitions in each, L leaves of the tree.

The tree is one array: node i has children 2i and 2i + 1, leaves are the last L entries, the root
is node 1 and holds the sum. Its two loops are compiled with numba, which is imported when the
first prioritized buffer is made.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from toolkit.agents.base import Array, Batches, Steps
from toolkit.agents.buffers.uniform import UniformBuffer
from toolkit.agents.configs import PrioritizedConfig


class SumTree:
    """Priorities of ``size`` leaves, with draws in proportion to them in logarithmic time."""

    def __init__(self, size: int) -> None:
        from toolkit.agents.buffers import _sum_tree

        self._kernels = _sum_tree
        self.leaves = 1 << max(1, (size - 1).bit_length())
        self.nodes = np.zeros(2 * self.leaves)

    @property
    def total(self) -> float:
        return float(self.nodes[1])

    def set(self, indices: NDArray[np.int64], priorities: NDArray[np.float64]) -> None:
        """Give the leaves ``indices`` [k] new priorities [k]; of a leaf given twice the last counts."""
        self._kernels.update(self.nodes, self.leaves, indices, priorities)

    def draw(self, uniforms: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Leaves [k] for numbers in [0, 1) [k], and their priorities [k]."""
        indices = np.empty(len(uniforms), np.int64)
        priorities = np.empty(len(uniforms))
        self._kernels.draw(self.nodes, self.leaves, uniforms, indices, priorities)
        return indices, priorities


class PrioritizedBuffer(UniformBuffer):
    """Uniform replay's ring, drawn from by priority; importance weights are annealed to 1.

    A new transition gets the largest priority seen. Weights are divided by the largest of their
    minibatch. Invalid rows have priority zero, so they are never drawn.
    """

    def __init__(self, config: PrioritizedConfig, *, capacity: int, n_envs: int, observation_space: gymnasium.Space[Any],
                 action_space: gymnasium.Space[Any], generator: np.random.Generator) -> None:
        super().__init__(config, capacity=capacity, n_envs=n_envs, observation_space=observation_space,
                         action_space=action_space, generator=generator)
        self._tree = SumTree(len(self._observations) * n_envs)
        self._largest = 1.0
        self._drawn = 0

    def add(self, steps: Steps) -> None:
        count = min(len(steps.rewards), self.capacity)
        super().add(steps)
        rows = len(self._observations)
        # The row after the newest holds no step, and what it held before must not be drawn.
        at = (self._start + self._size - count + np.arange(count + 1)) % rows
        leaves = (at[:, None] * self.n_envs + np.arange(self.n_envs)).reshape(-1)  # [(count + 1) * N]
        fresh = np.where(self._valid[at], self._largest, 0.0)
        fresh[-1] = 0.0
        self._tree.set(leaves, fresh.reshape(-1))

    def _forget(self, count: int) -> None:
        if count:
            at = (self._start + np.arange(count)) % len(self._observations)
            leaves = (at[:, None] * self.n_envs + np.arange(self.n_envs)).reshape(-1)
            self._tree.set(leaves, np.zeros(len(leaves)))
        super()._forget(count)

    @property
    def beta(self) -> float:
        """Strength of the importance weights: from the config's beta to 1 over ``beta_samples`` draws."""
        config = self.config
        done = min(1.0, self._drawn / config.beta_samples)
        return float(config.beta + (1.0 - config.beta) * done)

    def sample(self, count: int, batch_size: int) -> Batches:
        """``count`` minibatches; each is drawn from ``batch_size`` equal slices of the total (stratified)."""
        if not len(self):
            raise ValueError("the buffer holds no valid transition to sample")
        slices = (np.arange(batch_size) + self.generator.random((count, batch_size))) / batch_size  # [K, B]
        leaves, priorities = self._tree.draw(slices.reshape(-1))
        positions = ((leaves - self._start * self.n_envs) % self._span).reshape(count, batch_size)
        batches = self.gather(positions)
        weights = (len(self) * priorities / self._tree.total) ** -self.beta
        weights = weights.reshape(count, batch_size)
        batches.weights = (weights / weights.max(1, keepdims=True)).astype(np.float32)
        self._drawn += count * batch_size
        return batches

    def prioritize(self, batches: Batches, priorities: Array) -> None:
        """New priorities ``(|error| + epsilon) ** alpha`` for the transitions of ``batches``, errors [K, B]."""
        if batches.indices is None:
            return
        raised = (np.abs(priorities.reshape(-1)).astype(np.float64) + self.config.epsilon) ** self.config.alpha
        self._largest = max(self._largest, float(raised.max()))
        self._tree.set(self._memory(batches.indices.reshape(-1)) % self._span, raised)

    def state_dict(self) -> dict[str, Any]:
        at = (self._start + np.arange(self._size)) % len(self._observations)
        leaves = (at[:, None] * self.n_envs + np.arange(self.n_envs)).reshape(-1)
        priorities = self._tree.nodes[self._tree.leaves + leaves].reshape(self._size, self.n_envs)
        # The ring's beginning decides the order in which the tree adds up, so it is kept.
        return {**super().state_dict(), "priorities": priorities, "largest": self._largest, "drawn": self._drawn,
                "start": self._start}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._tree.nodes[:] = 0.0
        super().load_state_dict(state)
        self._largest, self._drawn = state["largest"], state["drawn"]
        self._place(state["start"])
        at = (self._start + np.arange(self._size)) % len(self._observations)
        leaves = (at[:, None] * self.n_envs + np.arange(self.n_envs)).reshape(-1)
        self._tree.nodes[:] = 0.0
        self._tree.set(leaves, state["priorities"].reshape(-1).astype(np.float64))

    def _place(self, start: int) -> None:
        """Turn the ring so that its oldest row lies at ``start``."""
        turn = start - self._start
        for name in ("_observations", "_actions", "_rewards", "_terminated", "_ended", "_valid", "_final_slot"):
            setattr(self, name, np.roll(getattr(self, name), turn, axis=0))
        self._start = start
