"""The parts of a run, made as its plan says: task, environments, agent, trainer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from toolkit.agents.base import Agent, Buffer
from toolkit.agents.checks import require_action_space
from toolkit.agents.networks.encode import is_image, leaf_spaces
from toolkit.agents.perception import perceived, perception_of
from toolkit.config import Part, Resolved, settings_of
from toolkit.core.base import Dataset
from toolkit.core.clock import Clock
from toolkit.core.memory import machine_memory, within_memory
from toolkit.core.seeding import Streams
from toolkit.core.threads import use_threads
from toolkit.envs import factory, spaces
from toolkit.envs.base import EnvSpec, VectorEnv
from toolkit.errors import UsageError
from toolkit.registry import registry
from toolkit.training.configs import RunConfig
from toolkit.training.data import fingerprint_of
from toolkit.training.learners import open_recogniser
from toolkit.training.made_with import made_with
from toolkit.training.misfit import fitting
from toolkit.training.placement import device_for
from toolkit.training.progress import make_progress
from toolkit.training.recorder import make_recorder
from toolkit.training.resolve import Plan, option_of, options_of, plan_of
from toolkit.training.run_directory import RunDirectory
from toolkit.training.supervised import Facts, SupervisedTask, make_supervised
from toolkit.training.tasks import AgentEvaluator, OnlineTask, Task, evaluation_seed
from toolkit.training.trainer import Intervals, Trainer

RECORDS, EVALUATIONS, CHECKPOINTS = 100, 10, 10  # how often in a run, where nothing else is said


def make_task(plan: Plan, saved: Facts = None, inherited: Facts = None) -> Task:
    """The task that ``plan`` describes, freshly seeded; for a task on data see `make_supervised`."""
    values = plan.config.values
    use_threads(values["threads"])
    streams = Streams(values["seed"])
    torch.manual_seed(streams.seed("torch"))
    with within_memory():
        return make_online_task(plan, streams) if plan.entry.kind == "agent" else make_data_task(plan, streams, saved, inherited)


def make_data_task(plan: Plan, streams: Streams, saved: Facts = None, inherited: Facts = None) -> Task:
    """A task on a data set; a budget in epochs is written into the plan as steps."""
    values = plan.config.values
    options = options_of(plan.entry, plan.config)
    clock = Clock(values["steps"] or 0)
    dataset = registry.make("dataset", options["data"])
    task = make_supervised(plan.entry.id, options, dataset, clock, streams, device_for(plan), saved, inherited)
    if saved is None:
        # What a file says may be what --print-config printed of every setting.
        task.problem.refuse_unused([name for name, origin in plan.config.origins.items() if origin == "flag"])
        task.data_fingerprint = fingerprint_of(dataset)
    number = values.get("folds", 0)
    if number:
        add_folds(task, plan, options, dataset, number)
    if values["steps"] is None:
        clock.budget = max(1, round(values["epochs"] * task.loader.units_per_epoch))
        plan.config.set("steps", clock.budget, "epochs")
    return task


def add_folds(task: SupervisedTask, plan: Plan, options: Mapping[str, Any], dataset: Dataset, number: int) -> None:
    """Cross-validate at the end of the run as well, each fold for as many epochs as the run."""
    from toolkit.training.supervised_folds import check_folds, cross_validate

    check_folds(task.problem, dataset, number)
    task.after_training = lambda should_stop: cross_validate(
        lambda: registry.make("task", plan.entry.id, **options), dataset, number,
        task.clock.budget / task.loader.units_per_epoch, plan.config.values["seed"], task.device, should_stop)


def make_online_task(plan: Plan, streams: Streams) -> OnlineTask:
    values = plan.config.values
    spec = env_spec(plan)
    clock = Clock(values["steps"])
    n_envs = values["n_envs"]
    device = device_for(plan)
    envs = factory.make(spec, [streams.seed("env", index) for index in range(n_envs)], values["vectorization"],
                        values["workers"], values["worker_timeout"])
    try:
        if values["vectorization"] == "envpool":
            require_same_spaces(envs, spec)
        agent = make_agent(plan.entry.id, plan.config, envs.observation_space, envs.action_space, n_envs, streams, clock, device)
        envs = perceived(envs, agent)
        buffer = registry.make(
            "buffer", agent.buffer, capacity=agent.buffer_size, n_envs=n_envs, observation_space=envs.observation_space,
            action_space=envs.action_space, generator=streams.generator("sampling"))
        require_room(buffer, min(agent.buffer_size, values["steps"]), n_envs)
    except BaseException:
        envs.close()
        raise
    evaluator = AgentEvaluator(spec.for_evaluation(), evaluation_seed(values["seed"]), values["evaluation_episodes"],
                               values["final_episodes"])
    return OnlineTask(agent, envs, buffer, clock, evaluator)


def require_same_spaces(envs: VectorEnv, spec: EnvSpec) -> None:
    """Raise UsageError where evaluations, which gymnasium makes, would see or do other things than training does."""
    judged = factory.make_one(spec.for_evaluation())
    judged.close()
    for what, ours, theirs in (("observations", envs.observation_space, judged.observation_space),
                               ("actions", envs.action_space, judged.action_space)):
        if (ours.shape, getattr(ours, "n", 0)) != (theirs.shape, getattr(theirs, "n", 0)):
            raise UsageError(f"the {what} of {spec.id} are {ours} by EnvPool, and {theirs} by gymnasium, which evaluations use: "
                             "a policy for the one cannot be judged by the other. Leave out --vectorization envpool")


def require_room(buffer: Buffer, transitions: int, n_envs: int) -> None:
    """Raise UsageError for a buffer that outgrows the machine's memory once it holds so many ``transitions``."""
    row, memory = 2 * getattr(buffer, "row_bytes", 0), machine_memory()  # a checkpoint is written from a copy
    if row * (transitions // n_envs) > memory:
        raise UsageError(f"the replay buffer takes {row * (transitions // n_envs) / 1e9:,.0f} GB once it holds {transitions:,} "
                         f"transitions and a checkpoint is written, and the memory of this machine is {memory / 1e9:,.0f} GB. "
                         f"Allowed: --buffer-size of less than {int(memory / row) * n_envs:,}, or --buffer torchrl, which keeps "
                         "observations on the disk")


def env_spec(plan: Plan, env: str | None = None, more: Mapping[str, Any] | None = None,
             max_episode_steps: int | None = None) -> EnvSpec:
    """The environment that ``plan`` trains on, or another one (``env``) seen through the same wrappers.

    ``more`` are options for its constructor that come before the plan's, as does ``max_episode_steps``.
    """
    values = plan.config.values
    options = plan.env_options if env in (None, plan.subject) else {}
    return EnvSpec(env or plan.subject, {**options, **(more or {})}, max_episode_steps or values.get("max_episode_steps"),
                   values.get("frame_stack", 1), "training" if values.get("atari") else "")


def make_agent(name: str, config: Resolved, observation_space: Any, action_space: Any, n_envs: int, streams: Streams,
               clock: Clock, device: torch.device) -> Agent:
    """An agent for observations of ``observation_space``; its ``perception`` is what stands before its network, or None.

    Raises UsageError where it declares that it cannot act in ``action_space``.
    """
    require_action_space(name, action_space)
    options = options_of(registry.get("agent", name), config)
    network = options.get("network")
    perception = perception_of(network, observation_space, open_recogniser) if isinstance(network, Part) else None
    agent: Any = registry.make("agent", name, observation_space=perception.space if perception else observation_space,
                               action_space=action_space, n_envs=n_envs, streams=streams, clock=clock, device=device, **options)
    agent.perception = perception
    made: Agent = agent
    return made


def load_agent(directory: RunDirectory, step: int | None = None, plan: Plan | None = None) -> Agent:
    """The agent of a run as it was at ``step`` (its final or last checkpoint), without its environment; ``plan``: if known."""
    facts = directory.read()
    plan = plan or plan_of(facts)
    if plan.entry.kind != "agent":
        raise UsageError(f"{directory.path} is a run of the task {plan.entry.name!r}, which has no agent")
    require_same_bytes(facts)
    states = directory.states(step)
    values = plan.config.values
    clock = Clock(values["steps"], states["trainer"]["step"])
    use_threads(values["threads"])
    agent = make_agent(plan.entry.id, plan.config, spaces.from_json(facts["spaces"]["observation"]),
                       spaces.from_json(facts["spaces"]["action"]), values["n_envs"], Streams(values["seed"]), clock,
                       device_for(plan, wherever=True))
    with made_with(facts), fitting(states["agent"], agent.state_dict, agent.parameters):
        agent.load_state_dict(states["agent"])
    return agent


def require_same_bytes(facts: Mapping[str, Any]) -> None:
    """Raise UsageError for a run of an earlier version whose network saw a board of bytes as a picture: 2 was 2 / 255 to it."""
    if facts.get("format", 1) > 1 or "spaces" not in facts:
        return
    found = [leaf for leaf in leaf_spaces(spaces.from_json(facts["spaces"]["observation"]))
             if leaf.dtype == np.uint8 and len(leaf.shape or ()) in (2, 3, 4) and not is_image(leaf)]
    if found:
        raise UsageError(f"the run is of an earlier version, which divided observations of {found[0]} by 255, and this one "
                         "does not: its network would see others. Train it anew: "
                         f"toolkit run {facts['name']} --env {facts['subject']}")


def make_trainer(directory: RunDirectory, plan: Plan, unit: str) -> Trainer:
    values = plan.config.values
    steps = values["steps"]

    def every(name: str, share: int) -> int:
        return max(1, steps // share) if values[name] is None else int(values[name])

    intervals = Intervals(every("record_every", RECORDS), every("evaluate_every", EVALUATIONS),
                          every("checkpoint_every", CHECKPOINTS), values["checkpoint_seconds"])
    title = f"{plan.entry.name} on {plan.subject}, seed {values['seed']}"
    trackers = option_of(next(item for item in settings_of(RunConfig) if item.name == "trackers"), plan.config)
    return Trainer(directory, make_recorder(directory.path, trackers), intervals, make_progress(title, unit))
