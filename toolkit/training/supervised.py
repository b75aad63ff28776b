"""SupervisedTask: data set -> batches -> front end -> model -> loss -> optimizer, as one unit of work.

Task      what `toolkit run` trains; it drives a `toolkit.core.problem.Problem`
Learner   problem and model of a finished run: answers, and judges other data
"""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from toolkit.agents.checks import NonFinite
from toolkit.config import Part, flag_of
from toolkit.core.base import Dataset, Example
from toolkit.core.batching import plain_batches
from toolkit.core.clock import Clock
from toolkit.core.problem import Batch, Encoded, Judged, Problem, run_model
from toolkit.core.seeding import Streams, TorchGenerator
from toolkit.core.state import Saveable
from toolkit.core.torch_optimizers import OptimizerState, make_optimizer, set_learning_rate
from toolkit.entries import resolve
from toolkit.errors import ToolkitError, UsageError
from toolkit.registry import registry
from toolkit.training.data import TEST, TRAIN, VALIDATION, Loader, divide
from toolkit.training.evaluation import Evaluation, EvaluationStopped
from toolkit.training.misfit import fitting
from toolkit.training.tasks import Report

ASKED = 1024  # values that are encoded at a time: enough to put like lengths into one batch
Stop = Callable[[], bool]
Facts = Mapping[str, Any] | None


class Moved(NamedTuple):
    """What the batches of one step change before it."""

    loader: dict[str, Any]
    generator: dict[str, Any]
    buffers: list[Tensor]


