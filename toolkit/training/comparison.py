"""Runs side by side: what they reached and what it cost, from their folders alone, and their learning curves.

Compared  what one run shows
Curve     the points of a learning curve
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from toolkit.core.summaries import interval_of, numbers_of
from toolkit.entries import installed
from toolkit.errors import MissingExtra, UsageError
from toolkit.training.run_directory import METRICS, RunDirectory
from toolkit.training.supervised_plots import new_figure

RESAMPLES, SHARE = 2000, 0.95  # of the bootstrap, and how much its interval holds
SMOOTH = "rollout/ep_rew_mean"
SPREAD = ("std_return", "episodes")  # of a mean return, whose interval says it better


class Curve(NamedTuple):
    """Steps and values of one metric."""

    steps: list[int]
    values: list[float]


@dataclass(frozen=True)
class Compared:
    """``score`` is the evaluation at the run's end, ``low`` and ``high`` its 95 % interval; None where there is none.

    ``others`` are all further numbers of the evaluation: what an environment measures, other metrics, other splits.
    """

    run: str
    name: str
    subject: str
    preset: str | None
    seed: int
    status: str
    unit: str
    steps: int
    train_seconds: float | None
    steps_per_second: float | None
    metric: str
    score: float | None
    low: float | None
    high: float | None
    others: Mapping[str, float]

    def json(self) -> dict[str, Any]:
        return asdict(self)


def compared(directory: RunDirectory) -> Compared:
    """What a run's folder says of it. An unfinished run shows how far its records go."""
    facts = directory.read()
    evaluation = facts.get("evaluation") or {}
    last = (records(directory) or [{}])[-1]
    steps = int(facts.get("steps") or last.get("step", 0))
    seconds = facts.get("train_seconds") or last.get("time") or None  # 0 for a policy that another library has trained
    metric, score, low, high = scored(evaluation)
    others = {name: value for name, value in numbers_of(evaluation).items() if name not in (metric, *SPREAD)}
    return Compared(str(directory.path), facts["name"], facts["subject"], facts.get("preset"), facts["seeds"]["root"],
                    facts["status"], facts["unit"], steps, seconds, round(steps / seconds, 3) if seconds else None, metric, score,
                    low, high, others)


def scored(evaluation: Mapping[str, Any]) -> tuple[str, float | None, float | None, float | None]:
    """The main number of an evaluation by name, and its interval: of mean returns by bootstrap, else as it was written."""
    if "returns" in evaluation:
        low, high = interval(evaluation["returns"])
        return "mean_return", float(np.mean(np.asarray(evaluation["returns"], np.float64))), low, high
    for name, value in numbers_of(evaluation).items():
        return name, float(value), *(interval_of(name, evaluation) or (None, None))
    return "", None, None, None


def interval(returns: Sequence[float]) -> tuple[float, float]:
    """The bootstrap's percentile interval of the mean (Efron, 1979), the same each time.

    >>> interval([1.0, 1.0, 1.0])
    (1.0, 1.0)
    """
    values = np.asarray(returns, np.float64)
    draws = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.quantile(values[draws].mean(1), [(1 - SHARE) / 2, (1 + SHARE) / 2])
    return float(low), float(high)


def records(directory: RunDirectory) -> list[dict[str, Any]]:
    """The rows of ``metrics.jsonl``; a line that was cut off by a kill or a power loss is left out."""
    path = directory.path / METRICS
    rows = []
    for line in path.read_text(errors="replace").splitlines() if path.exists() else []:
        with contextlib.suppress(ValueError):
            rows.append(json.loads(line))
    return rows


def curves(directory: RunDirectory) -> dict[str, Curve]:
    """The evaluations of a run, and the returns of its training episodes where it has any."""
    rows = records(directory)
    evaluated = next((name for row in rows for name in row if name.startswith("eval/")), None)
    found = {}
    for name in filter(None, (evaluated, SMOOTH)):
        points = [(row["step"], row[name]) for row in rows if row.get(name) is not None]
        if points:
            found[name] = Curve([step for step, _ in points], [value for _, value in points])
    return found


def draw(directories: Sequence[RunDirectory], path: Path) -> Path:
    """Write the learning curves as a PNG: evaluations as lines with dots, training returns pale.

    Raises MissingExtra without matplotlib, UsageError for another ending and for runs that recorded nothing.
    """
    if not installed("matplotlib"):
        raise MissingExtra("learning curves need 'matplotlib', which is not installed. Install it: pip install matplotlib, or "
                           "leave them out: --no-plot")
    if path.suffix.lower() != ".png":
        raise UsageError(f"--plot {path}: allowed are names ending in .png")
    figure, axes = new_figure(8, 5)
    labels: set[str] = set()
    for number, directory in enumerate(directories):
        for name, curve in curves(directory).items():
            evaluated = name != SMOOTH
            labels.add(name) if evaluated else None
            axes.plot(curve.steps, curve.values, color=f"C{number}", alpha=1.0 if evaluated else 0.35,
                      marker="o" if evaluated else None, markersize=3, label=directory.path.name if evaluated else None)
    if not labels:
        raise UsageError("none of these runs has recorded an evaluation yet, so that there is no curve to draw; add --no-plot")
    facts = [directory.read() for directory in directories]
    axes.set(xlabel=" / ".join(sorted({row["unit"] for row in facts})), ylabel=" / ".join(sorted(labels)),
             title=" / ".join(sorted({row["subject"] for row in facts})))
    axes.legend()
    axes.grid(alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120, bbox_inches="tight")
    return path
