"""Learning, cell by cell: one agent on one environment over many seeds, beside the mark it should reach.

    python benchmarks/learning.py [CELL ...] [--seeds 10] [--first 0] [--jobs 1]   run, and rewrite the report
    python benchmarks/learning.py ablation [--seeds 5]                           the switches of dqn, one by one
    python benchmarks/learning.py --report                            rewrite docs/results.md from the CSVs

A cell is ``agent:environment[:preset]``; the agents sb3-sac and sb3-td3 are Stable-Baselines3's with
the zoo's settings. Every seed is a process of its own that spends the whole budget; its final model
is judged on 100 deterministic episodes with that seed's own evaluation seeds, the same for a peer.
Rows are appended to ``docs/results/<cell>.csv``; a seed that is there already is not run again.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "results"
FIELDS = ("seed", "mean_return", "std_return", "steps", "train_seconds", "wall_seconds", "parameters_sha256")


@dataclass(frozen=True)
class Cell:
    """An agent on an environment with a preset, and the mark: every seed, or the interquartile mean, at least this."""

    agent: str
    env: str
    preset: str = "tuned"
    each: float | None = None
    iqm: float | None = None
    label: str = ""  # of an ablation: what differs from the base
    flags: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        parts = [self.agent, self.env, *([] if self.preset == "tuned" else [self.preset]), *filter(None, [self.label])]
        return ":".join(parts).replace(" ", "-")

    @property
    def file(self) -> Path:
        return RESULTS / (self.name.replace(":", "-") + ".csv")


CELLS = (
    Cell("dqn", "CartPole-v1", each=475), Cell("ppo", "CartPole-v1", each=490), Cell("actor-critic", "CartPole-v1", each=475),
    Cell("reinforce", "CartPole-v1", each=450), Cell("dqn", "Acrobot-v1", iqm=-77), Cell("ppo", "Acrobot-v1", iqm=-80),
    Cell("dqn", "MountainCar-v0", iqm=-105, each=-120), Cell("dqn", "LunarLander-v3", iqm=200),
    Cell("qr-dqn", "LunarLander-v3", iqm=200), Cell("ppo", "LunarLander-v3", iqm=240), Cell("sac", "Pendulum-v1"),
    Cell("td3", "Pendulum-v1"), Cell("sac", "MountainCarContinuous-v0", iqm=94),
    Cell("sb3-sac", "Pendulum-v1", "zoo"), Cell("sb3-td3", "Pendulum-v1", "zoo"),
    Cell("sb3-sac", "MountainCarContinuous-v0", "zoo"),
    Cell("qr-dqn", "CartPole-v1"), Cell("c51", "CartPole-v1"), Cell("rainbow", "CartPole-v1"),
    Cell("qr-dqn", "Acrobot-v1"), Cell("c51", "Acrobot-v1"), Cell("rainbow", "Acrobot-v1"),
    Cell("actor-critic", "Acrobot-v1"), Cell("reinforce", "Acrobot-v1"),
    Cell("qr-dqn", "MountainCar-v0"), Cell("c51", "MountainCar-v0"), Cell("rainbow", "MountainCar-v0"),
    Cell("ppo", "MountainCar-v0"), Cell("actor-critic", "MountainCar-v0"),
    Cell("c51", "LunarLander-v3"), Cell("rainbow", "LunarLander-v3"), Cell("actor-critic", "LunarLander-v3"),
    Cell("ppo", "Pendulum-v1"), Cell("actor-critic", "Pendulum-v1"),
    Cell("td3", "MountainCarContinuous-v0"), Cell("ppo", "MountainCarContinuous-v0"),
    Cell("actor-critic", "MountainCarContinuous-v0"), Cell("reinforce", "MountainCarContinuous-v0"),
)
BASE = ("--steps", "30000", "--n-envs", "8", "--train-freq", "32", "--gradient-steps", "16", "--batch-size", "64",
        "--learning-rate", "1e-3", "--network.hidden-sizes", "128,128", "--exploration-fraction", "0.3")
SWITCHES: dict[str, tuple[str, ...]] = {
    "plain": (), "double": ("--double", "true"), "dueling": ("--dueling", "true"), "prioritized": ("--buffer", "prioritized"),
    "3 steps": ("--n-step", "3"), "noisy": ("--noisy", "true"), "average": ("--average-fraction", "0.2")}
SUPPORT = ("--v-min", "0", "--v-max", "100")  # of returns with gamma 0.99 and a reward of 1 for each step
ABLATION = (
    *(Cell("dqn", "CartPole-v1", "none", label=label,
           flags=(*BASE, *(() if label == "double" else ("--double", "false")), *flags))
      for label, flags in SWITCHES.items()),
    Cell("c51", "CartPole-v1", "none", label="51 atoms", flags=(*BASE, *SUPPORT)),
    Cell("qr-dqn", "CartPole-v1", "none", label="50 quantiles", flags=BASE),
    Cell("rainbow", "CartPole-v1", "none", label="all together", flags=(*BASE, *SUPPORT)))

# Zoo settings (hyperparams/sac.yml and td3.yml); the evaluation plays our episodes: one environment a seed, in turn.
PEER = """
import json, sys, time
import gymnasium, numpy as np, torch
torch.set_num_threads(1)
import stable_baselines3
from toolkit.core.seeding import Streams
from toolkit.training.tasks import evaluation_seed
which, env_id, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
begin = time.perf_counter()
noise = stable_baselines3.common.noise.NormalActionNoise(np.zeros(1), 0.1 * np.ones(1))
pendulum = {"sac": dict(learning_rate=1e-3), "td3": dict(
    learning_rate=1e-3, gamma=0.98, buffer_size=200_000, learning_starts=10_000, action_noise=noise, train_freq=1,
    gradient_steps=1, policy_kwargs=dict(net_arch=[400, 300]))}