class SupervisedTask:
    """Batches, gradients and steps of one problem on one data set."""

    data_fingerprint: str | None = None  # of a run that begins, where its data says one

    def __init__(self, problem: Problem[Any], model: nn.Module, splits: Mapping[str, Encoded], clock: Clock,
                 streams: Streams, device: torch.device) -> None:
        self.problem, self.model, self.clock, self.streams, self.device = problem, model.to(device), clock, streams, device
        self.config = problem.config
        self.unit = problem.unit
        problem.move(device)
        self.splits = splits
        self.trained = list(problem.parameter_groups(model))
        if not self.trained:
            part = getattr(self.config, "model", None)
            name = part.name if isinstance(part, Part) else type(model).__name__
            frozen = any(True for _ in model.parameters())
            why = "all its parameters() are frozen (requires_grad is False)" if frozen else "its parameters() are empty"
            advice = "Leave those that should learn as they are" if frozen else "Make its layers in __init__, as attributes"
            raise UsageError(f"the model {name!r} has no parameters to learn: {why}, promised: a module that learns. {advice}; "
                             f"see: toolkit check model {name}")
        self.loader = Loader(problem, splits[TRAIN], self.config, streams)
        self.optimizer = make_optimizer(self.config.optimizer, self.trained, self.config.learning_rate)
        self.schedule = registry.make("scheduler", self.config.scheduler)
        self._asks_scores = "scores" in inspect.signature(self.schedule).parameters
        self.scores: list[float] = []  # of the evaluations during the run, in order
        self.stopped = 0  # the budget that `patience` has cut short, if it has
        self.after_training: Callable[[Stop], Mapping[str, float]] | None = None  # more to judge at the end: folds
        self._seconds = {"data": 0.0, "training": 0.0}
        self._place = ""  # of the batch at hand, for messages
        self.model.train()

    @property
    def seconds(self) -> Mapping[str, float]:
        return self._seconds

    # -- one step

    def advance(self, should_stop: Stop = bool) -> Report:
        """One optimizer step, over ``accumulate`` batches, or those that the budget has left.

        Told to stop between two batches, it forgets the first ones: everything is as it was before.
        """
        if not self.clock.remaining:
            return Report(0, {})  # stopped early by the evaluation just before
        rate = self.config.learning_rate * self._factor()
        set_learning_rate(self.optimizer, rate)
        self.problem.schedule(self.model, self.clock.fraction)
        before = self._moved_by_batches() if self.config.accumulate > 1 else None
        losses: list[float] = []
        units = 0
        while len(losses) < self.config.accumulate and units < self.clock.remaining:
            if before is not None and should_stop():
                self._put_back(before)
                return Report(0, {})
            loss, count = self._backward()
            losses.append(loss)
            units += count
        if len(losses) < self.config.accumulate:
            self._scale_gradients(self.config.accumulate / len(losses))
        norm = self._step()
        self.clock.step += units
        return Report(units, {"train/loss": sum(losses) / len(losses), "train/grad_norm": norm, "train/learning_rate": rate})

    def _moved_by_batches(self) -> Moved:
        """A copy of what batches change before the step: the loader's place, random numbers, buffers (batch norm's)."""
        return Moved(self.loader.state_dict(), TorchGenerator().state_dict(),
                     [value.detach().clone() for value in self.model.buffers()])

    def _put_back(self, before: Moved) -> None:
        self.loader.load_state_dict(before.loader)
        TorchGenerator().load_state_dict(before.generator)
        for value, kept in zip(self.model.buffers(), before.buffers, strict=True):
            value.copy_(kept)
        self.optimizer.zero_grad(set_to_none=True)

    def _scale_gradients(self, factor: float) -> None:
        for value in self.trained:
            if value.grad is not None:
                value.grad.mul_(factor)

    def _factor(self) -> float:
        fraction = self.clock.fraction
        return float(self.schedule(fraction, scores=self.scores) if self._asks_scores else self.schedule(fraction))

    def _next(self) -> tuple[Batch, int]:
        """The next training batch and the units it counts."""
        begin = perf_counter()
        loaded = self.loader.next()
        batch = loaded.batch.to(self.device)
        self._place = f"epoch {loaded.epoch}, batch {loaded.number}"
        self._seconds["data"] += perf_counter() - begin
        return batch, loaded.units

    def _backward(self) -> tuple[float, int]:
        """Gradients of one batch are added; its loss, and the units it counts."""
        batch, units = self._next()
        ready = perf_counter()
        with autocast(self.config.precision, self.device):
            outputs, lengths, batch = run_model(self.problem, self.model, batch)
            loss = self.problem.loss(outputs, lengths, batch)
        value = float(loss.detach())
        if value != value or value in (float("inf"), float("-inf")):
            raise NonFinite(f"the loss is {value} at step {self.clock.step} ({self._place}); "
                            "nothing was learned from this batch. Try a smaller --learning-rate")
        (loss / self.config.accumulate).backward()
        self._seconds["training"] += perf_counter() - ready
        return value, units

    def _step(self) -> float:
        """Clip, step, forget the gradients; returns the norm before clipping."""
        begin = perf_counter()
        limit = self.config.max_grad_norm
        norm = float(nn.utils.clip_grad_norm_(self.trained, limit if limit is not None else float("inf")))
        if norm != norm or norm == float("inf"):
            raise NonFinite(f"the gradient is {norm} at step {self.clock.step}; the parameters are as before it. "
                            "Try a smaller --learning-rate")
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self._seconds["training"] += perf_counter() - begin
        return norm

    # -- evaluation

    def evaluate(self, final: bool, should_stop: Stop = bool) -> Evaluation:
        """Judge the held-out split; at the end ``test``, where the data has it, and all others beside it.

        The score is always ``validation``'s, so that ``best`` compares like with like.
        """
        others = [name for name in self.splits if name not in (TRAIN, VALIDATION)] if final else []
        judged = {name: judge(self.problem, self.model, self.splits[name], self.device, should_stop)
                  for name in (VALIDATION, *others)}
        main = TEST if TEST in judged else VALIDATION
        more = self.after_training(should_stop) if final and self.after_training else {}
        if not final:
            self._consider_stopping(judged[VALIDATION].score)
        summary = {**summary_of(judged, main), **more}
        return Evaluation(
            score=judged[VALIDATION].score, summary=summary,
            metrics={f"eval/{name}": value for name, value in summary.items() if isinstance(value, (int, float))},
            details={"split": main, "splits": {name: dict(item.details) for name, item in judged.items()}},
            sounds=judged[main].sounds)

    def _consider_stopping(self, score: float) -> None:
        self.scores.append(score)
        best = max(range(len(self.scores)), key=lambda place: (not math.isnan(self.scores[place]), self.scores[place]))
        if self.config.patience is not None and len(self.scores) - 1 - best >= self.config.patience:
            self.stopped, self.clock.budget = self.clock.budget, self.clock.step

    # -- state

    def parts(self) -> Mapping[str, Saveable]:
        return {"model": ModuleState(self.model), "problem": ProblemFacts(self.problem), "loader": self.loader,
                "optimizer": OptimizerState(self.optimizer), "progress": Progress(self), "torch": TorchGenerator()}

    def parameters(self) -> Mapping[str, Tensor]:
        return {name: value.detach() for name, value in self.model.named_parameters()}

    def initialise(self, states: Mapping[str, Any]) -> None:
        """Take over the parameters of another run, or those below the head where the heads differ.

        Raises RuntimeError or KeyError when they do not fit, UsageError when they fit and the outputs mean others.
        """
        take_body, others = getattr(self.model, "take_body", None), self.problem.other_outputs
        own = self.model.state_dict()
        same = own.keys() == states["model"].keys() and all(own[name].shape == states["model"][name].shape for name in own)
        if take_body is not None and (others or not same):
            take_body(states["model"])
        elif others:
            raise UsageError(f"--init-from: {others}: what it learned of one class would be taken for another. Name the classes "
                             "as there, or leave out --init-from")
        else:
            self.model.load_state_dict(states["model"])

    def close(self) -> None:
        self.loader.close()


