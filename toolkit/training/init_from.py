"""``--init-from``: a run that begins with the parameters of another one."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from toolkit.errors import UsageError
from toolkit.training.misfit import learned, misfit
from toolkit.training.resolve import Plan, same_part
from toolkit.training.run_directory import find_run
from toolkit.training.supervised import Facts
from toolkit.training.tasks import OnlineTask, Task


class Source:
    """The run that ``--init-from`` names, and what its checkpoint holds: read, and verified, once."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.directory, self._step = find_run(text)

    @cached_property
    def states(self) -> dict[str, Any]:
        return self.directory.states(self._step)


def inherited_facts(plan: Plan, source: Source | None) -> Facts:
    """What a task on data takes over with the parameters of ``--init-from``: its tokens, its scales."""
    if source is None or plan.entry.kind != "task":
        return None
    if "problem" not in source.states:
        raise UsageError(f"--init-from {source.text}: it is the run of an agent, and {plan.entry.name} is a task")
    require_same_parts(plan, source.text, source.directory.read()["config"])
    facts: Mapping[str, Any] = source.states["problem"]
    return facts


def require_same_parts(plan: Plan, init_from: str, theirs: Mapping[str, Any]) -> None:
    """Raise UsageError where parameters would go to another model than they came from, or read other tokens."""
    values = plan.config.values
    parts = {name: (theirs[name]["value"], values[name]) for name in ("model", "tokenizer") if name in theirs and name in values}
    differ = {name: pair for name, pair in parts.items() if not same_part(*pair)}
    if differ:
        there = " and ".join(f"{name} is {found!r}, here {own!r}" for name, (found, own) in differ.items())
        flags = " ".join(f"--{name} {found}" for name, (found, _) in differ.items())
        raise UsageError(f"--init-from {init_from}: its {there}. Parameters fit where they came from; add {flags}")


def initialise_from(task: Task, plan: Plan, source: Source) -> None:
    """Start from the parameters of another run's agent (``--init-from``); nothing else is taken over."""
    states = source.states
    learner: Any = task.agent if isinstance(task, OnlineTask) else task
    state = states.get("agent") if isinstance(task, OnlineTask) else states
    initialise = getattr(learner, "initialise", None)
    if initialise is None or state is None:
        raise UsageError(f"--init-from: {type(learner).__name__} cannot start from the run {source.text}")
    try:
        initialise(state)
    except (KeyError, RuntimeError) as error:
        saved = {name: part.state_dict() for name, part in task.parts().items()}
        own = learned(saved["agent"] if isinstance(task, OnlineTask) else saved, task.parameters())
        raise UsageError(f"--init-from {source.text}: {misfit(plan, own, source.directory.read(), state)}") from error
