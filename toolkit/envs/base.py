"""What the toolkit means by an environment: several copies stepped together.

EnvSpec    which environment and with which options; plain data, so that workers can get it
Stepped    what one step of all copies gave
VectorEnv  the interface over gymnasium's vector classes, the in-process loop, and workers

The three autoreset modes of gymnasium end up in one form here. ``Stepped.observations`` is what to
act on next. Where an episode ended and the copy was reset in the same step, its true last
observation is in ``Stepped.final``. Where the copy resets in the step after (NEXT_STEP), the last
observation is in ``observations`` itself, and the row that follows is marked not valid.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

import gymnasium
import numpy as np
from numpy.typing import NDArray

from toolkit.envs import packing
from toolkit.errors import UsageError

Array = NDArray[Any]
MEASURED = "measured_"  # begins what an environment's info says of how the episode stands


@dataclass(frozen=True)
class EnvSpec:
    """An environment id (``[module:][namespace/]Name-vN``), the options for its constructor, and its wrappers.

    max_episode_steps  cuts episodes; None keeps the environment's own limit
    frame_stack        how many of the last observations are seen at once, [frame_stack, ...]
    atari              the preprocessing of Atari games: "" for none, "training", or "evaluation" (whole
                       games, true scores)
    evaluation         made for an evaluation: the options that the environment's class asks for then are added
    """

    id: str
    options: Mapping[str, Any] = field(default_factory=dict)
    max_episode_steps: int | None = None
    frame_stack: int = 1
    atari: str = ""
    evaluation: bool = False

    def for_evaluation(self) -> EnvSpec:
        """The same environment as its score is measured on."""
        return replace(self, atari="evaluation" if self.atari else "", evaluation=True)

    @property
    def wrapped(self) -> bool:
        """Whether more than the bare environment is asked for."""
        return self.max_episode_steps is not None or self.frame_stack > 1 or bool(self.atari)


class Final(NamedTuple):
    """True last observations of the copies that ended and were reset in the same step."""

    indices: NDArray[np.int64]  # [k] which copies
    observations: Array  # [k, ...]


class Stepped(NamedTuple):
    """One step of N copies. Arrays may be reused by the next step: copy what is kept."""

    observations: Array  # [N, ...] to act on next
    rewards: NDArray[np.float64]  # [N]
    terminated: NDArray[np.bool_]  # [N]
    truncated: NDArray[np.bool_]  # [N], never together with terminated
    valid: NDArray[np.bool_] | None  # [N]; None means that all are
    final: Final | None
    lost: NDArray[np.int64] | None = None  # [k] copies whose episode broke off with their worker; not valid


class VectorEnv(Protocol):
    """N copies of one environment, stepped together. Spaces are those of one copy.

    ``masks`` [N, actions] says which actions the observations to act on allow, where the environment
    gives that (``info["action_mask"]``); else it is None. It is overwritten by the next step.
    """

    n_envs: int
    observation_space: gymnasium.Space[Any]
    action_space: gymnasium.Space[Any]
    masks: NDArray[np.bool_] | None

    def reset(self) -> Array:
        """Start every copy from its seed; the observations [N, ...]."""

    def step(self, actions: Array) -> Stepped:
        """Apply one action a copy, [N, ...]."""

    def get_state(self) -> dict[str, Any]:
        """Everything needed to continue in mid-episode: arrays and JSON values."""

    def set_state(self, state: dict[str, Any]) -> Array:
        """Continue from `get_state`; the observations to act on next, [N, ...].

        Where an unfinished episode cannot be restored, ``dropped`` then lists its copy, which begins a new one.
        """

    def close(self) -> None: ...


def measures_of(info: Mapping[str, Any]) -> dict[str, Any]:
    """What an environment measures of itself, by NAME: each ``measured_NAME`` of an info that is a number, and its ``measures``.

    Other libraries batch the infos of several copies, and not all can batch a dict in them (TorchRL's ``GymEnv`` cannot).
    """
    if not isinstance(info, Mapping):
        return {}
    numbers = {name: value for name, value in info.items() if isinstance(name, str) and is_number(value)}
    flat = {name.removeprefix(MEASURED): value for name, value in numbers.items() if name.startswith(MEASURED)}
    # Others give words there, or an array: what is not a number by name is not for the toolkit.
    own = info.get("measures")
    named = {str(name): value for name, value in own.items() if is_number(value)} if isinstance(own, Mapping) else {}
    return {**named, **flat}


def later_seed(seed: int, *when: int) -> int:
    """A seed for a copy whose first episodes began with ``seed``, and which begins anew at a time that these numbers tell."""
    return int(np.random.SeedSequence([seed, *when]).generate_state(1)[0])


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.number, np.bool_))


def one_number(reward: Any, name: str) -> float:
    """``reward`` as a float: a number, or what holds exactly one, as an array of shape () or (1,) does.

    Raises UsageError naming the environment ``name``.
    """
    try:
        array = np.asarray(reward)
    except (ValueError, TypeError):  # nested unevenly, or not in this machine's memory
        array = np.asarray(None)
    if array.size == 1 and array.dtype.kind in "biuf":
        return float(array.reshape(()))
    given = f"of shape {array.shape}" if array.dtype.kind in "biuf" else f"{reward!r:.60}"
    raise UsageError(f"environment {name!r} gave a reward {given}; allowed: one number, or an array that holds exactly one. "
                     "Mend what its step() returns, or sum it in a wrapper")


def zeros(space: gymnasium.Space[Any], *shape: int) -> Array:
    """A zeroed array for elements of ``space`` with leading dimensions ``shape``.

    Elements of Dict and Tuple spaces are rows of bytes; see `toolkit.envs.packing`.
    Raises UsageError for a space whose elements have no array form.
    """
    if packing.is_packed(space) and packing.layout(space).nbytes:
        return np.zeros((*shape, packing.layout(space).nbytes), np.uint8)
    if packing.is_packed(space) or 0 in (space.shape or ()):
        raise UsageError(f"the space {space} holds no numbers: there is nothing to see or to do. Give it at least one")
    if space.shape is None or space.dtype is None:
        raise UsageError(f"the space {space} has no array form; allowed: Box, Discrete, MultiDiscrete, MultiBinary, "
                         "and Dict or Tuple of them")
    return np.zeros((*shape, *space.shape), dtype=space.dtype)
