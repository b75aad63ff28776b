"""The errors a person is meant to read.

ToolkitError   something failed while running; the command line exits with 1
UsageError     the request itself cannot be carried out; the command line exits with 2

Every message says what was given, what is allowed, and the next command.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable

# Words far from their names, those of other libraries among them.
MEANT = {"gpu": "cuda", "nvidia": "cuda", "fp32": "float32", "bf16": "bfloat16", "swish": "silu", "total_timesteps": "steps",
         "timesteps": "steps", "policy": "network", "policy_kwargs": "network", "net_arch": "network", "lr": "learning_rate",
         "n_eval_episodes": "evaluation_episodes", "eval_freq": "evaluate_every", "callback": "trackers",
         "callbacks": "trackers", "logger": "trackers", "tensorboard_log": "trackers"}


class ToolkitError(Exception):
    """A failure with a message for the user; ``exit_code`` is what the command line returns."""

    exit_code = 1


class UsageError(ToolkitError):
    """A request that cannot be carried out as written: a wrong name, value or combination."""

    exit_code = 2


class MissingExtra(UsageError, ImportError):
    """An optional dependency is not installed; the message holds the install command."""


def spelled(word: str) -> str:
    """A name, or a flag, as settings are spelled."""
    return word.lower().lstrip("-").replace("-", "_")


def nearest(name: str, known: Iterable[str], count: int = 3, least: float = 0.55) -> list[str]:
    """The names of ``known`` closest to ``name``, best first; ``least`` is how alike (0 to 1) they must be.

    One that ``name`` is another word for is alone.
    """
    folded = {candidate.lower(): candidate for candidate in known}
    meant = MEANT.get(spelled(name))
    if meant is not None and meant in map(spelled, folded):
        return [candidate for word, candidate in folded.items() if spelled(word) == meant]
    found = difflib.get_close_matches(name.lower(), folded, n=count, cutoff=least)
    return [folded[match] for match in found]


def did_you_mean(name: str, known: Iterable[str], shown: Callable[[str], str] = repr) -> str:
    """`` Did you mean 'x'?`` with a leading space, or an empty string when nothing is near; ``shown`` writes each match."""
    found = nearest(name, known)
    if not found:
        return ""
    return " Did you mean " + " or ".join(map(shown, found)) + "?"
