"""k-fold cross-validation: the same training, once for each held-out share, and what it says about the method.

The interval and the test use the corrected variance of Nadeau and Bengio (2003), section 3: the folds'
training sets overlap, so the plain variance of the mean over folds is too small.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from toolkit.core.base import Dataset, Example
from toolkit.core.batching import folds
from toolkit.core.classes import meaning
from toolkit.core.clock import Clock
from toolkit.core.problem import Array, Problem
from toolkit.core.seeding import Streams
from toolkit.core.splits import splits_of, target_of
from toolkit.errors import UsageError
from toolkit.registry import registry
from toolkit.training.data import TRAIN, VALIDATION
from toolkit.training.evaluation import EvaluationStopped
from toolkit.training.supervised import SupervisedTask, assemble, judge

Stop = Callable[[], bool]
# The least and the most that a metric can be; its interval ends there too.
RANGES = {**dict.fromkeys(("accuracy", "precision", "recall", "f1", "auc"), (0.0, 1.0)),
          **dict.fromkeys(("loss", "mse", "rmse", "mae"), (0.0, math.inf)), "r2": (-math.inf, 1.0)}
HEADLINES = ("accuracy", "r2")  # what is compared with the baseline, the first that the problem reports


def check_folds(problem: Problem[Any], dataset: Dataset, number: int) -> None:
    """Raise UsageError, before the run, for folds that cannot be judged at its end."""
    rows = [row for split in splits_of(dataset).values() for row in split]
    groups = problem.groups(rows)
    most = len(rows) // 2 if groups is None else len(rows)  # r2 needs two numbers
    if not 2 <= number <= most:
        raise UsageError(f"--folds {number}: allowed are 0 for none, or from 2 to {most} for these {len(rows)} rows")
    names, counts = np.unique([] if groups is None else [meaning(str(label)) for label in groups], return_counts=True)
    scheduler = registry.get("scheduler", problem.config.scheduler.name)
    if "scores" in scheduler.accepts:
        raise UsageError(f"--folds {number}: --scheduler {scheduler.written} falls by evaluations, which a fold has only at its "
                         "end. Name another scheduler, or leave out --folds")
    for name in names[counts == 1]:
        raise UsageError(f"--folds {number}: only one row is of the class {str(name)!r}, and the fold that holds it out has none "
                         "to learn from. Take it out, or leave out --folds")


def cross_validate(make: Callable[[], Problem[Any]], dataset: Dataset, number: int, epochs: float, seed: int,
                   device: torch.device, should_stop: Stop = bool) -> dict[str, float]:
    """Train and judge ``number`` times on all rows of ``dataset``.

    Gives for each metric the mean over folds, its 95 % interval, and of the headline metric the p-value
    of a two-sided t-test against always answering the commonest class, or the mean.
    """
    found, baseline = judge_folds(make, dataset, number, epochs, seed, device, should_stop)
    return summary(found, baseline, number)


def judge_folds(make: Callable[[], Problem[Any]], dataset: Dataset, number: int, epochs: float, seed: int,
                device: torch.device, should_stop: Stop = bool) -> tuple[list[Mapping[str, float]], list[float]]:
    """The metrics of each fold, and the headline metric of the answer that needs no columns, `simplest`."""
    first = make()
    first.target_name = target_of(dataset)
    rows = [row for split in splits_of(dataset).values() for row in split]
    first.check({TRAIN: rows})
    held_sets = folds(len(rows), number, first.config.split_seed, first.groups(rows))
    found: list[Mapping[str, float]] = []
    baseline: list[float] = []
    for index, held in enumerate(held_sets):
        problem = make()
        problem.target_name = target_of(dataset)
        kept = np.setdiff1d(np.arange(len(rows)), held)
        splits = {TRAIN: [rows[int(row)] for row in kept], VALIDATION: [rows[int(row)] for row in held]}
        task = assemble(problem, splits, Clock(0), Streams(Streams(seed).seed("fold", index)), device)
        found.append(trained(task, epochs, should_stop))
        baseline.append(simplest(splits, problem))
    return found, baseline


def trained(task: SupervisedTask, epochs: float, should_stop: Stop) -> Mapping[str, float]:
    """What the task's problem is worth after ``epochs``."""
    task.clock.budget = max(1, round(epochs * task.loader.units_per_epoch))
    try:
        while task.clock.remaining:
            if should_stop():
                raise EvaluationStopped
            task.advance(should_stop)
        return judge(task.problem, task.model, task.splits[VALIDATION], task.device, should_stop).metrics
    finally:
        task.close()


def simplest(splits: Mapping[str, Sequence[Example]], problem: Problem[Any]) -> float:
    """The headline metric of the answer that needs no columns: the commonest class; 0 for r2 of the mean."""
    train, held = problem.groups(splits[TRAIN]), problem.groups(splits[VALIDATION])
    if train is None or held is None:
        return 0.0
    train, held = (np.array([meaning(str(label)) for label in labels]) for labels in (train, held))
    names, counts = np.unique(train, return_counts=True)
    return float((held == names[counts.argmax()]).mean())


def summary(found: Sequence[Mapping[str, float]], baseline: Sequence[float], number: int) -> dict[str, float]:
    """Means and intervals over folds by ``name/cv``, ``name/cv_low``, ``name/cv_high``, and ``p_value/cv``.

    Intervals are of Student's t, which knows no bounds: they are cut where the metric's range ends.
    """
    from scipy import stats

    share = 1 / number + 1 / (number - 1)  # 1/k + test rows / training rows
    quantile = float(stats.t.ppf(0.975, number - 1))
    result: dict[str, float] = {}
    names = [name for name in found[0] if not name.endswith(("_low", "_high")) and all(name in fold for fold in found)]
    for name in names:
        values = np.array([fold[name] for fold in found])
        half = quantile * math.sqrt(share * float(values.var(ddof=1)))
        mean = float(values.mean())
        low, high = RANGES.get(name, (-math.inf, math.inf))
        result |= {f"{name}/cv": mean, f"{name}/cv_low": max(low, mean - half), f"{name}/cv_high": min(high, mean + half)}
    for headline in [name for name in HEADLINES if name in names][:1]:
        result["baseline/cv"] = float(np.mean(baseline))
        result["p_value/cv"] = corrected_t_test([fold[headline] for fold in found], baseline)
    result["folds"] = number
    return result


def corrected_t_test(ours: Sequence[float] | Array, theirs: Sequence[float] | Array) -> float:
    """Two-sided p-value that two methods, judged on the same k folds, do equally well (Nadeau and Bengio, 2003)."""
    from scipy import stats

    difference = np.asarray(ours) - np.asarray(theirs)
    number = len(difference)
    variance = (1 / number + 1 / (number - 1)) * float(difference.var(ddof=1))
    if variance == 0:
        return 1.0 if difference.mean() == 0 else 0.0
    return float(2 * stats.t.sf(abs(difference.mean()) / math.sqrt(variance), number - 1))
