"""What an environment does that Gymnasium's interface does not allow, in words that name the environment.

An exception in the code that stands around an environment (its wrappers, this room) is about what the environment gave;
one in the environment's own code is its author's: it keeps its traceback, and gets a note of where it came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

import gymnasium
import numpy as np

from toolkit.envs import packing
from toolkit.errors import ToolkitError, UsageError

AROUND = ("gymnasium.core", "gymnasium.wrappers", "toolkit.envs.in_process", "toolkit.envs.packing", "toolkit.envs.promises",
          "toolkit.envs.wrappers")
PROMISED = ("reset(seed=..., options=...) gives (observation, info), step(action) gives (observation, reward, terminated, "
            "truncated, info), and observations are as observation_space says")


def name_of(env: gymnasium.Env[Any, Any]) -> str:
    return env.spec.id if env.spec is not None else type(env.unwrapped).__name__


def broken(name: str, where: str, what: str) -> UsageError:
    """The error of an environment that ``what`` says of; ``where``: which copy, or nothing."""
    return UsageError(f"environment {name!r}{where} does not keep to Gymnasium's interface: {what}. Promised: {PROMISED}. "
                      f"Mend it; what else is wrong: toolkit check env {name}")


def started(given: Any, space: gymnasium.Space[Any], name: str, where: str) -> tuple[Any, Mapping[str, Any]]:
    """What ``reset`` gave, as observation and info. Raises UsageError for anything else."""
    if not isinstance(given, (tuple, list)) or len(given) != 2 or not isinstance(given[1], Mapping):
        raise broken(name, where, f"reset() gave {given!r:.60}")
    return seen("reset", given[0], space, name, where), given[1]


def seen(call: str, observation: Any, space: gymnasium.Space[Any], name: str, where: str) -> Any:
    """What ``call`` gave, in the shape of ``space``. Raises UsageError for what does not fit."""
    if not fits(space, observation):
        raise misfit(call, observation, space, name, where)
    if packing.is_packed(space):
        try:
            for _ in packing.parts_of(space, observation):
                pass
        except (ValueError, LookupError, TypeError) as error:
            raise unusable(call, error, name, where) from error
        return observation
    given = np.asarray(observation, space.dtype) if packing.is_whole(space) else observation
    return given if np.shape(given) == space.shape else np.reshape(given, space.shape)


def fits(space: gymnasium.Space[Any], observation: Any) -> bool:
    """Whether an observation has as many numbers as those of ``space``, and whole ones where those are whole.

    Elements of Dict and Tuple are looked at part by part.
    """
    if packing.is_packed(space) or space.shape is None:
        return True
    return np.size(observation) == int(np.prod(space.shape)) and (
        not packing.is_whole(space) or packing.holds(space, observation))


def misfit(call: str, observation: Any, space: gymnasium.Space[Any], name: str, where: str) -> UsageError:
    """The error of an observation that does not fit ``space``."""
    return broken(name, where, f"{call}() gave an observation of {packing.found_in(observation)}, and its space is {space}")


def explain(error: BaseException, name: str, where: str, call: str, space: gymnasium.Space[Any], observation: Any = None) -> None:
    """Raise UsageError where ``error`` is about what the environment gave, or how it can be called; else note on it ``where``."""
    if isinstance(error, ToolkitError):
        return
    if isinstance(error, SystemExit):
        raise broken(name, where, f"{call}() ended the whole process, sys.exit({error.code!r})") from error
    raised = f"It was raised by environment {name!r}{where}."
    if isinstance(error, OSError):  # of its files and sockets, and not of the run's, whose errors are told in one line
        found = RuntimeError(f"{type(error).__name__}: {error}")
        found.add_note(raised)
        raise found from error
    if not isinstance(error, (TypeError, ValueError, LookupError, AttributeError)) or not is_around(error.__traceback__):
        if not getattr(error, "__notes__", None):  # the end of an episode is both a step and a reset
            error.add_note(raised)
        return
    if observation is not None and not fits(space, observation):
        raise misfit(call, observation, space, name, where) from error
    if "values to unpack" in str(error):
        raise broken(name, where, f"{call}() gave another number of values ({error})") from error
    raise unusable(call, error, name, where) from error


def unusable(call: str, error: Exception, name: str, where: str) -> UsageError:
    return broken(name, where, f"{call}() cannot be used ({type(error).__name__}: {error})")


def is_around(trace: TracebackType | None) -> bool:
    """Whether the last line of a traceback, but for NumPy's own, is in the code around an environment."""
    last = ""
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__", ""))
        last = last if module.split(".")[0] == "numpy" else module
        trace = trace.tb_next
    return last.startswith(AROUND)
