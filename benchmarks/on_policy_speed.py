"""ppo and actor-critic on CartPole-v1 beside their peers, with identical settings and one torch thread each.

    python benchmarks/on_policy_speed.py [--repeats 3] [--many]

ppo        zoo settings, 100,000 steps: Stable-Baselines3, SBX and rlox where they are installed
a2c        zoo settings, 8 environments, 100,000 steps: Stable-Baselines3
--many     ppo with 512 environments, 4 epochs, two threads: Stable-Baselines3 with the same settings

Programs run in turn, each in a process of its own; a second is training time, imports left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys

PRELUDE = """
import json, os, sys, time, warnings
warnings.simplefilter("ignore")
seed, threads = int(sys.argv[1]), int(sys.argv[2])
"""
OURS = PRELUDE + """
import tempfile, toolkit
settings = dict(json.loads(sys.argv[3]))
name = settings.pop("agent")
run = toolkit.train(name, env="CartPole-v1", seed=seed, out=tempfile.mkdtemp(), preset="none", evaluate_every=0,
                    checkpoint_every=0, final_episodes=20, threads=threads, **settings)
print(json.dumps({"seconds": run.facts["train_seconds"], "steps": run.facts["steps"],
                  "mean_return": run.evaluation["mean_return"]}))
"""
THEIRS = PRELUDE + """
import torch
torch.set_num_threads(threads)
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.env_util import make_vec_env
which, steps, n_envs, options = sys.argv[3], int(sys.argv[4]), int(sys.argv[5]), json.loads(sys.argv[6])
for name in ("learning_rate", "clip_range"):
    if name in options and options.pop(name + "_linear", False):
        top = options[name]
        options[name] = lambda left, top=top: left * top
if which == "sbx":
    from sbx import PPO as Algorithm
else:
    from stable_baselines3 import A2C, PPO
    Algorithm = A2C if which == "a2c" else PPO
extra = {} if which == "sbx" else {"device": "cpu"}
model = Algorithm("MlpPolicy", make_vec_env("CartPole-v1", n_envs, seed=seed), seed=seed, **options, **extra)
begin = time.perf_counter()
model.learn(steps)
seconds = time.perf_counter() - begin
mean, _ = evaluate_policy(model, make_vec_env("CartPole-v1", 5, seed=seed + 10_000), n_eval_episodes=20)
print(json.dumps({"seconds": seconds, "steps": steps, "mean_return": float(mean)}))
"""
RLOX = PRELUDE + """
from rlox import Trainer
settings = dict(n_envs=8, n_steps=32, batch_size=256, n_epochs=20, gamma=0.98, gae_lambda=0.8, learning_rate=1e-3)
trainer = Trainer("ppo", env="CartPole-v1", seed=seed, config=settings)
begin = time.perf_counter()
trainer.train(total_timesteps=100_000)
print(json.dumps({"seconds": time.perf_counter() - begin, "steps": 100_000, "mean_return": float("nan")}))
"""
PPO_ZOO = {"n_steps": 32, "batch_size": 256, "n_epochs": 20, "gamma": 0.98, "gae_lambda": 0.8, "learning_rate": 1e-3}
SB3_PPO = {**PPO_ZOO, "clip_range": 0.2, "learning_rate_linear": True, "clip_range_linear": True}
OUR_PPO = {**PPO_ZOO, "agent": "ppo", "steps": 100_000, "n_envs": 8, "learning_rate_schedule": "linear",
           "clip_range_schedule": "linear"}
MANY = {"n_steps": 32, "batch_size": 4096, "n_epochs": 4, "learning_rate": 1e-3}


def program(code: str, seed: int, threads: int, *words: str) -> dict[str, float]:
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), "TOOLKIT_PLUGINS": "0"}
    done = subprocess.run([sys.executable, "-c", code, str(seed), str(threads), *words], capture_output=True, text=True,
                          env=environment)
    if done.returncode:
        raise SystemExit(done.stderr)
    facts: dict[str, float] = json.loads(done.stdout.strip().split("\n")[-1])
    return facts


def ours(seed: int, threads: int, settings: dict[str, object]) -> dict[str, float]:
    return program(OURS, seed, threads, json.dumps(settings))


def sb3(which: str, seed: int, threads: int, steps: int, n_envs: int, options: dict[str, object]) -> dict[str, float]:
    return program(THEIRS, seed, threads, which, str(steps), str(n_envs), json.dumps(options))


def contests(many: bool) -> dict[str, dict[str, object]]:
    """Title -> program name -> function of the seed; the first is ours."""
    if many:
        settings = {**MANY, "agent": "ppo", "steps": 1_048_576, "n_envs": 512}
        return {"ppo, 512 environments, two threads": {
            "toolkit": lambda seed: ours(seed, 2, settings), "sb3": lambda seed: sb3("ppo", seed, 2, 262_144, 512, MANY)}}
    peers: dict[str, object] = {"toolkit": lambda seed: ours(seed, 1, OUR_PPO),
                                "sb3": lambda seed: sb3("ppo", seed, 1, 100_000, 8, SB3_PPO)}
    if importlib.util.find_spec("sbx"):
        plain = {key: value for key, value in SB3_PPO.items() if not key.endswith("_linear")}
        peers["sbx"] = lambda seed: sb3("sbx", seed, 1, 100_000, 8, plain)
    if importlib.util.find_spec("rlox"):
        peers["rlox"] = lambda seed: program(RLOX, seed, 1)
    return {"ppo, zoo settings": peers, "a2c, 8 environments": {
        "toolkit": lambda seed: ours(seed, 1, {"agent": "actor-critic", "steps": 100_000, "n_envs": 8}),
        "sb3": lambda seed: sb3("a2c", seed, 1, 100_000, 8, {})}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--many", action="store_true")
    arguments = parser.parse_args()
    for title, programs in contests(arguments.many).items():
        speeds: dict[str, list[float]] = {name: [] for name in programs}
        for repeat in range(arguments.repeats):
            for name, run in programs.items():
                facts = run(repeat)
                speeds[name].append(facts["steps"] / facts["seconds"])
                line = f"{title}: {name:8} {speeds[name][-1]:10,.0f} steps a second, return {facts['mean_return']:.1f}"
                print(line, flush=True)
        for name in list(programs)[1:]:
            ratios = [a / b for a, b in zip(speeds["toolkit"], speeds[name], strict=True)]
            print(f"{title}: {statistics.median(ratios):.2f} times {name} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
