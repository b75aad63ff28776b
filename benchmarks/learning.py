"""Learning, cell by cell: one agent on one environment over many seeds, beside the mark it should reach.

    python benchmarks/learning.py [CELL ...] [--seeds 10] [--first 0]   run, and rewrite the report
    python benchmarks/learning.py --report                            rewrite docs/results.md from the CSVs

A cell is ``agent:environment[:preset]``. Every seed is a process of its own that spends the whole
budget; its final model is judged on 100 deterministic episodes with that seed's own evaluation
seeds. Rows are appended to ``docs/results/<cell>.csv``; a seed that is there already is not run again.
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

    @property
    def name(self) -> str:
        return f"{self.agent}:{self.env}" + ("" if self.preset == "tuned" else f":{self.preset}")

    @property
    def file(self) -> Path:
        return RESULTS / (self.name.replace(":", "-") + ".csv")


CELLS = (
    Cell("dqn", "CartPole-v1", each=475), Cell("ppo", "CartPole-v1", each=490), Cell("actor-critic", "CartPole-v1", each=475),
    Cell("reinforce", "CartPole-v1", each=450), Cell("dqn", "Acrobot-v1", iqm=-77), Cell("ppo", "Acrobot-v1", iqm=-80),
    Cell("dqn", "MountainCar-v0", iqm=-105, each=-120), Cell("dqn", "LunarLander-v3", iqm=200),
    Cell("ppo", "LunarLander-v3", iqm=240), Cell("sac", "Pendulum-v1"), Cell("td3", "Pendulum-v1"),
    Cell("sac", "MountainCarContinuous-v0", iqm=94),
)


def run_seed(cell: Cell, seed: int) -> dict[str, object]:
    """Train one seed from the command line; one row of the CSV."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", "toolkit", "run", cell.agent, "--env", cell.env, "--preset", cell.preset, "--seed", str(seed),
             "--final-episodes", "100", "--evaluate-every", "0", "--out", folder, "--json"],
            capture_output=True, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    facts = json.loads(done.stdout)
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
    return (f"| {cell.agent} | {cell.env} | {cell.preset} | {int(rows[0]['steps']):,} | {len(rows)} | "
            f"{interquartile_mean(values):.1f} [{low:.1f}, {high:.1f}] | {values.min():.1f} | {at_mark} | "
            f"{', '.join(marks)} | {seconds:.1f} |")


def report() -> None:
    """Rewrite docs/results.md from the CSVs."""
    lines = [row for row in map(line, CELLS) if row]
    head = (
        "# Results\n\nWritten by `python benchmarks/learning.py`; the rows of every seed are in [results/](results).\n"
        "Final model after the full budget, 100 deterministic episodes a seed on its own evaluation seeds; interquartile mean\n"
        "over seeds with its 95 % bootstrap interval; seconds are the median training time on one thread of a shared machine\n"
        f"({platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}).\n\n"
        "| agent | environment | preset | steps | seeds | IQM | worst | at mark | mark | seconds |\n"
        "|---|---|---|---|---|---|---|---|---|---|\n")
    (ROOT / "docs" / "results.md").write_text(head + "\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("cells", nargs="*")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--report", action="store_true")
    arguments = parser.parse_args()
    for cell in CELLS:
        if arguments.report or cell.name not in arguments.cells:
            continue
        done = {int(row["seed"]) for row in read(cell)}
        for seed in range(arguments.first, arguments.first + arguments.seeds):
            if seed not in done:
                row = run_seed(cell, seed)
                append(cell, row)
                print(cell.name, row, flush=True)
    report()


if __name__ == "__main__":
    main()
