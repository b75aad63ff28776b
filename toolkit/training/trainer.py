"""The trainer owns the clock: budget, records, evaluation, checkpoints, and how a run ends.

It knows no batch, no loss, no optimizer and no environment. It drives a `Task`:

    while budget remains:
        clocks fire: record, evaluate, checkpoint      (step 0 first)
        task.advance()

Clocks fire at the top of the loop from saved positions, so a run that was stopped anywhere
(killed, interrupted in an evaluation) continues as if it had not been.
"""

from __future__ import annotations

import hashlib
import math
import shlex
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from toolkit.core.state import Saveable
from toolkit.errors import ToolkitError
from toolkit.training.evaluation import Evaluation, EvaluationStopped
from toolkit.training.interrupts import Interrupted, Interrupts
from toolkit.training.progress import Progress
from toolkit.training.recorder import Recorder
from toolkit.training.run_directory import RunDirectory
from toolkit.training.tasks import Broken, Report, Task

# Counters and schedules are recorded as they are now, everything else as the mean since the last record.
AS_IT_IS = ("train/n_updates", "train/learning_rate", "train/clip_range", "rollout/exploration_rate",
           "rollout/lost_episodes")
EPISODE_WINDOW = 100  # finished episodes that rollout/ep_rew_mean averages, as in Stable-Baselines3