class ModuleState:
    """A module's parameters and buffers as a part of a checkpoint."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def state_dict(self) -> dict[str, Any]:
        return dict(self.module.state_dict())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.module.load_state_dict(state)


class ProblemFacts:
    """What a problem learned from its training examples, as a part of a checkpoint."""

    def __init__(self, problem: Problem[Any]) -> None:
        self.problem = problem

    def state_dict(self) -> dict[str, Any]:
        return self.problem.facts()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.problem.restore(state)


class Progress:
    """The scores so far, and the budget that they have cut short, if they have."""

    def __init__(self, task: SupervisedTask) -> None:
        self.task = task

    def state_dict(self) -> dict[str, Any]:
        return {"scores": list(self.task.scores), "stopped": self.task.stopped}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.task.scores = list(state["scores"])
        stopped = state["stopped"]
        if stopped is True:  # runs of earlier versions say no more
            stopped = self.task.clock.budget if self.task.config.patience is not None else 0
        if stopped and stopped == self.task.clock.budget:  # a run that was given more since goes on
            self.task.stopped, self.task.clock.budget = stopped, self.task.clock.step


def autocast(precision: str, device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Dropout and the like are off, no gradients are kept; training goes on afterwards where it did before."""
    were = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(were)


def judge(problem: Problem[Any], model: nn.Module, encoded: Encoded, device: torch.device, should_stop: Stop = bool) -> Judged:
    """What the model does on a split. Raises EvaluationStopped when told to stop."""
    tally = problem.tally()
    config = problem.config
    encoded = problem.evaluated(encoded)
    with evaluating(model), autocast(config.precision, device):
        for indices in plain_batches(problem.sizes(encoded), problem.evaluation_batch_size, config.batch_length):
            if should_stop():
                raise EvaluationStopped
            batch = problem.fixed(problem.collate(encoded, indices)).to(device)
            outputs, lengths, batch = run_model(problem, model, batch)
            tally.add(outputs, lengths, batch)
    return problem.judged(tally)


def summary_of(judged: Mapping[str, Judged], main: str) -> dict[str, Any]:
    """The metrics of ``main``, which ``split`` names, by plain names, those of the other splits as ``name/split``."""
    summary: dict[str, Any] = {"split": main, **judged[main].metrics}
    for split, item in judged.items():
        if split != main:
            summary.update({f"{name}/{split}": value for name, value in item.metrics.items()})
    return summary


# -- making


def make_supervised(name: str, options: Mapping[str, Any], dataset: Dataset, clock: Clock, streams: Streams,
                    device: torch.device, saved: Facts = None, inherited: Facts = None) -> SupervisedTask:
    """The task ``name`` on ``dataset``, freshly initialised; ``clock`` gets its budget from the caller.

    ``saved`` are the problem's facts of the run that is resumed, ``inherited`` those of another run
    whose parameters are to be taken over.
    """
    problem: Problem[Any] = registry.make("task", name, **options)
    if inherited is not None:
        problem.inherit(inherited)
    return assemble(problem, divide(dataset, problem, begins=saved is None), clock, streams, device, saved)