car = {"sac": dict(learning_rate=3e-4, buffer_size=50_000, batch_size=512, ent_coef=0.1, train_freq=32, gradient_steps=32,
                   gamma=0.9999, tau=0.01, learning_starts=0, use_sde=True,
                   policy_kwargs=dict(log_std_init=-3.67, net_arch=[64, 64]))}
steps, options = {"Pendulum-v1": (20_000, pendulum), "MountainCarContinuous-v0": (50_000, car)}[env_id]
model = getattr(stable_baselines3, which.upper())("MlpPolicy", env_id, seed=seed, device="cpu", **options[which])
model.learn(steps)
seconds = time.perf_counter() - begin
streams, returns = Streams(evaluation_seed(seed)), []
for index in range(20):
    env = gymnasium.make(env_id)
    observation, _ = env.reset(seed=streams.seed("evaluation", index))
    for _ in range(5):
        total, over = 0.0, False
        while not over:
            observation, reward, terminated, truncated, _ = env.step(model.predict(observation, deterministic=True)[0])
            total, over = total + float(reward), terminated or truncated
        returns.append(total)
        observation, _ = env.reset()
print(json.dumps({"evaluation": {"mean_return": float(np.mean(returns)), "std_return": float(np.std(returns))}, "steps": steps,
                  "train_seconds": seconds, "wall_seconds": time.perf_counter() - begin, "parameters_sha256": ""}))
"""


def run_seed(cell: Cell, seed: int) -> dict[str, object]:
    """Train one seed from the command line; one row of the CSV."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["-m", "toolkit", "run", cell.agent, "--env", cell.env, "--preset", cell.preset, "--seed", str(seed),
                   "--final-episodes", "100", "--evaluate-every", "0", "--out", folder, "--json", *cell.flags]
        if cell.agent.startswith("sb3-"):
            command = ["-c", PEER, cell.agent.removeprefix("sb3-"), cell.env, str(seed)]
        done = subprocess.run([sys.executable, *command], capture_output=True, text=True,
                              env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)})
    if done.returncode:
        raise SystemExit(done.stderr)
    facts = json.loads(done.stdout.strip().split("\n")[-1])
    return {"seed": seed, "mean_return": round(facts["evaluation"]["mean_return"], 3),
            "std_return": round(facts["evaluation"]["std_return"], 3), "steps": facts["steps"],
            "train_seconds": facts["train_seconds"], "wall_seconds": facts["wall_seconds"],
            "parameters_sha256": facts["parameters_sha256"][:16]}


def read(cell: Cell) -> list[dict[str, str]]:
    if not cell.file.exists():
        return []
    with cell.file.open() as file:
        return list(csv.DictReader(file))


