"""sac and td3 on Pendulum-v1 beside Stable-Baselines3, with identical zoo settings and one torch thread.

    python benchmarks/continuous_speed.py [--repeats 3] [--steps 2000]

Every program is a process of its own; they run in turn. A second is training time, imports left
out. td3 learns from step 500 on here, on both sides, so that a short run is mostly updates.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys

OURS = """
import json, sys, tempfile, toolkit
name, steps, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
run = toolkit.train(name, env="Pendulum-v1", preset="zoo", steps=steps, seed=seed, learning_starts=500, evaluate_every=0,
                    checkpoint_every=0, final_episodes=1, out=tempfile.mkdtemp() + "/run")
print(json.dumps({"seconds": run.facts["train_seconds"]}))
"""
THEIRS = """
import json, sys, time
import numpy as np, stable_baselines3, torch
torch.set_num_threads(1)
name, steps, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
noise = stable_baselines3.common.noise.NormalActionNoise(np.zeros(1), 0.1 * np.ones(1))
options = {"sac": {}, "td3": dict(gamma=0.98, buffer_size=200_000, action_noise=noise, train_freq=1, gradient_steps=1,
                                  policy_kwargs=dict(net_arch=[400, 300]))}[name]
model = getattr(stable_baselines3, name.upper())("MlpPolicy", "Pendulum-v1", learning_rate=1e-3, learning_starts=500, seed=seed,
                                                 device="cpu", **options)
begin = time.perf_counter()
model.learn(steps)
print(json.dumps({"seconds": time.perf_counter() - begin}))
"""


def seconds(code: str, name: str, steps: int, seed: int) -> float:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOOLKIT_PLUGINS": "0"}
    done = subprocess.run([sys.executable, "-c", code, name, str(steps), str(seed)], capture_output=True, text=True,
                          env=environment)
    if done.returncode:
        raise SystemExit(done.stderr)
    return float(json.loads(done.stdout.strip().split("\n")[-1])["seconds"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=2000)
    given = parser.parse_args()
    for name in ("sac", "td3"):
        pairs = [(seconds(OURS, name, given.steps, seed), seconds(THEIRS, name, given.steps, seed))
                 for seed in range(given.repeats)]
        ratios = [theirs / ours for ours, theirs in pairs]
        print(f"{name}, Pendulum-v1, {given.steps} steps: {statistics.median(ours for ours, _ in pairs):.1f} s against "
              f"{statistics.median(theirs for _, theirs in pairs):.1f} s; {statistics.median(ratios):.2f} times as fast "
              f"({min(ratios):.2f} to {max(ratios):.2f})", flush=True)


if __name__ == "__main__":
    main()