def assemble(problem: Problem[Any], splits: Mapping[str, Sequence[Example]], clock: Clock, streams: Streams,
             device: torch.device, saved: Facts = None) -> SupervisedTask:
    """A task from a problem and the examples of its splits."""
    learned = problem.learned_from(splits[TRAIN], streams.generator("examples", problem.config.split_seed))
    splits = {**splits, TRAIN: learned}
    if saved is None:
        problem.fit(splits[TRAIN])
    else:
        problem.restore(saved)
    torch.manual_seed(streams.seed("model"))
    model = problem.build()
    encoded = {split: problem.encode(examples) for split, examples in splits.items()}
    require_positions(problem, model, encoded)
    made: SupervisedTask = resolve(problem.driver)(problem, model, encoded, clock, streams, device)
    return made


def require_positions(problem: Problem[Any], model: nn.Module, splits: Mapping[str, Encoded]) -> None:
    """Raise UsageError where an example has more positions than the model says it has ``room`` for: training would meet it."""
    room: int | None = getattr(model, "room", None)
    if room is None:
        return
    needed = {split: int(problem.positions(encoded).max(initial=0)) for split, encoded in splits.items()}
    split = max(needed, key=lambda name: needed[name])
    most, cut, part = needed[split], problem.cut_by, getattr(problem.config, "model", None)
    if most <= room:
        return
    ways = [f"{flag_of(cut)} of at most {room} (it is {getattr(problem.config, cut)})"] if cut else []
    own = registry.get("model", part.name).settings if isinstance(part, Part) else ()
    ways += [f"{flag_of('model.longest')} of at least {most} (it is {room})" for item in own if item.name == "longest"]
    raise UsageError(f"an example of {split} has {most} positions, and the model has room for {room}. "
                     f"Allowed: {', or '.join(ways) or 'shorter examples'}")


class Learner:
    """Problem and model as a checkpoint holds them: for answers, and for judging other data."""

    def __init__(self, problem: Problem[Any], model: nn.Module, device: torch.device) -> None:
        self.problem, self.model, self.device = problem, model.to(device).eval(), device
        problem.move(device)

    @classmethod
    def load(cls, name: str, options: Mapping[str, Any], states: Mapping[str, Any], device: torch.device) -> Learner:
        problem: Problem[Any] = registry.make("task", name, **options)
        problem.restore(states["problem"])
        model = problem.build()
        with fitting(states["model"], model.state_dict, lambda: dict(model.named_parameters())):
            model.load_state_dict(states["model"])
        learner = cls(problem, model, device)
        problem.settle(learner.model)
        return learner

    def predict(self, values: Sequence[Any], batch_size: int = 64, progress: Callable[[int], None] | None = None) -> list[Any]:
        """One answer for each value (a text, a row, a path), in their order."""
        self.problem.require_answers()
        if not len(values):
            return []
        examples = [self.problem.as_example(value) for value in values]
        encoded = self.problem.encode(examples, targets=False)
        found: dict[int, Any] = {}
        with evaluating(self.model):
            for indices in plain_batches(self.problem.sizes(encoded), batch_size, self.problem.config.batch_length):
                batch = self.problem.collate(encoded, indices).to(self.device)
                found.update(zip((int(index) for index in indices), self.problem.predict(self.model, batch), strict=True))
                if progress:
                    progress(len(indices))
        return [found[index] for index in range(len(values))]

    def answers(self, values: Sequence[Any], progress: Callable[[int], None] | None = None) -> list[Any]:
        """An answer for each value, or the error that says why it has none; a value may be such an error already.

        Raises UsageError for a run that has no answers.
        """
        self.problem.require_answers()
        good = [value for value in values if not isinstance(value, ToolkitError)]
        parts = (self._answers(good[start:start + ASKED], progress) for start in range(0, len(good), ASKED))
        found = itertools.chain.from_iterable(parts)
        return [value if isinstance(value, ToolkitError) else next(found) for value in values]

    def _answers(self, values: Sequence[Any], progress: Callable[[int], None] | None) -> list[Any]:
        """Answers for all values at once, or where one has none for each half of them: a few bad ones cost little."""
        try:
            return self.predict(values, progress=progress)
        except ToolkitError as error:
            if len(values) == 1:
                return [error]
        middle = len(values) // 2
        return [*self._answers(values[:middle], progress), *self._answers(values[middle:], progress)]

    def judge(self, splits: Mapping[str, Sequence[Example]]) -> dict[str, Judged]:
        """What the model does on each split."""
        return {name: judge(self.problem, self.model, self.problem.encode(examples), self.device)
                for name, examples in splits.items() if len(examples)}
