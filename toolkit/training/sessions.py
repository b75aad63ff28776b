"""Sessions: a plan trained to its end, and a run on the disk continued."""

from __future__ import annotations

import os
import shlex
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from toolkit.config import flag_of
from toolkit.core.clock import Clock
from toolkit.envs import factory
from toolkit.errors import ToolkitError, UsageError
from toolkit.registry import registry
from toolkit.training.data import SAME_DATA, require_same_data, require_same_files
from toolkit.training.description import describe, size_of
from toolkit.training.init_from import Source, inherited_facts, initialise_from
from toolkit.training.made_with import made_with
from toolkit.training.misfit import fitting
from toolkit.training.resolve import Plan, plan_of
from toolkit.training.run_directory import RunDirectory, find_run
from toolkit.training.setup import env_spec, make_task, make_trainer, require_same_bytes
from toolkit.training.supervised import SupervisedTask
from toolkit.training.tasks import Task
from toolkit.training.trainer import Outcome, Trainer

TRAINING = threading.RLock()  # of the one training that has torch's default generator


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
    require_learning(plan)
    settle(plan)
    source = None if init_from is None else Source(init_from)
    if source is not None and values.get("folds"):
        raise UsageError(f"--folds {values['folds']}: each fold begins anew, without what --init-from {init_from} has learned, "
                         "and would judge another training than this. Leave out one of them")
    with denormals_flushed(), own_generator():
        # Before the folder: wrong environments, spaces and data leave nothing behind.
        task = make_task(plan, inherited=inherited_facts(plan, source))
        try:
            if source is not None:
                initialise_from(task, plan, source)
                del source  # a checkpoint may hold a replay buffer
            directory = RunDirectory.create(out, plan.entry.name, plan.subject, values["seed"],
                                            {**describe(plan, task), "init_from": init_from})
            trainer = make_trainer(directory, plan, task.unit)
            if begun:
                begun([size_of(plan, task)] if "model" in values else [])
            return Session(directory, run(trainer, task), 0, None)
        finally:
            task.close()


@contextmanager
def own_generator() -> Iterator[None]:
    """Torch's default generator for one training of this process: those of other threads wait, and the caller's numbers
    afterwards are as if there had been none."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    with TRAINING, torch.random.fork_rng(devices):
        yield


def require_learning(plan: Plan) -> None:
    """Raise UsageError for replay from which nothing could be learned as it was asked for.

    A short try of an agent that begins later than it was given steps is no error; `toolkit run` says so.
    """
    values = plan.config.values
    held, batch, updates = values.get("buffer_size"), values.get("batch_size"), values.get("gradient_steps")
    starts, steps = values.get("learning_starts"), values["steps"]
    if updates == 0:
        raise UsageError("--gradient-steps 0: nothing would be learned. Allowed: a whole number at least 1, or -1 for as many "
                         "updates as steps are collected")
    if held is not None and batch is not None and held < batch:
        raise UsageError(f"--buffer-size {held} and --batch-size {batch}: the buffer never holds the transitions of one update. "
                         f"Allowed: --buffer-size of at least {batch}, or --batch-size of at most {held}")
    if starts is not None and starts >= steps and plan.config.origins["learning_starts"] in ("flag", "file"):
        raise UsageError(f"--learning-starts {starts} and --steps {steps}: the run would end before its first update. Allowed: "
                         f"--steps of more than {starts}, or --learning-starts below {steps}")


def settle(plan: Plan) -> None:
    """Write into the plan what would otherwise be chosen anew wherever the run is resumed."""
    if plan.entry.kind != "agent":
        return
    recogniser = plan.config.values.get("network.init_from")
    if recogniser:
        refuse_replaced(plan, recogniser)
        directory, step = find_run(recogniser)
        path = directory.checkpoints.path(directory.newest() if step is None else step).absolute()
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
    if plan.entry.kind == "task":
        require_same_data(plan, facts, SAME_DATA)
    require_same_bytes(facts)
    states = checkpoints.load(begin)
    if steps is not None and steps <= begin:
        raise UsageError(f"--steps {steps}: the run is at step {begin} already; name a larger budget")
    end = facts if begin == facts.get("steps") else None
    with denormals_flushed(), made_with(facts), own_generator():
        task = make_task(plan, saved=states.get("problem"))
        try:
            budget = plan.config.values["steps"]
            if epochs is not None and budget <= begin:
                raise UsageError(f"--epochs {epochs:g}: these are {budget} {task.unit}, and the run is at {begin} already; "
                                 "name a larger budget")
            if isinstance(task, SupervisedTask):
                require_same_files(task.problem, facts)
            trainer = make_trainer(directory, plan, task.unit)
            with fitting(states, lambda: {name: part.state_dict() for name, part in task.parts().items()}, task.parameters):
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


def reopened(facts: Mapping[str, Any], at_end: bool) -> dict[str, Any]:
    """run.json of a run that goes on: without how it ended, but for where its records end if it goes on from there."""
    over = {"reason", "parameters_sha256", "evaluation", "train_seconds"}
    if not at_end:
        over |= {"steps", "offsets", "best", "best_step"}
    return {**{name: value for name, value in facts.items() if name not in over}, "status": "running", "process": os.getpid()}


def run(trainer: Trainer, task: Task) -> Outcome:
    """Fit, and say on disk how it ended."""
    try:
        with in_its_place(trainer.directory, task.clock):
            return trainer.fit(task)
    except Moved:
        raise
    except ToolkitError as error:
        mark(trainer.directory, "interrupted" if error.exit_code > 2 else "failed", str(error))
        if "toolkit resume" not in str(error):  # others say the way on themselves
            error.add_note(way_on(trainer, task))
        raise
    except OSError as error:
        mark(trainer.directory, "failed", str(error))
        advice = trainer.directory.checkpoints.advice(-1)
        raise ToolkitError(f"the run could not write to {trainer.directory.path}: {error.strerror or error}. {advice}") from error
    except Exception as error:
        # The environment's own code, for one: its author needs the traceback, and everyone the way on.
        mark(trainer.directory, "failed", f"{type(error).__name__}: {error}")
        error.add_note(way_on(trainer, task))
        raise
    finally:
        trainer.recorder.close()
        trainer.directory.release()


def way_on(trainer: Trainer, task: Task) -> str:
    """What to say beside the error that ended a run."""
    return f"The run failed at step {task.clock.step}. {trainer.directory.checkpoints.advice(-1)}"


class Moved(ToolkitError):
    """The folder of a run went away while it trained."""


@contextmanager
def in_its_place(directory: RunDirectory, clock: Clock) -> Iterator[None]:
    """Let errors raise Moved where the run's folder is not there any more: whatever failed, it is for that."""
    try:
        yield
    except (OSError, ToolkitError) as error:
        if (directory.path / "run.json").exists():
            raise
        reason = f"its folder was moved or removed at or before step {clock.step}, while it trained"
        place = directory.moved_to()
        if place is None:
            raise Moved(f"the run {directory.path} is not there any more: {reason}. If it was moved, continue it from there: "
                        "toolkit resume RUN") from error
        mark(RunDirectory(place), "failed", reason)
        raise Moved(f"the run {directory.path} is now {place}: {reason}. Continue it from its last checkpoint: "
                    f"toolkit resume {shlex.quote(str(place))}") from error


def mark(directory: RunDirectory, status: str, reason: str) -> None:
    """Note in run.json how the run ended; on a full disk there may be no room even for that."""
    try:
        directory.update(status=status, reason=reason)
    except OSError as error:
        print(f"run.json could not be updated: {error.strerror}", file=sys.stderr)


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
