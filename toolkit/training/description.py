"""What run.json and the terminal say of a run that begins."""

from __future__ import annotations

import os
from typing import Any

import torch

from toolkit import __version__
from toolkit.config import settings_of
from toolkit.entries import BUILTIN, LOCAL
from toolkit.envs import spaces, specs
from toolkit.training.placement import device_for
from toolkit.training.resolve import Plan
from toolkit.training.run_directory import library_versions, machine
from toolkit.training.supervised import SupervisedTask
from toolkit.training.tasks import OnlineTask, Task, evaluation_seed

FORMAT = 2  # of run.json; 1 divided all bytes of observations by 255, boards of small numbers among them
BYTES_A_PARAMETER = 12  # float32: itself, and two moments of its gradients


def describe(plan: Plan, task: Task) -> dict[str, Any]:
    """The content of run.json at the start of a run."""
    facts: dict[str, Any] = {
        "format": FORMAT, "status": "running", "name": plan.entry.name, "component": plan.entry.id, "kind": plan.entry.kind,
        "subject": plan.subject, "unit": task.unit, "preset": plan.preset, "config": stored_config(plan),
        "seeds": {"root": plan.config.values["seed"], "evaluation": evaluation_seed(plan.config.values["seed"])},
        "distributions": distributions(plan, task), "libraries": library_versions(), "machine": machine(),
        "device": device_for(plan).type, "threads": torch.get_num_threads(), "process": os.getpid(),
    }
    if isinstance(task, SupervisedTask):
        facts["data_fingerprint"] = task.data_fingerprint
        facts["problem_fingerprint"] = task.problem.fingerprint()
    if isinstance(task, OnlineTask):
        seen = getattr(task.envs, "raw_observation_space", task.envs.observation_space)  # before any perception
        facts["spaces"] = {"observation": spaces.to_json(seen), "action": spaces.to_json(task.envs.action_space)}
    return facts


def distributions(plan: Plan, task: Task) -> dict[str, str]:
    """Versions of the distributions that offer the components in use."""
    import importlib.metadata

    used = [plan.entry, *plan.parts().values(), *(task.problem.components() if isinstance(task, SupervisedTask) else ())]
    env = specs.entry_of(plan.subject) if plan.entry.kind == "agent" else None
    names = {entry.distribution for entry in (*used, *([env] if env else []))} - {BUILTIN, LOCAL}
    return {BUILTIN: __version__, **{name: importlib.metadata.version(name) for name in sorted(names)}}


def stored_config(plan: Plan) -> dict[str, Any]:
    """The config as JSON values, plugins' parts by their full ids: another plugin may come to offer the same name."""
    rows = plan.config.json()
    for name, entry in plan.parts().items():
        if entry.distribution in (BUILTIN, LOCAL):
            continue
        if name in rows:
            rows[name]["value"] = entry.id
        else:  # one of several, such as metrics.my_own
            row = rows[name.rpartition(".")[0]]
            row["value"] = [entry.id if word == entry.name else word for word in row["value"]]
    return rows


def size_of(plan: Plan, task: Task) -> str:
    """How many parameters the model of a task has, and the critics that teach it where there are any."""
    parameters = task.parameters()
    critics = sum(value.numel() for name, value in parameters.items() if name.startswith("critics."))
    count = sum(value.numel() for value in parameters.values()) - critics
    kind = next(item.kind for item in settings_of(plan.entry.config_class()) if item.name == "model")
    return size_text(kind, plan.config.values["model"], count, critics)


def size_text(kind: str, name: str, count: int, critics: int = 0) -> str:
    """How many parameters are trained for a model, and what that costs where it is much."""
    gigabytes = (count + critics) * BYTES_A_PARAMETER / 1e9
    taught = f", taught by critics of {critics:,}" if critics else ""
    much = f", about {gigabytes:.1f} GB in each checkpoint" if gigabytes >= 0.5 else ""
    advice = f". Its sizes are settings: toolkit info {kind} {name}" if much and count > critics else ""
    return f"{name}: {count:,} parameters{taught}{much}{advice}"
