"""Replay buffers beside their peers: microseconds for minibatches of 64 out of 100,000 transitions of 4 numbers.

    python benchmarks/buffer_speed.py [--repeats 9]

prioritized   sample and update the priorities, beside cpprb (C++)
uniform       sample, beside bare NumPy indexing of five arrays with the same number of bytes

Both sides alternate in one process; the ratio is theirs to ours, its spread over the repeats.
A training phase asks for its minibatches at once, so a phase of 24 is timed beside one of 1.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
from gymnasium import spaces

from toolkit.agents.base import Steps
from toolkit.registry import registry

SIZE, BATCH, WIDTH = 100_000, 64, 4


def filled(name: str) -> object:
    """Our buffer, full."""
    buffer = registry.make("buffer", name, capacity=SIZE, n_envs=1, observation_space=spaces.Box(-1, 1, (WIDTH,), np.float32),
                           action_space=spaces.Discrete(2), generator=np.random.default_rng(0))
    rng = np.random.default_rng(1)
    none = np.zeros((SIZE, 1), bool)
    buffer.add(Steps(rng.normal(size=(SIZE + 1, 1, WIDTH)).astype(np.float32), rng.integers(2, size=(SIZE, 1)),
                     rng.normal(size=(SIZE, 1)), none, none, ~none, np.zeros(0, np.int64), np.zeros(0, np.int64),
                     np.zeros((0, WIDTH), np.float32)))
    return buffer


def our_prioritized(count: int) -> Callable[[], None]:
    buffer, errors = filled("prioritized"), np.random.default_rng(2).random((count, BATCH))

    def once() -> None:
        for batches in buffer.batches(count, BATCH):  # type: ignore[attr-defined]
            buffer.prioritize(batches, errors)  # type: ignore[attr-defined]
    return once


def cpprb_prioritized(count: int) -> Callable[[], None]:
    from cpprb import PrioritizedReplayBuffer

    buffer = PrioritizedReplayBuffer(SIZE, {"obs": {"shape": WIDTH}, "act": {}, "rew": {}, "next_obs": {"shape": WIDTH},
                                            "done": {}})
    rng = np.random.default_rng(1)
    observations = rng.normal(size=(SIZE + 1, WIDTH)).astype(np.float32)
    buffer.add(obs=observations[:-1], act=rng.integers(2, size=SIZE), rew=rng.normal(size=SIZE), next_obs=observations[1:],
               done=np.zeros(SIZE))
    errors = rng.random(BATCH)

    def once() -> None:
        for _ in range(count):
            sample = buffer.sample(BATCH, beta=0.4)
            buffer.update_priorities(sample["indexes"], errors)
    return once


def our_uniform(count: int) -> Callable[[], None]:
    buffer = filled("uniform")

    def once() -> None:
        for _ in buffer.batches(count, BATCH):  # type: ignore[attr-defined]
            pass
    return once


def bare_numpy(count: int) -> Callable[[], None]:
    """What no buffer can do without: draw, and index each array."""
    rng = np.random.default_rng(1)
    observations = rng.normal(size=(SIZE, WIDTH)).astype(np.float32)
    following = observations[1:].copy()
    arrays = (observations, rng.integers(2, size=SIZE), rng.normal(size=SIZE).astype(np.float32), following,
              np.zeros(SIZE, bool))

    def once() -> None:
        at = rng.integers(SIZE - 1, size=(count, BATCH))
        for array in arrays:
            array[at]
    return once


def microseconds(once: Callable[[], None], calls: int) -> float:
    begin = time.perf_counter()
    for _ in range(calls):
        once()
    return (time.perf_counter() - begin) / calls * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    for title, ours, theirs in (("prioritized beside cpprb", our_prioritized, cpprb_prioritized),
                                ("uniform beside bare numpy", our_uniform, bare_numpy)):
        for count in (1, 24):
            sides = ours(count), theirs(count)
            for side in sides:
                microseconds(side, 50)  # compiles, touches the memory
            pairs = [[microseconds(side, 2000 // count) / count for side in sides] for _ in range(repeats)]
            ratios = [b / a for a, b in pairs]
            print(f"{title}, {count:2} at once: {statistics.median(a for a, _ in pairs):6.1f} against "
                  f"{statistics.median(b for _, b in pairs):6.1f} microseconds a minibatch; "
                  f"{statistics.median(ratios):.2f} times as fast ({min(ratios):.2f} to {max(ratios):.2f})", flush=True)


if __name__ == "__main__":
    main()
