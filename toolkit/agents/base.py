"""What an agent, a network and a buffer promise.

Steps    what the collector gives: time-major arrays of T steps of N environments
Batches  what a buffer gives: K minibatches of B transitions each, gathered at once
Cadence  how an agent wants to be driven: steps collected, updates made, warm-up
Agent    acts and updates; it holds no environment, no logger and no file
Network  a policy body by name; may offer a fast path
Buffer   keeps steps and gives batches, from its own random generator
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from toolkit.config import Part

Array = NDArray[Any]
ActingFunction = Callable[[Array], Array]


class Acted(NamedTuple):
    """``actions`` [N, ...] for the environments; ``extras`` [N, ...] are stored beside the step.

    ``state`` [N, ...] is what the agent remembers of each copy, such as a recurrent state: zero at an episode's beginning; None
    without memory.
    """

    actions: Array
    extras: Mapping[str, Array] = {}
    state: Array | None = None


class Updated(NamedTuple):
    """``metrics`` of a training phase; new ``priorities`` [K, B] where the buffer asked for them."""

    metrics: Mapping[str, float]
    priorities: Array | None = None


@dataclass
class Steps:
    """T consecutive steps of N environments.

    The observation after step t is ``observations[t + 1]``, except where an episode ended and the
    environment was reset in the same step: there the true one is in the side table ``final_*``.
    Rows that are not ``valid`` must not be learned from. Copies in ``broken_copies`` do not go on from the steps before
    these: their episodes broke off there, as if truncated, and the first row begins others.
    """

    observations: Array  # [T + 1, N, ...]
    actions: Array  # [T, N, ...]
    rewards: NDArray[np.float64]  # [T, N]
    terminated: NDArray[np.bool_]  # [T, N]
    truncated: NDArray[np.bool_]  # [T, N]
    valid: NDArray[np.bool_]  # [T, N]
    final_rows: NDArray[np.int64]  # [k] ascending
    final_copies: NDArray[np.int64]  # [k]
    final_observations: Array  # [k, ...]
    extras: dict[str, Array] = field(default_factory=dict)  # each [T, N, ...]
    broken_copies: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))  # [j]
    broken_observations: Array | None = None  # [j, ...] what they had seen last; None where j is 0

    @property
    def count(self) -> int:
        """How many valid steps there are."""
        return int(self.valid.sum())


@dataclass
class Batches:
    """K minibatches of B transitions, for one training phase."""

    observations: Array  # [K, B, ...]
    actions: Array  # [K, B, ...]
    rewards: NDArray[np.float32]  # [K, B], discounted sums where the buffer forms n-step returns
    next_observations: Array  # [K, B, ...], the true ones, also at an episode's end
    terminated: NDArray[np.bool_]  # [K, B]; a truncated step is not terminated and bootstraps
    discounts: NDArray[np.float32] | None = None  # [K, B] where several steps were summed; else gamma
    weights: NDArray[np.float32] | None = None  # [K, B] importance weights
    indices: NDArray[np.int64] | None = None  # [K, B] for the buffer's own use

    @property
    def count(self) -> int:
        return len(self.rewards)


@dataclass(frozen=True)
class Cadence:
    """``collect`` steps, then ``updates`` minibatches of ``batch_size`` (-1: one for each step collected).

    No update happens before ``warm_up`` steps are done.
    """

    collect: int
    updates: int
    batch_size: int
    warm_up: int = 0


class Agent(Protocol):
    """Acts and updates. ``buffer`` names the buffer that it wants made for it, of ``buffer_size`` steps.

    What `update` takes is what that buffer gives: `Batches` from replay, `Steps` from a rollout. An agent with a method
    ``observe(steps)`` is shown each `Steps` before the buffer gets it.
    """

    cadence: Cadence
    buffer: Part
    buffer_size: int

    def act(self, observations: Array, state: Array | None = None, mask: Array | None = None,
            deterministic: bool = False) -> Acted:
        """Actions for N observations [N, ...]; ``mask`` [N, actions] is true where an action is allowed."""

    def update(self, data: Any) -> Updated:
        """Learn from all that a training phase has: `Batches`, or `Steps` for an on-policy agent."""

    def parameters(self) -> dict[str, Tensor]:
        """The learned parameters by name; their hash is the run's ``parameters_sha256``."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class FastPath(Protocol):
    """Forward and backward on preallocated tensors, for batches of at most the size that it was made for.

    Results are overwritten by the next call. ``backward`` writes (does not add) the gradients of
    all parameters to where ``parameter.grad`` points, and may destroy its argument.
    """

    def forward(self, inputs: Tensor) -> Tensor: ...

    def backward(self, gradient: Tensor) -> Tensor | None: ...


class Network(Protocol):
    """A policy body: a `torch.nn.Module` from observations [B, ...] to features [B, features].

    It may also offer ``fast_path(batch_size, inputs) -> FastPath`` and
    ``acting() -> function from [N, ...] arrays to [N, features] arrays``.
    """

    features: int

    def __call__(self, observations: Tensor) -> Tensor: ...


class Buffer(Protocol):
    """Keeps steps and gives batches; owns its random generator.

    One that the system gives memory as it is filled can also have ``row_bytes``, what N transitions take: a run that would need
    more than there is, is refused at its start, not killed hours later.
    """

    def add(self, steps: Steps) -> None: ...

    def __len__(self) -> int:
        """How many transitions can be sampled."""

    def batches(self, count: int, batch_size: int) -> Iterator[Any]:
        """``count`` minibatches in all, in pieces small enough for memory."""

    def prioritize(self, batches: Any, priorities: Array) -> None: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...
