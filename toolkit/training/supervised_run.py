"""The run of a task, from Python: its answers, and what it is worth on held-out or other data."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from toolkit.core.base import Example
from toolkit.core.problem import Problem
from toolkit.errors import UsageError
from toolkit.registry import registry
from toolkit.training.data import TEST, TRAIN, VALIDATION, divide, require_same_data, to_judge
from toolkit.training.evaluation import Evaluation
from toolkit.training.resolve import Plan, data_place, options_of, plan_of, with_data_file, with_later
from toolkit.training.run_directory import RunDirectory, plain
from toolkit.training.supervised import Learner, summary_of


class RunFolder:
    """A run on the disk: its folder, and the facts about it. ``step`` names a checkpoint, None the final one.

    ``settings`` are in the place of the run's own, of those that it can be given `later`.
    """

    def __init__(self, directory: RunDirectory, step: int | None = None, settings: Mapping[str, Any] | None = None) -> None:
        self.directory, self.step, self.settings = directory, step, dict(settings or {})

    @property
    def path(self) -> Path:
        return self.directory.path

    @property
    def facts(self) -> dict[str, Any]:
        """The content of ``run.json``."""
        return self.directory.read()

    @cached_property
    def plan(self) -> Plan:
        """What was run, as `plan_of` reads it: it may warn, and once is enough."""
        return with_later(plan_of(self.facts), self.settings)

    @property
    def evaluation(self) -> Mapping[str, Any]:
        """The evaluation at the end of the run: ``{"mean_return", ...}`` of an agent, ``{"accuracy", ...}`` of a task."""
        return dict(self.facts.get("evaluation", {}))

    def keep(self, name: str, evaluation: Evaluation) -> None:
        """Write an evaluation of `step` to ``evaluations/``; one that cannot be written, as on a disk of others, is warned of.

        It took its time, and whoever asked for it has it all the same.
        """
        step = self.step if self.step is not None else self.directory.newest()
        try:
            self.directory.write_evaluation(f"{step}-{name}", {"step": step, **evaluation.summary, **evaluation.details})
        except OSError as error:
            warnings.warn(f"this evaluation is not kept: {self.path / 'evaluations'} cannot be written: "
                          f"{error.strerror or error}", stacklevel=3)


class TaskRun(RunFolder):
    """The run of a task on data: its model, what it answers, what it is worth."""

    _learner: Learner | None = None

    @property
    def learner(self) -> Learner:
        """Problem and model, as the checkpoint holds them."""
        if self._learner is None:
            from toolkit.training.learners import load_learner

            self._learner = load_learner(self.directory, self.step, self.plan)
            self._learner.problem.refuse_idle(self.settings)
        return self._learner

    def predict(self, value: Any, progress: Callable[[int], None] | None = None) -> Any:
        """The answer for one text or row, or a list of them for a list, or for a DataFrame's rows."""
        if hasattr(value, "to_dict") and hasattr(value, "columns"):
            value = value.to_dict("records")
        single = isinstance(value, (str, Mapping))
        found = self.learner.predict([value] if single else list(value), progress=progress)
        return found[0] if single else found

    def answers(self, values: Sequence[Any], progress: Callable[[int], None] | None = None) -> list[Any]:
        """An answer for each of ``values``, or for one that cannot be answered the ToolkitError that says why."""
        return self.learner.answers(values, progress)

    def generate(self, prompt: str = "", **options: Any) -> Any:
        """What the model goes on with after ``prompt``; see the options of ``toolkit generate``."""
        generate = getattr(self.learner.problem, "generate", None)
        if generate is None:
            raise UsageError(f"{self.path} is a run of {self.facts['name']}, which does not generate. "
                             "Ask it: toolkit predict RUN TEXT")
        return generate(self.learner.model, prompt, **options)

    def transcribe(self, waveform: Any, sample_rate: int, window: float = 20.0, stream: bool = False) -> Iterator[Any]:
        """What is said in ``waveform`` ([T] or [channels, T] in [-1, 1], or an iterable of such pieces), stretch by stretch.

        Yields `toolkit.audio.listening.Stretch` with text, words and their times (s), as soon as each is understood:
        ``window`` seconds are heard at a time, or, with ``stream`` and a model that streams, each word as it is said.
        Raises UsageError for the run of another task than speech-recognition.
        """
        from toolkit.audio import listening

        if not hasattr(self.learner.problem, "decode_ids"):
            raise UsageError(f"{self.path} is a run of {self.facts['name']}, which does not write down what is said. "
                             "Train one that does: toolkit run speech-recognition --data spoken-sentences")
        problem, model, sound = self.learner.problem, self.learner.model, self._sound(waveform, sample_rate)
        if stream and listening.can_follow(problem, model):
            return listening.follow(problem, model, sound)
        return listening.transcribe(problem, model, sound, window)

    def classify(self, waveform: Any, sample_rate: int, every: float | None = None) -> list[dict[str, Any]]:
        """An answer for ``waveform`` ([T] or [channels, T] in [-1, 1]), or for each ``every`` seconds of it.

        Raises UsageError for the run of a task that does not tell clips apart.
        """
        from toolkit.audio import listening

        if not hasattr(self.learner.problem, "ears") or hasattr(self.learner.problem, "decode_ids"):
            raise UsageError(f"{self.path} is a run of {self.facts['name']}, which does not tell sounds apart. "
                             "Train one that does: toolkit run audio-classification --data spoken-digits")
        return list(listening.classify(self.learner.problem, self.learner.model, self._sound(waveform, sample_rate), every))

    def _sound(self, waveform: Any, sample_rate: int) -> Iterator[Any]:
        """Mono pieces at the front end's rate."""
        from toolkit.audio import listening

        rate = getattr(self.learner.problem, "spec").sample_rate  # noqa: B009 (a problem of sound has one)
        return listening.at_rate(waveform, sample_rate, rate)

    def evaluate(self, data: str | None = None, skip_bad: bool = False) -> Evaluation:
        """Judge the model on the run's held-out splits, or on all of other ``data``; kept in ``evaluations/``.

        ``skip_bad``, of tasks that have this setting, leaves out what of other data cannot be used, and warns of it.
        """
        plan = self.plan
        if skip_bad and data is None:
            raise UsageError("--skip-bad goes with other data: of the run's own it would hold out another share than training "
                             "did. Allowed: toolkit evaluate RUN --data DATA --skip-bad")
        if data is None:
            require_same_data(plan, self.facts, "What a run held out is told by the data as it was: put that back, or judge this "
                                                "as other data: toolkit evaluate RUN --data {path}")
        splits = held_out(self.learner, plan) if data is None else all_of(self.learner, plan, data, skip_bad)
        judged = self.learner.judge(splits)
        main = next(name for name in (TEST, VALIDATION) if name in judged)
        settings = {name: plan.config.values[name] for name in self.settings}
        evaluation = Evaluation(judged[main].score, summary_of(judged, main), {},
                                {"split": main, "data": data or plan.subject, "settings": settings,
                                 "splits": {name: dict(item.details) for name, item in judged.items()}})
        self.keep(plain(Path(data).stem if data else plan.subject), evaluation)
        return evaluation


