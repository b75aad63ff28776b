"""Evaluation of a policy: its own environments and seeds, an even quota of episodes for each.

An even quota avoids the bias towards short episodes that "the first N to finish" has.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any

import numpy as np

from toolkit.agents.base import Agent, Array
from toolkit.agents.checks import NonFinite
from toolkit.agents.perception import perceived
from toolkit.core.seeding import Streams
from toolkit.envs import factory, specs
from toolkit.envs.base import EnvSpec, VectorEnv
from toolkit.envs.masks import heeded
from toolkit.training.collector import all_finite, fresh_where_ended

MAX_COPIES = 20
# What a policy does in an environment without a limit of steps may have no end, and an evaluation has to have one.
UNLIMITED_STEPS, LONG_SECONDS = 10_000, 60.0
ALE_LIMIT = "max_num_frames_per_episode"  # by which the games of ALE have a limit of their own


class EvaluationStopped(Exception):
    """The evaluation was told to stop before it was complete; it leaves nothing behind."""


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    score    one number, higher is better; decides which checkpoint is the best
    summary  what the command line prints
    metrics  what goes to metrics.jsonl
    details  what else goes to the file in ``evaluations/``
    sounds   what goes to ``samples/``: by name, a waveform [T] in [-1, 1] and its rate (Hz)
    """

    score: float
    summary: Mapping[str, Any]
    metrics: Mapping[str, float]
    details: Mapping[str, Any] = field(default_factory=dict)
    sounds: Mapping[str, tuple[Any, int]] = field(default_factory=dict)


class Watch:
    """Says once of episodes that are cut for want of a limit that the first of them takes long."""

    def __init__(self, name: str) -> None:
        self.name, self.said = name, False
        self.ended()

    def ended(self) -> None:
        """An episode that counts has ended."""
        self.steps, self.since = 0, monotonic()

    def stepped(self) -> None:
        """Every copy has taken a step."""
        self.steps += 1
        if not self.said and monotonic() - self.since > LONG_SECONDS:
            self.said = True
            warnings.warn(f"no episode of the evaluation has ended in {LONG_SECONDS:.0f} s ({self.steps:,} steps), and "
                          f"environment {self.name!r} has no limit of steps. Each is cut after {UNLIMITED_STEPS:,}; sooner "
                          "with --max-episode-steps N", stacklevel=2)


def with_limit(spec: EnvSpec) -> tuple[EnvSpec, Watch | None]:
    """``spec`` with a limit of the steps of its episodes, and the watch over them where it had none."""
    found = specs.find(spec.id)
    if spec.max_episode_steps or found.max_episode_steps or ALE_LIMIT in found.kwargs:
        return spec, None
    return replace(spec, max_episode_steps=UNLIMITED_STEPS), Watch(spec.id)


def evaluate_agent(agent: Agent, spec: EnvSpec, episodes: int, seed: int, should_stop: Callable[[], bool] = bool) -> Evaluation:
    """Returns of ``episodes`` episodes with deterministic actions, on seeds derived from ``seed``.

    Where the environment has no limit of steps, they are cut after `UNLIMITED_STEPS`, with a warning.
    """
    copies = min(episodes, MAX_COPIES)
    streams = Streams(seed)
    seeds = [streams.seed("evaluation", index) for index in range(copies)]
    spec, watch = with_limit(spec)
    envs = perceived(factory.make(spec, seeds), agent)
    try:
        quotas = np.array([(episodes + index) // copies for index in range(copies)])
        returns, lengths, measures = play(agent, envs, quotas, should_stop, watch)
    finally:
        envs.close()
    cut = sum(length >= UNLIMITED_STEPS for length in lengths) if watch else 0
    if cut:
        warnings.warn(f"environment {spec.id!r} has no limit of steps, and episodes of the evaluation had no end: they were cut "
                      f"after {UNLIMITED_STEPS:,}. Another limit: --max-episode-steps N, of toolkit run and toolkit evaluate",
                      stacklevel=2)
    mean, spread = float(np.mean(returns)), float(np.std(returns))
    return Evaluation(
        score=mean,
        summary={"mean_return": mean, "std_return": spread, "episodes": episodes, "returns": returns, **measures},
        metrics={"eval/mean_reward": mean, "eval/std_reward": spread, "eval/mean_ep_length": float(np.mean(lengths)),
                 **{f"eval/{name}": value for name, value in measures.items()}},
        details={"env": spec.id, "env_options": dict(spec.options), "lengths": lengths, "seed": seed, "env_seeds": seeds,
                 "cut_episodes": cut},
    )


def require_finite(envs: VectorEnv, observations: Array, counting: Array, steps: Array) -> None:
    """Raise NonFinite for an observation of a copy that is ``counting`` [N], of which the policy could make nothing."""
    for index in np.flatnonzero(counting):
        if not all_finite(envs.observation_space, observations[index]):
            raise NonFinite(f"an observation of the evaluation is not finite, from copy {index} of the environment at step "
                            f"{steps[index]} of an episode. Mend the environment's observations")


def require_finite_rewards(rewards: Array, counting: Array, steps: Array) -> None:
    """Raise NonFinite for a reward of a copy that is ``counting`` [N], with which no return is a number."""
    for index in np.flatnonzero(counting & ~np.isfinite(rewards)):
        raise NonFinite(f"the reward is not finite ({rewards[index]}) in the evaluation, from copy {index} of the environment at "
                        f"step {steps[index] + 1} of an episode. Mend the environment's reward")


def play(agent: Agent, envs: VectorEnv, quotas: np.ndarray[Any, Any],
         should_stop: Callable[[], bool] = bool, watch: Watch | None = None) -> tuple[list[float], list[int], dict[str, float]]:
    """Play ``quotas[i]`` episodes on copy i; returns and lengths, copy by copy, and the mean of what environments measure.

    An environment measures itself (success, error, in its own words) at an episode's end: `toolkit.envs.base.measures_of`.
    """
    measured: dict[str, list[float]] = {}
    returns: list[list[float]] = [[] for _ in quotas]
    lengths: list[list[int]] = [[] for _ in quotas]
    running, steps = np.zeros(len(quotas)), np.zeros(len(quotas), np.int64)
    left = quotas.copy()
    observations = envs.reset()
    state: Array | None = None
    masked = bool(getattr(agent, "masked", False))
    while left.any():
        if should_stop():
            raise EvaluationStopped
        if not all_finite(envs.observation_space, observations):
            require_finite(envs, observations, left > 0, steps)
        acted = agent.act(observations, state, heeded(envs.masks, envs.action_space) if masked else None, deterministic=True)
        stepped = envs.step(acted.actions)
        state = None if acted.state is None else fresh_where_ended(acted.state, stepped)
        valid = np.ones(len(quotas), bool) if stepped.valid is None else stepped.valid
        if not np.isfinite(stepped.rewards).all():
            require_finite_rewards(stepped.rewards, valid & (left > 0), steps)
        running += np.where(valid, stepped.rewards, 0.0)
        steps += valid
        if watch:
            watch.stepped()
        for index in np.flatnonzero((stepped.terminated | stepped.truncated) & valid):
            if left[index] > 0:
                returns[index].append(float(running[index]))
                lengths[index].append(int(steps[index]))
                left[index] -= 1
                if watch:
                    watch.ended()
                for name, values in (getattr(envs, "measures", None) or {}).items():
                    measured.setdefault(name, []).append(float(values[index]))
            running[index] = steps[index] = 0
        observations = stepped.observations
    return ([item for row in returns for item in row], [item for row in lengths for item in row],
            {name: float(np.mean(values)) for name, values in measured.items()})
