"""A process that sends itself a signal at an exact point of a run; imported in that process, before the toolkit."""

from __future__ import annotations

import functools
import os
import resource
import shutil
import signal
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple


class Die(NamedTuple):
    """Send the process ``signals`` at a call of ``where`` (see `points`): at the ``at``-th, or from step ``at`` on."""

    where: str
    at: int
    signals: Sequence[int] = (signal.SIGKILL,)


def prepare(die: Sequence[Any] | None, file_limit: int | None) -> None:
    """Let this process ``die`` (a `Die`), and write no file larger than ``file_limit`` bytes."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which is ignored where the tests run in the background
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if file_limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
    if die is not None:
        arm(Die(*die))


def arm(die: Die) -> None:
    owner, name, by_step = points()[die.where]
    original: Callable[..., Any] = getattr(owner, name)
    calls = 0

    @functools.wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls = next(given.clock.step for given in args if hasattr(given, "clock")) if by_step else calls + 1
        if calls >= die.at:
            setattr(owner, name, original)
            for signum in die.signals:
                os.kill(os.getpid(), signum)
        return original(*args, **kwargs)

    setattr(owner, name, wrapped)


def points() -> dict[str, tuple[Any, str, bool]]:
    """Where a process may die: object, attribute, and whether the step counts instead of the calls."""
    from toolkit.training import checkpoints, evaluation, supervised, tasks, trainer

    return {"step": (trainer.Trainer, "_advance", True), "learn": (tasks.OnlineTask, "_learn", True),
            "supervised batch": (supervised.SupervisedTask, "_backward", False),
            "play": (evaluation, "play", False),
            "evaluate": (tasks.OnlineTask, "evaluate", True),
            "save": (trainer.Trainer, "save", False), "part": (checkpoints, "write_part", False),
            "rename": (os, "rename", False), "link": (checkpoints.Checkpoints, "link", False),
            "remove": (shutil, "rmtree", False), "replace": (os, "replace", False)}