def held_out(learner: Learner, plan: Plan) -> dict[str, Sequence[Example]]:
    """The splits of the run's own data that it was not trained on."""
    part = options_of(plan.entry, plan.config)["data"]
    splits = divide(registry.make("dataset", part), learner.problem)
    return {name: examples for name, examples in splits.items() if name != TRAIN}


def all_of(learner: Learner, plan: Plan, data: str, skip_bad: bool = False) -> dict[str, Sequence[Example]]:
    """Other data: its split ``test`` where it has one, else everything in it."""
    settings = with_data_file({"data": data}, plan.entry)
    options = {"path": settings["data.path"]} if "data.path" in settings else {}
    own = options_of(plan.entry, plan.config)["data"]
    chosen = registry.part(data_place(plan.entry), settings["data"])
    if registry.get("dataset", own.name) == chosen:
        # How a file is read is as it was in training; how much of it was, is not.
        options = {**{name: value for name, value in own.options.items() if name != "limit"}, **options}
    with skipping(learner.problem, skip_bad):
        return to_judge(registry.make("dataset", chosen.id, **options), learner.problem)


@contextmanager
def skipping(problem: Problem[Any], wanted: bool) -> Iterator[None]:
    """The problem leaves out bad examples meanwhile, where that is ``wanted`` or its config says so."""
    config = problem.config
    if wanted:
        problem.config = replace(config, skip_bad=True)
    try:
        yield
    finally:
        problem.config = config