def append(cell: Cell, row: dict[str, object]) -> None:
    RESULTS.mkdir(parents=True, exist_ok=True)
    new = not cell.file.exists()
    with cell.file.open("a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        if new:
            writer.writeheader()
        writer.writerow(row)


def interquartile_mean(values: np.ndarray) -> float:
    """The mean of the middle half (Agarwal et al., 2021); of fewer than four values, the mean."""
    ordered, cut = np.sort(values), len(values) // 4
    return float(ordered[cut:len(ordered) - cut].mean())


def interval(values: np.ndarray, draws: int = 2000) -> tuple[float, float]:
    """A 95 % bootstrap interval of the interquartile mean."""
    rng = np.random.default_rng(0)
    samples = [interquartile_mean(rng.choice(values, len(values))) for _ in range(draws)]
    low, high = np.percentile(samples, [2.5, 97.5])
    return float(low), float(high)


def line(cell: Cell) -> str | None:
    """The cell's row of the report; None when it was not run."""
    rows = read(cell)
    if not rows:
        return None
    values = np.array([float(row["mean_return"]) for row in rows])
    low, high = interval(values)
    marks = [f"each {cell.each:g}"] if cell.each is not None else []
    marks += [f"IQM {cell.iqm:g}"] if cell.iqm is not None else []
    at_mark = "" if cell.each is None else f"{np.mean(values >= cell.each):.0%}"
    seconds = np.median([float(row["train_seconds"]) for row in rows])
    return (f"| {cell.agent} | {cell.env} | {cell.label or cell.preset} | {int(rows[0]['steps']):,} | {len(rows)} | "
            f"{interquartile_mean(values):.1f} [{low:.1f}, {high:.1f}] | {values.min():.1f} | {at_mark} | "
            f"{', '.join(marks)} | {seconds:.1f} |")


COLUMNS = ("| agent | environment | {} | steps | seeds | IQM | worst | at mark | mark | seconds |\n"
           "|---|---|---|---|---|---|---|---|---|---|\n")


def table(cells: Sequence[Cell], third: str) -> str:
    lines = [row for row in map(line, cells) if row]
    return COLUMNS.format(third) + "\n".join(lines) + "\n"


def report() -> None:
    """Rewrite docs/results.md from the CSVs."""
    head = (
        "# Results\n\nWritten by `python benchmarks/learning.py`; the rows of every seed are in [results/](results).\n"
        "Final model after the full budget, 100 deterministic episodes a seed on its own evaluation seeds; interquartile mean\n"
        "over seeds with its 95 % bootstrap interval; seconds are the median training time on one thread of a shared machine\n"
        f"({platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}).\n"
        "How busy the machine was differs from row to row. A preset without a row is started by the tests, and its full budget\n"
        "has not been run.\n\n")
    ablation = (
        "\n## One switch at a time\n\nThe DQN family on CartPole-v1 for 30,000 steps: plain DQN, and what each extension does "
        "to it alone\n(`python benchmarks/learning.py ablation`; settings of the base in that file).\n\n")
    speed = ROOT / "docs" / "results" / "speed.md"
    text = head + table(CELLS, "preset") + (ablation + table(ABLATION, "switch") if any(map(read, ABLATION)) else "")
    (ROOT / "docs" / "results.md").write_text(text + ("\n" + speed.read_text() if speed.exists() else ""))


def run_cell(cell: Cell, seeds: Sequence[int], jobs: int) -> None:
    """Run the seeds that have no row yet, ``jobs`` at a time."""
    done = {int(row["seed"]) for row in read(cell)}
    with ThreadPoolExecutor(jobs) as pool:
        for row in pool.map(lambda seed: run_seed(cell, seed), [seed for seed in seeds if seed not in done]):
            append(cell, row)
            print(cell.name, row, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("cells", nargs="*")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="seeds at a time, one thread each")
    parser.add_argument("--report", action="store_true")
    arguments = parser.parse_args()
    chosen = [cell for cell in CELLS if cell.name in arguments.cells]
    chosen += ABLATION if "ablation" in arguments.cells else ()
    known = {cell.name for cell in CELLS} | {"ablation"}
    if unknown := set(arguments.cells) - known:
        raise SystemExit(f"unknown cells {sorted(unknown)}; allowed: {', '.join(sorted(known))}")
    for cell in chosen:
        run_cell(cell, range(arguments.first, arguments.first + arguments.seeds), arguments.jobs)
    report()


if __name__ == "__main__":
    main()
