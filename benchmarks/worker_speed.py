"""Worker processes on LunarLander-v3 beside gymnasium's AsyncVectorEnv and Stable-Baselines3's SubprocVecEnv.

    python benchmarks/worker_speed.py [--repeats 5] [--steps 400] [--n-envs 16] [--workers 2]

Random actions, drawn before the clock starts and the same for all. The peers have one process for
each environment, which is how they are used; ours shares the environments out to the workers.
Sides alternate in one process tree; the ratio is their time to ours.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

ENV = "LunarLander-v3"


def ours(n_envs: int, workers: int) -> tuple[Callable[[Any], Any], Callable[[], Any], Callable[[], None]]:
    from toolkit.envs import factory
    from toolkit.envs.base import EnvSpec

    envs = factory.make(EnvSpec(ENV), list(range(n_envs)), "workers", workers)
    return envs.step, envs.reset, envs.close


def gymnasium_async(n_envs: int, workers: int) -> tuple[Callable[[Any], Any], Callable[[], Any], Callable[[], None]]:
    envs = gymnasium.make_vec(ENV, n_envs, "async", vector_kwargs={"context": "spawn"})
    return envs.step, lambda: envs.reset(seed=0), envs.close


def subproc(n_envs: int, workers: int) -> tuple[Callable[[Any], Any], Callable[[], Any], Callable[[], None]]:
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import SubprocVecEnv

    envs = make_vec_env(ENV, n_envs, seed=0, vec_env_cls=SubprocVecEnv, vec_env_kwargs={"start_method": "spawn"})
    return envs.step, envs.reset, envs.close


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name, default in (("repeats", 5), ("steps", 400), ("n-envs", 16), ("workers", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    actions = np.random.default_rng(0).integers(4, size=(given.steps, given.n_envs))
    made = {make.__name__: make(given.n_envs, given.workers) for make in (ours, gymnasium_async, subproc)}
    speeds: dict[str, list[float]] = {name: [] for name in made}
    for _ in range(given.repeats):
        for name, (step, reset, _) in made.items():
            reset()
            begin = time.perf_counter()
            for row in actions:
                step(row)
            speeds[name].append(actions.size / (time.perf_counter() - begin))
    for _, _, close in made.values():
        close()
    print(f"{ENV}, {given.n_envs} environments, {given.workers} workers: {statistics.median(speeds['ours']):,.0f} steps a second")
    for name in list(made)[1:]:
        ratios = [a / b for a, b in zip(speeds["ours"], speeds[name], strict=True)]
        print(f"  {statistics.median(ratios):.2f} times {name} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
