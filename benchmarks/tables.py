"""Tables beside scikit-learn's MLPClassifier: cross-validated accuracy on the bundled sets, on the same folds.

    python benchmarks/tables.py [DATA ...] [--folds 10] [--seeds 0 1 2 3 4]

Ours is what `toolkit run tabular-classification --data DATA --folds N --seed S --split-seed S` prints as `accuracy/cv`. The peer
is `MLPClassifier` with its own defaults, once on columns scaled by the training rows of each fold, once as they are. Every
seed S draws the folds anew, and both learn from and are judged on the same rows. Prints means, and the difference to the peer
with its 95 % interval, corrected for the overlap of training rows (Nadeau and Bengio, 2003; repeated folds as in Bouckaert
and Frank, 2004).
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy import stats
from sklearn.base import ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from toolkit.core.batching import folds
from toolkit.registry import registry
from toolkit.training.resolve import options_of, plan
from toolkit.training.supervised_folds import judge_folds

SETS = ("iris", "wine", "digits", "breast-cancer")
TASK = "tabular-classification"
Array = np.ndarray[Any, Any]


def ours(name: str, number: int, seed: int) -> list[float]:
    """The accuracy of each fold, as the command computes it."""
    entry = registry.get("task", TASK)
    found = plan(entry, {"data": name, "seed": seed, "split_seed": seed})
    options = options_of(entry, found.config)
    judged, _ = judge_folds(lambda: registry.make("task", TASK, **options), registry.make("dataset", name), number,
                            found.config.values["epochs"], seed, torch.device("cpu"))
    return [fold["accuracy"] for fold in judged]


def peers(name: str, number: int, seed: int, scaled: bool) -> list[float]:
    """The accuracy of each fold by MLPClassifier, on the folds that `judge_folds` cuts."""
    rows = registry.make("dataset", name).splits()["train"]
    classes = np.array([str(row["target"]) for row in rows])
    inputs = np.array([[value for column, value in row.items() if column != "target"] for row in rows], np.float64)
    found = []
    for held in folds(len(rows), number, seed, classes):
        kept = np.setdiff1d(np.arange(len(rows)), held)
        model: ClassifierMixin = MLPClassifier(random_state=seed)
        model = make_pipeline(StandardScaler(), model) if scaled else model
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # its 200 epochs are what its users get
            found.append(model.fit(inputs[kept], classes[kept]).score(inputs[held], classes[held]))
    return found


def difference(mine: Sequence[float], theirs: Sequence[float], number: int) -> str:
    """Mean and half its 95 % interval of the paired differences over repetitions of ``number`` folds, in points."""
    values = np.asarray(mine) - np.asarray(theirs)
    half = stats.t.ppf(0.975, len(values) - 1) * (values.var(ddof=1) * (1 / len(values) + 1 / (number - 1))) ** 0.5
    return f"{100 * values.mean():+.2f} ± {100 * half:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", nargs="*", choices=[[], *SETS], default=[])
    parser.add_argument("--folds", type=int, default=10)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.data or SETS:
        mine = [value for seed in options.seeds for value in ours(name, options.folds, seed)]
        print(f"{name:14}  toolkit {100 * np.mean(mine):.2f} %", end="", flush=True)
        for scaled in (True, False):
            theirs = [value for seed in options.seeds for value in peers(name, options.folds, seed, scaled)]
            print(f"   MLPClassifier, {'scaled' if scaled else 'as it is'} {100 * np.mean(theirs):.2f} %, "
                  f"difference {difference(mine, theirs, options.folds)}", end="", flush=True)
        print(flush=True)


if __name__ == "__main__":
    main()
