"""DQN on CartPole-v1 beside Stable-Baselines3, with identical zoo settings, and from a cold start.

    python benchmarks/dqn_cartpole.py [--repeats 3] [--seed 0]

Three things are run in turn, one after another, each in a process of its own with one torch thread:

    toolkit zoo     toolkit run dqn --env CartPole-v1 --preset zoo
    sb3 zoo         Stable-Baselines3's DQN with the same settings (rl-baselines3-zoo, dqn.yml)
    toolkit tuned   toolkit run dqn --env CartPole-v1, the command of the README

Wall time is that of the whole process, imports and evaluation included; training time leaves
imports and evaluation out. All three end with 100 deterministic evaluation episodes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

SB3 = """
import json, sys, time
import torch
torch.set_num_threads(1)
from stable_baselines3 import DQN
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.env_util import make_vec_env
seed = int(sys.argv[1])
model = DQN("MlpPolicy", make_vec_env("CartPole-v1", 1, seed=seed), learning_rate=2.3e-3, batch_size=64, buffer_size=100_000,
            learning_starts=1000, gamma=0.99, target_update_interval=10, train_freq=256, gradient_steps=128,
            exploration_fraction=0.16, exploration_final_eps=0.04, policy_kwargs=dict(net_arch=[256, 256]), seed=seed,
            device="cpu")
begin = time.perf_counter()
model.learn(50_000)
seconds = time.perf_counter() - begin
mean, spread = evaluate_policy(model, make_vec_env("CartPole-v1", 10, seed=seed + 10_000), n_eval_episodes=100)
print(json.dumps({"train_seconds": seconds, "mean_return": float(mean)}))
"""


def timed(command: list[str]) -> tuple[float, dict[str, Any]]:
    """Wall seconds of a process, and the JSON object on the last line it prints."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    begin = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return time.perf_counter() - begin, json.loads(done.stdout.strip().split("\n")[-1])


def toolkit(seed: int, *extra: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        wall, facts = timed([sys.executable, "-m", "toolkit", "run", "dqn", "--env", "CartPole-v1", "--seed", str(seed),
                             "--out", folder, "--json", *extra])
    return {"wall": wall, "train": facts["train_seconds"], "mean_return": facts["evaluation"]["mean_return"]}


def stable_baselines3(seed: int) -> dict[str, float]:
    wall, facts = timed([sys.executable, "-c", SB3, str(seed)])
    return {"wall": wall, "train": facts["train_seconds"], "mean_return": facts["mean_return"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    runs: dict[str, list[dict[str, float]]] = {"toolkit zoo": [], "sb3 zoo": [], "toolkit tuned": []}
    for repeat in range(arguments.repeats):
        seed = arguments.seed + repeat
        for name, result in (("toolkit zoo", toolkit(seed, "--preset", "zoo")), ("sb3 zoo", stable_baselines3(seed)),
                             ("toolkit tuned", toolkit(seed))):
            runs[name].append(result)
            print(f"{name:14} seed {seed}: wall {result['wall']:6.2f} s, training {result['train']:6.2f} s, "
                  f"evaluation {result['mean_return']:.1f}", flush=True)
    report(runs)


def report(runs: dict[str, list[dict[str, float]]]) -> None:
    """Median ratios, pair by pair."""
    pairs = list(zip(runs["toolkit zoo"], runs["sb3 zoo"], runs["toolkit tuned"], strict=True))
    same = [theirs["train"] / ours["train"] for ours, theirs, _ in pairs]
    cold = [tuned["wall"] / theirs["wall"] for _, theirs, tuned in pairs]
    print(f"identical settings: {statistics.median(same):.2f} times the speed of Stable-Baselines3 "
          f"(training time; {min(same):.2f} to {max(same):.2f})")
    print(f"cold start to exit, tuned against zoo: {statistics.median(cold):.3f} of its wall time "
          f"({min(cold):.3f} to {max(cold):.3f}); median {statistics.median(t['wall'] for _, _, t in pairs):.1f} s")


if __name__ == "__main__":
    main()
