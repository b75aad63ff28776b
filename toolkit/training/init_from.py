"""``--init-from``: a run that begins with the parameters of another one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolkit.errors import UsageError
from toolkit.training.misfit import learned, misfit
from toolkit.training.resolve import Plan, same_part
from toolkit.training.run_directory import find_run
from toolkit.training.supervised import Facts
from toolkit.training.tasks import OnlineTask, Task


def inherited_facts(plan: Plan, init_from: str | None) -> Facts:
    """What a task on data takes over with the parameters of ``--init-from``: its tokens, its scales."""
    if init_from is None or plan.entry.kind != "task":
        return None
    directory, step = find_run(init_from)
    states = directory.states(step)
    if "problem" not in states:
        raise UsageError(f"--init-from {init_from}: it is the run of an agent, and {plan.entry.name} is a task")
    require_same_parts(plan, init_from, directory.read()["config"])
    facts: Mapping[str, Any] = states["problem"]
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


def initialise_from(task: Task, plan: Plan, run_text: str) -> None:
    """Start from the parameters of another run's agent (``--init-from``); nothing else is taken over."""
    directory, step = find_run(run_text)
    states = directory.states(step)
    learner: Any = task.agent if isinstance(task, OnlineTask) else task
    state = states.get("agent") if isinstance(task, OnlineTask) else states
    initialise = getattr(learner, "initialise", None)
    if initialise is None or state is None:
        raise UsageError(f"--init-from: {type(learner).__name__} cannot start from the run {run_text}")
    try:
        initialise(state)
    except (KeyError, RuntimeError) as error:
        saved = {name: part.state_dict() for name, part in task.parts().items()}
        own = learned(saved["agent"] if isinstance(task, OnlineTask) else saved, task.parameters())
        raise UsageError(f"--init-from {run_text}: {misfit(plan, own, directory.read(), state)}") from error
