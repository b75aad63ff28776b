"""What data sets and tasks on data promise (`toolkit.core.base.Dataset`, `toolkit.core.problem.Problem`)."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from toolkit.config import flatten
from toolkit.core import state as states
from toolkit.core.splits import PROMISED, misfit, target_of
from toolkit.errors import ToolkitError
from toolkit.registry import registry
from toolkit.testing.agents import advance
from toolkit.testing.gpu import gpu
from toolkit.testing.suite import NotPromised, Suite, require
from toolkit.training import resolve, setup
from toolkit.training.data import TRAIN
from toolkit.training.supervised import Learner, SupervisedTask
from toolkit.training.trainer import parameters_sha256

# Data that a task is tried on which says of none that it accepts it: numbers, classes, texts, tags.
TRIALS = ("diabetes", "iris", "template-reviews", "bracket-tagging")
SMALL: dict[str, Any] = {"batch_size": 8, "model.hidden_sizes": (16,)}


class DatasetSuite(Suite):
    """A data set's promises."""

    kind = "dataset"

    def dataset(self) -> Any:
        needed = [item.name for item in self.entry.settings if item.name == "path" and not self.options.get("path")]
        if needed and self.entry.accepts:
            raise NotPromised(f"it reads files ({', '.join(self.entry.accepts)}); set options['path'] to one")
        return self.make()

    def splits(self) -> Any:
        splits = self.dataset().splits()
        wrong = misfit(splits)
        require(not wrong, f"its splits() {wrong}, {PROMISED}")
        return splits

    def test_it_has_examples_to_train_on(self) -> None:
        """Its splits by name hold examples, all mappings with names, and ``train`` is not empty."""
        splits = self.splits()
        require(TRAIN in splits, f"it has no split 'train'; it has {', '.join(splits) or 'none'}")
        require(len(splits[TRAIN]), "its split 'train' is empty")
        for name, examples in splits.items():
            for example in (examples[place] for place in range(min(3, len(examples)))):
                require(isinstance(example, Mapping) and all(isinstance(key, str) for key in example),
                        f"an example of {name!r} is a {type(example).__name__}, promised: a mapping with names")

    def test_the_same_options_give_the_same_examples(self) -> None:
        """Made twice, it gives the same examples in the same order."""
        one, other = self.splits(), self.splits()
        require(list(one) == list(other), f"made twice, it has the splits {list(one)} and {list(other)}")
        for name in one:
            require(len(one[name]) == len(other[name]), f"made twice, {name!r} has {len(one[name])} and {len(other[name])} "
                                                        "examples")
            for place in {0, len(one[name]) // 2, len(one[name]) - 1} if len(one[name]) else ():
                require(same(one[name][place], other[name][place]), f"made twice, example {place} of {name!r} differs")

    def test_its_target_is_there(self) -> None:
        """The name that ``target`` says is in every example of ``train``."""
        target = target_of(self.dataset())
        if target is None:
            raise NotPromised("it names no target")
        examples = self.splits()[TRAIN]
        for place in range(min(50, len(examples))):
            require(target in examples[place], f"example {place} has no {target!r}, which is its target")


class TaskSuite(Suite):
    """A task's promises. ``data`` names what it is tried on.

    By default that is the first data set that it accepts, or the first of `TRIALS` that it can be made for.
    """

    kind = "task"
    data = ""
    steps = 400  # in the task's unit

    def task(self, facts: Mapping[str, Any] | None = None, device: str = "cpu") -> SupervisedTask:
        """A small run of the task, ready to be advanced; with the problem's ``facts`` of another run, or its own."""
        task = setup.make_task(self.plan(device), saved=facts)
        assert isinstance(task, SupervisedTask)
        return task

    def plan(self, device: str = "cpu") -> resolve.Plan:
        table: dict[str, Any] = {"data": self.chosen_data, "steps": self.steps, "device": device, **flatten(self.options)}
        known = resolve.all_settings(self.entry, resolve.with_data_file(table, self.entry))
        table = {**{name: value for name, value in SMALL.items() if name in known}, **table}
        return resolve.plan(self.entry, table, preset="none")

    @property
    def chosen_data(self) -> str:
        if self.data:
            return self.data
        return self.entry.accepts[0] if self.entry.accepts else self._fitting_data

    @functools.cached_property
    def _fitting_data(self) -> str:
        reasons = []
        for name in TRIALS:
            suite = type(self)()
            suite.name, suite.options, suite.data = self.name, self.options, name
            try:
                suite.task().close()
                return name
            except (ToolkitError, LookupError) as error:  # for data of another kind, or it needs what is not installed
                reasons.append(f"{name}: {type(error).__name__}: {error}")
        raise NotPromised("it declares no data set that it accepts and fits none of the small ones; set data to the name of one. "
                          + "; ".join(reasons))

    def test_training_moves_the_parameters_and_stays_finite(self) -> None:
        """Training moves the parameters; they and all metrics are finite."""
        task = self.task()
        before = {name: value.clone() for name, value in task.parameters().items()}
        require(before, "its model has no parameters to learn")
        while task.clock.remaining:
            report = task.advance()
            require(report.units > 0, "advance() counts no units: the run would never end")
            for name, value in report.metrics.items():
                require(math.isfinite(value), f"the metric {name!r} is {value} at step {task.clock.step}")
        after = task.parameters()
        require(any(not torch.equal(before[name], after[name]) for name in before),
                f"the parameters did not move in {task.clock.step} steps")
        require(all(bool(value.isfinite().all()) for value in after.values()), "a parameter is not finite after training")

    def test_evaluating_it_repeats(self) -> None:
        """The same parameters give the same finite score, and metrics by plain names."""
        task = self.task()
        one, other = task.evaluate(False), task.evaluate(False)
        require(math.isfinite(one.score), f"its score is {one.score}")
        require(dict(one.summary) == dict(other.summary), f"evaluated twice, it found {dict(one.summary)} and "
                                                          f"{dict(other.summary)}")

    def test_resumed_it_goes_on_exactly(self) -> None:
        """A run that is saved and loaded half-way ends with the same parameters as one that is not."""
        self._goes_on_exactly("cpu")

    def test_on_a_gpu_it_resumes_exactly(self) -> None:
        """On a GPU, too, a run that is saved and loaded half-way ends as one that is not."""
        self._goes_on_exactly(gpu().type)

    def _goes_on_exactly(self, device: str) -> None:
        if "resume" in self.entry.cannot:
            raise NotPromised(f"resume: {self.entry.cannot['resume']}")
        # One after the other: dropout draws from torch's default generator, which making a task seeds.
        first = self.task(device=device)
        advance(first, self.steps // 2)
        kept = {name: states.split(part.state_dict()) for name, part in first.parts().items()}
        loaded = {name: states.join(tensors, json.loads(json.dumps(skeleton))) for name, (tensors, skeleton) in kept.items()}
        whole = self.task(loaded["problem"], device)
        advance(whole, self.steps)
        second = self.task(loaded["problem"], device)
        second.clock.step = first.clock.step
        for name, part in second.parts().items():
            part.load_state_dict(loaded[name])
        advance(second, self.steps)
        require(parameters_sha256(whole.parameters()) == parameters_sha256(second.parameters()),
                f"saved and loaded at step {first.clock.step}, the run ends with other parameters than without: something of the "
                "problem's facts, the order of examples or a random draw is not restored")

    def test_it_answers_for_each_example(self) -> None:
        """A model restored from a checkpoint gives one answer an example, as JSON values, whatever their order."""
        task = self.task()
        advance(task, self.steps)
        self._answers(task, torch.device("cpu"))

    def test_on_a_gpu_it_trains_and_answers(self) -> None:
        """On a GPU it trains to finite metrics, and its checkpoint answers there and on the CPU."""
        device = gpu()
        task = self.task(device="cuda")
        places = {value.device.type for value in task.parameters().values()}
        require(places == {"cuda"}, f"its parameters are on {', '.join(sorted(places))}, asked for: cuda")
        while task.clock.remaining:
            for name, value in task.advance().metrics.items():
                require(math.isfinite(value), f"the metric {name!r} is {value} at step {task.clock.step} on the GPU")
        require(math.isfinite(task.evaluate(True).score), "its score on the GPU is not finite")
        for place in (device, torch.device("cpu")):
            self._answers(task, place)

    def _answers(self, task: SupervisedTask, device: torch.device) -> None:
        saved = {name: task.parts()[name].state_dict() for name in ("problem", "model")}
        tensors, skeleton = states.split(saved)
        options = resolve.options_of(self.entry, self.plan().config)
        loaded = states.join(tensors, json.loads(json.dumps(skeleton)))
        learner = Learner.load(self.entry.id, options, loaded, device)
        part = options["data"]
        train = registry.make("dataset", part).splits()[TRAIN]
        examples = [train[place] for place in range(min(5, len(train)))]
        answers = learner.predict(examples)
        require(len(answers) == len(examples), f"{len(examples)} examples got {len(answers)} answers")
        json.dumps(answers)
        backwards = learner.predict(examples[::-1])[::-1]
        for place, (one, other) in enumerate(zip(answers, backwards)):
            require(alike(one, other), f"example {place} gets {one} and, asked in another order, {other}")


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two examples are equal, arrays and tensors included."""
    return one.keys() == other.keys() and all(np.array_equal(np.asarray(one[key]), np.asarray(other[key])) for key in one)


def alike(one: Any, other: Any) -> bool:
    """Whether two answers are equal, numbers within a rounding of sums."""
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(alike, one, other))
    return math.isclose(one, other, rel_tol=1e-3, abs_tol=1e-4) if isinstance(one, float) else bool(one == other)
