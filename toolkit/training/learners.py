"""The problem and the model of a task's run, from the disk."""

from __future__ import annotations

import shlex

import torch

from toolkit.core.threads import use_threads
from toolkit.errors import UsageError
from toolkit.training.made_with import made_with
from toolkit.training.placement import device_for
from toolkit.training.resolve import Plan, options_of, plan_of
from toolkit.training.run_directory import RunDirectory, find_run
from toolkit.training.supervised import Learner


def load_learner(directory: RunDirectory, step: int | None = None, plan: Plan | None = None) -> Learner:
    """Problem and model of a task's run as they were at ``step`` (its final or last checkpoint); ``plan``: if known."""
    plan = plan or data_plan(directory)
    use_threads(plan.config.values["threads"])
    return learner_of(plan, directory, step, device_for(plan, wherever=True))


def data_plan(directory: RunDirectory) -> Plan:
    """The plan of a task's run; raises UsageError for an agent's."""
    plan = plan_of(directory.read())
    if plan.entry.kind != "task":
        raise UsageError(f"{directory.path} is a run of the agent {plan.entry.name!r}, which has no model of data. "
                         f"Judge it: toolkit evaluate {shlex.quote(str(directory.path))}")
    return plan


def learner_of(plan: Plan, directory: RunDirectory, step: int | None, device: torch.device) -> Learner:
    states = directory.states(step)
    with made_with(directory.read()):
        return Learner.load(plan.entry.id, options_of(plan.entry, plan.config), states, device)


def open_recogniser(run: str) -> Learner:
    """Problem and model of the run that ``--network.init-from`` names; the random numbers of this process stay as they are."""
    directory, step = find_run(run)
    with torch.random.fork_rng(devices=[]):
        return learner_of(data_plan(directory), directory, step, torch.device("cpu"))
