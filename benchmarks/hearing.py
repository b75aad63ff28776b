"""Environments that are heard and the front end of the network `hearing`: observations a second, and where the time goes.

    python benchmarks/hearing.py [--n-envs 64] [--steps 60] [--repeats 5] [--threads 1]

HearAndGo's observations are windows of one second at 16 kHz. Both times are given: by the clock, and of
the processor, which other programs on the machine do not change.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import numpy as np
import torch

from toolkit.agents.perception import perception_of
from toolkit.config import Part
from toolkit.envs import factory
from toolkit.envs.base import EnvSpec

ENVS = ("HearAndGo", "SoundSeeker", "KeywordGuard", "PitchMatch")
Seconds = tuple[float, float]  # by the clock, of the processor


def timed(call: Any, *arguments: Any) -> tuple[Any, Seconds]:
    clock, processor = time.perf_counter(), time.process_time()
    found = call(*arguments)
    return found, (time.perf_counter() - clock, time.process_time() - processor)


def measure(name: str, n_envs: int, steps: int) -> tuple[int, list[Seconds], list[Seconds]]:
    """How many observations were made, and the seconds of environment and front end at each step."""
    envs = factory.make(EnvSpec(f"toolkit/{name}-v0", {"words": "tones"} if name in ("HearAndGo", "KeywordGuard") else {}),
                        list(range(n_envs)))
    perception = perception_of(Part("hearing"), envs.observation_space)
    assert perception is not None
    perception(envs.reset())
    rng = np.random.default_rng(0)
    count, made, heard = 0, [], []
    for _ in range(steps):
        space = envs.action_space
        actions = (rng.integers(space.n, size=n_envs) if hasattr(space, "n")
                   else rng.uniform(-1, 1, (n_envs, *(space.shape or ()))).astype(np.float32))
        stepped, seconds = timed(envs.step, actions)
        made.append(seconds)
        batches = [stepped.observations] + ([stepped.final.observations] if stepped.final is not None else [])
        for batch in batches:
            heard.append(timed(perception, batch)[1])
            count += len(batch)
    envs.close()
    return count, made, heard


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name, default in (("repeats", 5), ("steps", 60), ("n-envs", 64), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    for name in ENVS:
        for kind, label in enumerate(("clock", "processor")):
            rates, shares = [], []
            for _ in range(given.repeats):
                count, made, heard = measure(name, given.n_envs, given.steps)
                env, ears = sum(row[kind] for row in made), sum(row[kind] for row in heard)
                rates.append(count / (env + ears))
                shares.append(ears / (env + ears))
            print(f"{name:13} {label:9} {statistics.median(rates):7,.0f} observations a second ({min(rates):,.0f} to "
                  f"{max(rates):,.0f}); front end {statistics.median(shares):.0%} of the time")


if __name__ == "__main__":
    main()
