"""OnlineTask: an agent, its environments and its buffer, as one unit of work for the trainer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import NamedTuple, Protocol

from torch import Tensor

from toolkit.agents.base import Agent, Buffer, Steps
from toolkit.core.clock import Clock
from toolkit.core.seeding import Streams, TorchGenerator
from toolkit.core.state import Saveable
from toolkit.envs.base import EnvSpec, VectorEnv
from toolkit.errors import ToolkitError
from toolkit.training.collector import Collector, Episode
from toolkit.training.evaluation import Evaluation, evaluate_agent


class Report(NamedTuple):
    """What one unit of work did."""

    units: int
    metrics: Mapping[str, float]
    episodes: Sequence[Episode] = ()


class Task(Protocol):
    """One unit of work at a time. ``clock`` is the run's position, moved by `advance`."""

    unit: str
    clock: Clock

    @property
    def seconds(self) -> Mapping[str, float]:
        """Where the time went so far, by activity."""

    def advance(self, should_stop: Callable[[], bool] = bool) -> Report:
        """Do one unit of work: collect and update, or batch and step.

        A long one polls ``should_stop``; told to stop, it does none: all is as before it, its report has no units.
        """

    def evaluate(self, final: bool, should_stop: Callable[[], bool] = bool) -> Evaluation:
        """Judge the current parameters; ``final`` is the thorough evaluation at the end."""

    def parts(self) -> Mapping[str, Saveable]:
        """Everything that must be saved to continue exactly, by name."""

    def parameters(self) -> Mapping[str, Tensor]:
        """The learned parameters; their hash is the run's ``parameters_sha256``."""

    def close(self) -> None: ...


class Broken(ToolkitError):
    """A task that cannot go on although its state is sound: the trainer saves it and stops."""


class OnlineTask:
    """Collect, store, update, at the cadence that the agent declares."""

    unit = "env steps"

    def __init__(self, agent: Agent, envs: VectorEnv, buffer: Buffer, clock: Clock, evaluator: AgentEvaluator) -> None:
        self.agent, self.envs, self.buffer, self.clock = agent, envs, buffer, clock
        self.collector = Collector(envs, agent, clock)
        self.evaluator = evaluator
        self._observe: Callable[[Steps], None] | None = getattr(agent, "observe", None)
        self._rows = max(1, agent.cadence.collect // envs.n_envs)
        self._own_seconds = {"storing": 0.0, "learning": 0.0}

    @property
    def seconds(self) -> Mapping[str, float]:
        return {**self.collector.seconds, **self._own_seconds}

    def advance(self, should_stop: Callable[[], bool] = bool) -> Report:
        before = self.clock.step
        steps, episodes = self.collector.collect(self._rows)
        if self.collector.failure is not None and not len(steps.rewards):
            raise Broken(str(self.collector.failure)) from self.collector.failure
        begin = perf_counter()
        if self._observe is not None:
            self._observe(steps)
        self.buffer.add(steps)
        self._own_seconds["storing"] += perf_counter() - begin
        cadence = self.agent.cadence
        updates = steps.count if cadence.updates < 0 else cadence.updates
        metrics: Mapping[str, float] = {}
        if self.clock.step > cadence.warm_up and len(self.buffer) and updates:
            metrics = self._learn(updates)
        lost = getattr(self.envs, "lost_episodes", 0)
        if lost:
            metrics = {**metrics, "rollout/lost_episodes": lost}
        return Report(self.clock.step - before, metrics, episodes)

    def _learn(self, updates: int) -> Mapping[str, float]:
        metrics: Mapping[str, float] = {}
        mark = perf_counter()
        for batches in self.buffer.batches(updates, self.agent.cadence.batch_size):
            gathered = perf_counter()
            updated = self.agent.update(batches)
            if updated.priorities is not None:
                self.buffer.prioritize(batches, updated.priorities)
            self._own_seconds["storing"] += gathered - mark
            mark = perf_counter()
            self._own_seconds["learning"] += mark - gathered
            metrics = updated.metrics
        return metrics

    def evaluate(self, final: bool, should_stop: Callable[[], bool] = bool) -> Evaluation:
        return self.evaluator(self.agent, final, should_stop)

    def parts(self) -> Mapping[str, Saveable]:
        return {"agent": self.agent, "buffer": self.buffer, "collector": self.collector, "torch": TorchGenerator()}

    def parameters(self) -> Mapping[str, Tensor]:
        return self.agent.parameters()

    def close(self) -> None:
        self.envs.close()


class AgentEvaluator:
    """Evaluates an agent during a run: the same seeds each time, other seeds than training's."""

    def __init__(self, spec: EnvSpec, seed: int, episodes: int, final_episodes: int) -> None:
        self.spec, self.seed = spec, seed
        self.episodes, self.final_episodes = episodes, final_episodes

    def __call__(self, agent: Agent, final: bool, should_stop: Callable[[], bool] = bool) -> Evaluation:
        return evaluate_agent(agent, self.spec, self.final_episodes if final else self.episodes, self.seed, should_stop)


def evaluation_seed(root: int) -> int:
    """The seed of the evaluations of a run whose seed is ``root``; never a training seed."""
    return Streams(root).seed("evaluations of the run")

