"""Every knob of a run that does not belong to its component."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.config import Part, parts, setting


@dataclass(frozen=True)
class RunConfig:
    """What every run has, whatever it trains."""

    steps: int = setting(100_000, "the budget, in the task's unit", unit="steps", minimum=1)
    seed: int = setting(0, "root of all random streams", minimum=0)
    device: str = setting("auto", "where to compute", choices=("auto", "cpu", "cuda"))
    threads: int = setting(1, "torch threads; small networks are fastest with one", unit="threads", minimum=1, maximum=1024)
    evaluate_every: int | None = setting(None, "steps between evaluations; none is a tenth of the budget, 0 never",
                                         unit="steps", minimum=0)
    checkpoint_every: int | None = setting(None, "steps between checkpoints; none is a tenth of the budget, 0 only the last",
                                           unit="steps", minimum=0)
    checkpoint_seconds: float = setting(120.0, "seconds between checkpoints, whatever the steps", unit="s", above=0)
    record_every: int | None = setting(None, "steps between lines of metrics; none is a hundredth of the budget",
                                       unit="steps", minimum=1)
    trackers: tuple[Part, ...] = parts("tracker", ("tensorboard",), "what keeps metrics, beside metrics.jsonl")


@dataclass(frozen=True)
class OnlineConfig:
    """What a run of an agent adds: its environment and how it is evaluated."""

    env: str | None = setting(None, "environment id, e.g. CartPole-v1")
    n_envs: int = setting(1, "copies of the environment", unit="copies", minimum=1, maximum=65_536)
    vectorization: str = setting("auto", "how the copies are stepped; auto takes the fastest exact one",
                                 choices=("auto", "in-process", "native", "workers", "sync", "async", "envpool"))
    workers: int = setting(0, "processes that step the copies; 0 steps them in this one", unit="processes", minimum=0)
    worker_timeout: float = setting(60.0, "a worker without an answer for so long is replaced", unit="s", above=0)
    max_episode_steps: int | None = setting(None, "cut episodes after so many steps; none keeps the environment's limit",
                                            unit="steps", minimum=1)
    frame_stack: int = setting(1, "how many of the last observations are seen at once", unit="observations", minimum=1,
                               maximum=1000)
    atari: bool = setting(False, "grey 84 x 84 pictures, every fourth frame, random starts; for ALE environments")
    evaluation_episodes: int = setting(10, "episodes of an evaluation during the run", unit="episodes", minimum=1)
    final_episodes: int = setting(100, "episodes of the evaluation at the end", unit="episodes", minimum=1)
