"""Wiring: from a resolved plan to a trained run, and from a run on the disk back to its parts."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from toolkit.agents.base import Agent
from toolkit.agents.checks import NonFinite
from toolkit.agents.perception import perceived, perception_of
from toolkit.config import Part, Resolved, flag_of, settings_of
from toolkit.core import devices
from toolkit.core.base import Dataset
from toolkit.core.clock import Clock
from toolkit.core.seeding import Streams
from toolkit.core.threads import use_threads
from toolkit.envs import factory, spaces
from toolkit.envs.base import EnvSpec
from toolkit.errors import ToolkitError, UsageError
from toolkit.registry import registry
from toolkit.training.misfit import learned, misfit
from toolkit.training.progress import make_progress
from toolkit.training.recorder import make_recorder
from toolkit.training.resolve import Plan, all_settings, options_of, plain_value
from toolkit.training.run_directory import RunDirectory, find_run, library_versions, machine
from toolkit.training.supervised import Facts, Learner, SupervisedTask, make_supervised
from toolkit.training.tasks import AgentEvaluator, OnlineTask, Task, evaluation_seed
from toolkit.training.trainer import Intervals, Outcome, Trainer

BYTES_A_PARAMETER = 12  # float32: itself, and two moments of its gradients
RECORDS, EVALUATIONS, CHECKPOINTS = 100, 10, 10  # how often in a run, where nothing else is said


@dataclass(frozen=True)
class Session:
    """A run in this process: where it is on the disk, how it went, and where it continued from."""

    directory: RunDirectory
    outcome: Outcome
    start: int
    resumed_from: int | None


def start(plan: Plan, out: str | None = None, init_from: str | None = None,
          begun: Callable[[Sequence[str]], None] | None = None) -> Session:
    """Start a new run and train it to its end.

    ``begun`` is called when nothing that was asked for can be refused any more, with what is known of the run only then.
    """
    values = plan.config.values
    settle(plan)
    with denormals_flushed():
        # Before the folder: wrong environments, spaces and data leave nothing behind.
        task = make_task(plan, inherited=inherited_facts(plan, init_from))
        try:
            if init_from is not None:
                initialise_from(task, plan, init_from)
            directory = RunDirectory.create(out, plan.entry.name, plan.subject, values["seed"])
            directory.write({**describe(plan, task), "init_from": init_from})
            trainer = make_trainer(directory, plan, task.unit)
            if begun:
                begun([size_of(plan, task)] if "model" in values else [])
            return Session(directory, run(trainer, task), 0, None)
        finally:
            task.close()


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


def settle(plan: Plan) -> None:
    """Write into the plan what would otherwise be chosen anew wherever the run is resumed."""
    if plan.entry.kind != "agent":
        return
    recogniser = plan.config.values.get("network.init_from")
    if recogniser:
        refuse_replaced(plan, recogniser)
        directory, step = find_run(recogniser)
        path = directory.checkpoints.path(newest(directory) if step is None else step).absolute()
        plan.config.set("network.init_from", str(path), "settled")
    for name, value in factory.settled(env_spec(plan)).items():
        if plan.env_options.get(name) != value:
            plan.config.set(f"env.{name}", value, "settled")


def refuse_replaced(plan: Plan, recogniser: str) -> None:
    """Raise UsageError where settings of the network were asked for that the trained ``recogniser`` takes the place of.

    What a preset sets is not asked for.
    """
    network = registry.get("network", plan.config.values["network"]).load()
    prefixes = [f"network.{name}" for name in getattr(network, "replaced_by_recogniser", ())]
    useless = [name for name, origin in plan.config.origins.items() if origin in ("flag", "file")
               and any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)]
    if useless:
        given = ", ".join(f"{flag_of(name)} {plan.config.values[name]}" for name in useless)
        raise UsageError(f"{given}: with --network.init-from {recogniser} that run's front end and encoder hear, and this would "
                         "do nothing. Leave it out, or leave out --network.init-from")


def resume(directory: RunDirectory, step: int | None = None, steps: int | None = None, epochs: float | None = None,
           final_episodes: int | None = None) -> Session:
    """Continue a run exactly, from its last checkpoint or from ``step``; ``steps`` or ``epochs`` is a new budget, in all.

    ``final_episodes`` are those of the evaluation at an agent's end, from which nothing is learned.

    Raises CheckpointError when the checkpoint is damaged, UsageError when there is none or the budget is spent already.
    """
    facts = directory.read()
    plan = plan_of(facts)
    if steps is not None or epochs is not None:
        lengthen(plan, directory, steps, epochs)
    if final_episodes is not None:
        if "final_episodes" not in plan.config.values:
            raise UsageError(f"--final-episodes {final_episodes}: {plan.entry.name} is a task, which plays none; it is judged on "
                             "what its data holds out")
        plan.config.set("final_episodes", final_episodes, "flag")
    directory.claim()
    try:
        return resumed(directory, plan, facts, step, steps, epochs)
    finally:
        directory.release()


def resumed(directory: RunDirectory, plan: Plan, facts: Mapping[str, Any], step: int | None, steps: int | None,
            epochs: float | None) -> Session:
    """`resume` of a run that is claimed, whose ``plan`` has the new budget."""
    checkpoints = directory.checkpoints
    directory.sweep()
    present = checkpoints.steps()
    if not present:
        raise UsageError(f"{directory.path} holds no checkpoint to resume from. Start again: toolkit run {plan.entry.name} ...")
    if step is not None and step not in present:
        raise UsageError(f"{directory.path} has no checkpoint {step}. Allowed: {', '.join(map(str, present))}.")
    begin = present[-1] if step is None else step
    states = checkpoints.load(begin)
    if steps is not None and steps <= begin:
        raise UsageError(f"--steps {steps}: the run is at step {begin} already; name a larger budget")
    end = facts if begin == facts.get("steps") else None
    with denormals_flushed():
        task = make_task(plan, saved=states.get("problem"))
        try:
            budget = plan.config.values["steps"]
            if epochs is not None and budget <= begin:
                raise UsageError(f"--epochs {epochs:g}: these are {budget} {task.unit}, and the run is at {begin} already; "
                                 "name a larger budget")
            trainer = make_trainer(directory, plan, task.unit)
            trainer.restore(task, states, end)
            if steps is not None or epochs is not None:
                task.clock.budget = budget  # also where an evaluation had stopped the run early
            checkpoints.set_aside(after=begin)
            directory.write({**reopened(facts, end is not None), "config": plan.config.json()})
            return Session(directory, run(trainer, task), begin, begin)
        finally:
            task.close()


def lengthen(plan: Plan, directory: RunDirectory, steps: int | None, epochs: float | None) -> None:
    """Write a new budget into the plan; one in epochs becomes steps when the data is there. Raises UsageError."""
    if steps is not None and epochs is not None:
        raise UsageError("--steps and --epochs are both given; allowed: one of them")
    if epochs is not None:
        if "epochs" not in plan.config.values:
            raise UsageError(f"--epochs {epochs:g}: the budget of {plan.entry.name} is in steps. "
                             f"Extend it: toolkit resume {shlex.quote(str(directory.path))} --steps N")
        plan.config.set("epochs", epochs, "flag")
    plan.config.set("steps", steps, "flag")


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """Numbers below the smallest normal one are zero while a run trains.

    Moments of units that stopped learning decay to them, and the CPU is many times slower on them.
    The mode is the whole thread's: a caller from Python gets it back as it was.
    """
    were = sys.float_info.min / 2 == 0.0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(were)


def reopened(facts: Mapping[str, Any], at_end: bool) -> dict[str, Any]:
    """run.json of a run that goes on: without how it ended, but for where its records end if it goes on from there."""
    over = {"reason", "parameters_sha256", "evaluation", "train_seconds"}
    if not at_end:
        over |= {"steps", "offsets", "best", "best_step"}
    return {**{name: value for name, value in facts.items() if name not in over}, "status": "running", "process": os.getpid()}


def run(trainer: Trainer, task: Task) -> Outcome:
    """Fit, and say on disk how it ended."""
    try:
        return trainer.fit(task)
    except NonFinite as error:
        mark(trainer.directory, "failed", str(error))
        raise NonFinite(f"{error}. {trainer.directory.checkpoints.advice(-1)}") from error
    except ToolkitError as error:
        mark(trainer.directory, "interrupted" if error.exit_code > 2 else "failed", str(error))
        raise
    except OSError as error:
        mark(trainer.directory, "failed", str(error))
        advice = trainer.directory.checkpoints.advice(-1)
        raise ToolkitError(f"the run could not write to {trainer.directory.path}: {error.strerror or error}. {advice}") from error
    except Exception as error:
        # The environment's own code, for one: its author needs the traceback, and everyone the way on.
        mark(trainer.directory, "failed", f"{type(error).__name__}: {error}")
        error.add_note(f"The run failed at step {task.clock.step}. {trainer.directory.checkpoints.advice(-1)}")
        raise
    finally:
        trainer.recorder.close()
        trainer.directory.release()


def mark(directory: RunDirectory, status: str, reason: str) -> None:
    """Note in run.json how the run ended; on a full disk there may be no room even for that."""
    try:
        directory.update(status=status, reason=reason)
    except OSError as error:
        print(f"run.json could not be updated: {error.strerror}", file=sys.stderr)


# -- parts


def make_task(plan: Plan, saved: Facts = None, inherited: Facts = None) -> Task:
    """The task that ``plan`` describes, freshly seeded; for a task on data see `make_supervised`."""
    values = plan.config.values
    use_threads(values["threads"])
    streams = Streams(values["seed"])
    torch.manual_seed(streams.seed("torch"))
    return make_online_task(plan, streams) if plan.entry.kind == "agent" else make_data_task(plan, streams, saved, inherited)


def inherited_facts(plan: Plan, init_from: str | None) -> Facts:
    """What a task on data takes over with the parameters of ``--init-from``: its tokens, its scales."""
    if init_from is None or plan.entry.kind != "task":
        return None
    directory, step = find_run(init_from)
    states = directory.checkpoints.load(newest(directory) if step is None else step)
    if "problem" not in states:
        raise UsageError(f"--init-from {init_from}: it is the run of an agent, and {plan.entry.name} is a task")
    require_same_parts(plan, init_from, directory.read()["config"])
    facts: Mapping[str, Any] = states["problem"]
    return facts


def require_same_parts(plan: Plan, init_from: str, theirs: Mapping[str, Any]) -> None:
    """Raise UsageError where parameters would go to another model than they came from, or read other tokens."""
    values = plan.config.values
    parts = {name: (theirs[name]["value"], values[name]) for name in ("model", "tokenizer") if name in theirs and name in values}
    differ = {name: pair for name, pair in parts.items() if pair[0] != pair[1]}
    if differ:
        there = " and ".join(f"{name} is {found!r}, here {own!r}" for name, (found, own) in differ.items())
        flags = " ".join(f"--{name} {found}" for name, (found, _) in differ.items())
        raise UsageError(f"--init-from {init_from}: its {there}. Parameters fit where they came from; add {flags}")


def make_data_task(plan: Plan, streams: Streams, saved: Facts = None, inherited: Facts = None) -> Task:
    """A task on a data set; a budget in epochs is written into the plan as steps."""
    values = plan.config.values
    options = options_of(plan.entry, plan.config)
    part = options["data"]
    clock = Clock(values["steps"] or 0)
    dataset = registry.make("dataset", part.name, **part.options)
    task = make_supervised(plan.entry.id, options, dataset, clock, streams, device_for(plan), saved, inherited)
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
        agent = make_agent(plan.entry.id, plan.config, envs.observation_space, envs.action_space, n_envs, streams, clock, device)
        envs = perceived(envs, agent)
        part = agent.buffer
        buffer = registry.make(
            "buffer", part.name, capacity=agent.buffer_size, n_envs=n_envs, observation_space=envs.observation_space,
            action_space=envs.action_space, generator=streams.generator("sampling"), **part.options)
    except BaseException:
        envs.close()
        raise
    evaluator = AgentEvaluator(spec.for_evaluation(), evaluation_seed(values["seed"]), values["evaluation_episodes"],
                               values["final_episodes"])
    return OnlineTask(agent, envs, buffer, clock, evaluator)


def device_for(plan: Plan, wherever: bool = False) -> torch.device:
    """Where the run computes; ``wherever``: on the CPU where there is no GPU, even if one was asked for when it was made.

    ``auto`` leaves an agent on the CPU whose network is declared as one that ``cannot`` gain by a ``gpu``.
    """
    values = plan.config.values
    name = values.get("network") if plan.entry.kind == "agent" else None
    small = name is not None and "gpu" in registry.get("network", name).cannot
    wanted = "cpu" if wherever and not torch.cuda.is_available() else values["device"]
    return devices.select(wanted, best="cpu" if small else "cuda")


def env_spec(plan: Plan, env: str | None = None, more: Mapping[str, Any] | None = None) -> EnvSpec:
    """The environment that ``plan`` trains on, or another one (``env``) seen through the same wrappers.

    ``more`` are options for its constructor that come before the plan's.
    """
    values = plan.config.values
    options = plan.env_options if env in (None, plan.subject) else {}
    return EnvSpec(env or plan.subject, {**options, **(more or {})}, values.get("max_episode_steps"),
                   values.get("frame_stack", 1), "training" if values.get("atari") else "")


def make_agent(name: str, config: Resolved, observation_space: Any, action_space: Any, n_envs: int, streams: Streams,
               clock: Clock, device: torch.device) -> Agent:
    """An agent for observations of ``observation_space``; its ``perception`` is what stands before its network, or None."""
    options = options_of(registry.get("agent", name), config)
    network = options.get("network")
    perception = perception_of(network, observation_space, open_recogniser) if isinstance(network, Part) else None
    agent: Any = registry.make("agent", name, observation_space=perception.space if perception else observation_space,
                               action_space=action_space, n_envs=n_envs, streams=streams, clock=clock, device=device, **options)
    agent.perception = perception
    made: Agent = agent
    return made


def make_trainer(directory: RunDirectory, plan: Plan, unit: str) -> Trainer:
    values = plan.config.values
    steps = values["steps"]

    def every(name: str, share: int) -> int:
        return max(1, steps // share) if values[name] is None else int(values[name])

    intervals = Intervals(every("record_every", RECORDS), every("evaluate_every", EVALUATIONS),
                          every("checkpoint_every", CHECKPOINTS), values["checkpoint_seconds"])
    title = f"{plan.entry.name} on {plan.subject}, seed {values['seed']}"
    return Trainer(directory, make_recorder(directory.path), intervals, make_progress(title, unit))


def describe(plan: Plan, task: Task) -> dict[str, Any]:
    """The content of run.json at the start of a run."""
    facts: dict[str, Any] = {
        "format": 1, "status": "running", "name": plan.entry.name, "component": plan.entry.id, "kind": plan.entry.kind,
        "subject": plan.subject, "unit": task.unit, "preset": plan.preset, "config": plan.config.json(),
        "seeds": {"root": plan.config.values["seed"], "evaluation": evaluation_seed(plan.config.values["seed"])},
        "distributions": distributions(plan), "libraries": library_versions(), "machine": machine(),
        "device": device_for(plan).type, "threads": torch.get_num_threads(), "process": os.getpid(),
    }
    if isinstance(task, OnlineTask):
        seen = getattr(task.envs, "raw_observation_space", task.envs.observation_space)  # before any perception
        facts["spaces"] = {"observation": spaces.to_json(seen), "action": spaces.to_json(task.envs.action_space)}
    return facts


def distributions(plan: Plan) -> dict[str, str]:
    """Versions of the distributions that offer the components in use."""
    import importlib.metadata

    from toolkit import __version__
    from toolkit.registry import BUILTIN, LOCAL

    name = plan.entry.distribution
    versions = {BUILTIN: __version__}
    if name not in (BUILTIN, LOCAL):
        versions[name] = importlib.metadata.version(name)
    return versions


def plan_of(facts: Mapping[str, Any]) -> Plan:
    """The plan of a run on the disk; settings that its component has gained since are as they are by default."""
    entry = registry.get(("agent", "task"), facts["component"])
    config = Resolved.from_json(facts["config"])
    for name, item in all_settings(entry, config.values).items():
        if name not in config.values:
            config.set(name, plain_value(item.default), "default")
    return Plan(entry, config, facts["preset"])


def load_agent(directory: RunDirectory, step: int | None = None) -> Agent:
    """The agent of a run as it was at ``step`` (its final or last checkpoint), without its environment."""
    facts = directory.read()
    plan = plan_of(facts)
    if plan.entry.kind != "agent":
        raise UsageError(f"{directory.path} is a run of the task {plan.entry.name!r}, which has no agent")
    states = directory.checkpoints.load(newest(directory) if step is None else step)
    values = plan.config.values
    clock = Clock(values["steps"], states["trainer"]["step"])
    use_threads(values["threads"])
    agent = make_agent(plan.entry.id, plan.config, spaces.from_json(facts["spaces"]["observation"]),
                       spaces.from_json(facts["spaces"]["action"]), values["n_envs"], Streams(values["seed"]), clock,
                       device_for(plan, wherever=True))
    agent.load_state_dict(states["agent"])
    return agent


def load_learner(directory: RunDirectory, step: int | None = None) -> Learner:
    """Problem and model of a task's run as they were at ``step`` (its final or last checkpoint)."""
    plan = data_plan(directory)
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
    states = directory.checkpoints.load(newest(directory) if step is None else step)
    return Learner.load(plan.entry.id, options_of(plan.entry, plan.config), states, device)


def open_recogniser(run: str) -> Learner:
    """Problem and model of the run that ``--network.init-from`` names; the random numbers of this process stay as they are."""
    directory, step = find_run(run)
    with torch.random.fork_rng(devices=[]):
        return learner_of(data_plan(directory), directory, step, torch.device("cpu"))


def newest(directory: RunDirectory) -> int:
    """The final checkpoint, or the last one of an unfinished run."""
    final = directory.checkpoints.linked("final")
    if final is not None and directory.read().get("status") == "finished":
        return final
    steps = directory.checkpoints.steps()
    if not steps:
        raise UsageError(f"{directory.path} holds no checkpoint yet")
    return steps[-1]


def initialise_from(task: Task, plan: Plan, run_text: str) -> None:
    """Start from the parameters of another run's agent (``--init-from``); nothing else is taken over."""
    directory, step = find_run(run_text)
    states = directory.checkpoints.load(newest(directory) if step is None else step)
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