@dataclass
class Every:
    """Fires each time the step reaches the next multiple of ``units``; never when ``units`` is 0."""

    units: int
    next: int = 0

    def due(self, step: int) -> bool:
        return self.units > 0 and step >= self.next

    def fired(self, step: int) -> None:
        self.next = (step // self.units + 1) * self.units if self.units else 0


@dataclass(frozen=True)
class Intervals:
    """Units between records, evaluations and checkpoints, and seconds between checkpoints."""

    record: int
    evaluate: int
    checkpoint: int
    checkpoint_seconds: float = 120.0


@dataclass(frozen=True)
class Outcome:
    """How a run ended: its last evaluation and the hash of its parameters."""

    evaluation: Evaluation
    parameters_sha256: str
    steps: int
    train_seconds: float


class Trainer:
    """Drives one task through its budget in one run directory."""

    def __init__(self, directory: RunDirectory, recorder: Recorder, intervals: Intervals,
                 progress: Progress | None = None) -> None:
        self.directory, self.recorder = directory, recorder
        self.progress = progress or Progress()
        self.interrupts = Interrupts()
        self.record = Every(intervals.record, intervals.record)
        self.evaluate = Every(intervals.evaluate, intervals.evaluate)
        self.checkpoint = Every(intervals.checkpoint)
        self.checkpoint_seconds = intervals.checkpoint_seconds
        self.best: float | None = None  # the best evaluation's score,
        self.best_step: int | None = None  # and its step
        self.episodes: deque[tuple[float, int]] = deque(maxlen=EPISODE_WINDOW)
        self.sums: dict[str, list[float]] = {}  # name -> [sum, count] since the last record
        self.train_seconds = 0.0  # of this process
        self.seconds_before = 0.0  # of the processes before it
        self.saved_at = -1
        self._start_step = 0
        self._last_save = time.monotonic()

    def fit(self, task: Task) -> Outcome:
        """Train until the task's budget is spent, then evaluate thoroughly.

        Raises Interrupted, with a checkpoint saved, when a signal arrived.
        """
        self._start_step = task.clock.step
        with self.interrupts, self.progress:
            if self.saved_at < 0:
                self.save(task)
            while task.clock.remaining:
                self._fire(task)
                self._stop_if_asked(task)
                begin = time.perf_counter()
                report = self._advance(task)
                self.train_seconds += time.perf_counter() - begin
                self._absorb(task, report)
            return self._finish(task)

    # -- clocks

    def _fire(self, task: Task) -> None:
        step = task.clock.step
        if self.record.due(step):
            self._write_record(task)
            self.record.fired(step)
        if self.evaluate.due(step):
            improved = self._evaluate(task)
            self.evaluate.fired(step)
            if improved:
                self.save(task)
                self.directory.checkpoints.link("best", step)
        late = time.monotonic() - self._last_save > self.checkpoint_seconds
        if self.saved_at != step and (self.checkpoint.due(step) or late):
            self.save(task)

    def _absorb(self, task: Task, report: Report) -> None:
        self.episodes.extend((episode.episode_return, episode.length) for episode in report.episodes)
        for name, value in report.metrics.items():
            total = self.sums.setdefault(name, [0.0, 0])
            if name in AS_IT_IS:
                total[0], total[1] = value, 1
            else:
                total[0], total[1] = total[0] + value, total[1] + 1
        self.progress.update(task.clock, self.speed(task), task.seconds, self._means)

    def _advance(self, task: Task) -> Report:
        try:
            return task.advance(self.interrupts)
        except Broken as error:
            if self.saved_at != task.clock.step:
                self.save(task)
            raise ToolkitError(f"{error}. A checkpoint of step {task.clock.step} is saved. "
                               f"Continue: toolkit resume {shlex.quote(str(self.directory.path))}") from error

    def _stop_if_asked(self, task: Task) -> None:
        """Raise Interrupted where a signal asks for it."""
        signum = self.interrupts.pending
        if signum is None:
            return
        if self.saved_at != task.clock.step:
            self.save(task)
        raise Interrupted(signum, f"interrupted at step {task.clock.step}; a checkpoint is saved. "
                                  f"Continue: toolkit resume {shlex.quote(str(self.directory.path))}")

    # -- records

    def speed(self, task: Task) -> float:
        """Units a second of training time, in this process."""
        return (task.clock.step - self._start_step) / self.train_seconds if self.train_seconds else 0.0

    def _means(self) -> dict[str, float]:
        means: dict[str, float] = {}
        if self.episodes:
            means["rollout/ep_rew_mean"] = float(np.mean([item[0] for item in self.episodes]))
            means["rollout/ep_len_mean"] = float(np.mean([item[1] for item in self.episodes]))
        return {**means, **{name: total / count for name, (total, count) in self.sums.items()}}

    def _write_record(self, task: Task) -> None:
        times = {"time/total_timesteps": task.clock.step,
                 **{f"time/{name}_seconds": round(value, 3) for name, value in task.seconds.items()}}
        if self.train_seconds:
            times["time/fps"] = round(self.speed(task), 1)
        self.recorder.write(task.clock.step, self.seconds_before + self.train_seconds, {**self._means(), **times})
        self.sums.clear()

    # -- evaluation

    def _evaluate(self, task: Task, final: bool = False) -> bool:
        """Evaluate and write the result; whether it is the best so far."""
        self.progress.note("evaluating")
        try:
            evaluation = task.evaluate(final, self.interrupts)
        except EvaluationStopped:
            self._stop_if_asked(task)
            raise
        self.evaluation = evaluation
        step = task.clock.step
        self.recorder.write(step, self.seconds_before + self.train_seconds, evaluation.metrics)
        self.progress.evaluated(step, evaluation.metrics)
        self.directory.write_evaluation(str(step), {"step": step, **evaluation.summary, **evaluation.details})
        self.directory.write_sounds(str(step), evaluation.sounds)
        self.recorder.write_sounds(step, evaluation.sounds)
        improved = not math.isnan(evaluation.score) and (self.best is None or evaluation.score >= self.best)
        if improved:
            self.best, self.best_step = evaluation.score, step
        return improved

    # -- checkpoints and the end

    def save(self, task: Task) -> None:
        """Write a checkpoint of every part of the task and of the trainer itself."""
        step = task.clock.step
        self.checkpoint.fired(step)
        states = {name: part.state_dict() for name, part in task.parts().items()}
        facts = {"parameters_sha256": parameters_sha256(task.parameters()), "best": self.best}
        checkpoints = self.directory.checkpoints
        checkpoints.save(step, {**states, "trainer": self.state_dict(task)}, facts)
        checkpoints.prune()
        self.saved_at, self._last_save = step, time.monotonic()

    def _finish(self, task: Task) -> Outcome:
        step = task.clock.step
        checkpoints = self.directory.checkpoints
        if self.sums or self.record.due(step):
            self._write_record(task)
        # What is recorded and evaluated here is not done again when the run is extended.
        self.record.fired(step)
        self.evaluate.fired(step)
        if self.saved_at != step:
            self.save(task)
        checkpoints.link("final", step)
        if self._evaluate(task, final=True):
            checkpoints.link("best", step)
        checkpoints.prune()
        digest = parameters_sha256(task.parameters())
        self.directory.update(
            status="finished", parameters_sha256=digest, steps=step, offsets=self.recorder.offsets(),
            best=self.best, best_step=self.best_step,
            train_seconds=round(self.seconds_before + self.train_seconds, 3), evaluation=dict(self.evaluation.summary))
        return Outcome(self.evaluation, digest, step, self.train_seconds)

    def state_dict(self, task: Task) -> dict[str, Any]:
        return {
            "step": task.clock.step, "record": self.record.next, "evaluate": self.evaluate.next,
            "checkpoint": self.checkpoint.next, "best": self.best,
            "best_step": self.best_step, "episodes": [list(item) for item in self.episodes],
            "sums": self.sums, "offsets": self.recorder.offsets(), "seconds": self.seconds_before + self.train_seconds,
        }

    def restore(self, task: Task, states: Mapping[str, Any], end: Mapping[str, Any] | None = None) -> None:
        """Put task and trainer back to a checkpoint, and cut the records back to where they were.

        ``end`` is run.json when the checkpoint is the end of a finished run: the evaluation at the
        end came after that checkpoint, and it stays.
        """
        own = states["trainer"]
        task.clock.step = own["step"]
        load_parts(task.parts(), states)
        self.record.next, self.evaluate.next, self.checkpoint.next = own["record"], own["evaluate"], own["checkpoint"]
        self.sums, self.seconds_before = own["sums"], own["seconds"]
        self.episodes.extend((item[0], item[1]) for item in own["episodes"])
        self.saved_at = own["step"]
        self.recorder.cut(own["offsets"] if end is None else end["offsets"])
        self.best, self.best_step = (own if end is None else end)["best"], (own if end is None else end)["best_step"]
        checkpoints = self.directory.checkpoints
        if self.best_step is not None and checkpoints.path(self.best_step).is_dir():
            checkpoints.link("best", self.best_step)  # a kill may have come between the checkpoint and the link


def load_parts(parts: Mapping[str, Saveable], states: Mapping[str, Any]) -> None:
    """Give every part its saved state."""
    for name, part in parts.items():
        if name not in states:
            raise ToolkitError(f"the checkpoint has no part {name!r}; it holds {', '.join(sorted(states))}")
        part.load_state_dict(states[name])


def parameters_sha256(parameters: Mapping[str, Tensor]) -> str:
    """SHA-256 over the names, shapes and bytes of all parameters, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(parameters):
        value = parameters[name].detach().cpu().contiguous()
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}\n".encode())
        digest.update(value.view(-1).numpy().tobytes())
    return digest.hexdigest()
