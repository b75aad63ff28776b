"""Checks that agents share, with messages that say what to do next."""

from __future__ import annotations

import math
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from toolkit.errors import ToolkitError, UsageError
from toolkit.registry import registry


class NonFinite(ToolkitError):
    """A reward, loss or gradient is NaN or infinite; the parameters were left as they were."""


def require_action_space(agent: str, space: gymnasium.Space[Any]) -> None:
    """Raise UsageError naming the agents that can act in ``space`` when ``agent`` declares that it cannot."""
    given, declared = type(space).__name__, registry.get("agent", agent)
    allowed = declared.accepts
    if not allowed or given in allowed:
        return
    able = [entry.name for entry in registry.entries("agent") if given in entry.accepts]
    others = f"Agents that can: {', '.join(able)}." if able else "No agent here can; see: toolkit list agent"
    raise UsageError(f"{declared.name} acts in {' or '.join(allowed)} action spaces; this environment's is {space}. {others}")


def require_finite(norm: float, agent: str, step: int, update: int) -> None:
    """Raise NonFinite before a step is taken with a gradient that is not finite."""
    if not math.isfinite(norm):
        raise NonFinite(
            f"{agent}: the gradient is not finite ({norm}) at step {step}, update {update}; the parameters were not "
            "changed by it. Look for NaN and for very large numbers in the environment's observations or rewards, or lower "
            "--learning-rate"
        )


def require_finite_observations(observations: NDArray[Any], agent: str, step: int) -> None:
    """Raise NonFinite for observations with NaN or infinity in them, before a library stumbles over them in its own way."""
    if np.issubdtype(observations.dtype, np.floating) and not np.isfinite(observations).all():
        raise NonFinite(f"{agent}: an observation is not finite at step {step}; nothing was learned from it. Look for NaN in the "
                        "environment's observations")
