"""Tables beside scikit-learn's MLPClassifier: cross-validated accuracy on the bundled sets.

    python benchmarks/tables.py [DATA ...] [--folds 10] [--seed 0]

Ours is `toolkit run tabular-classification --data DATA --folds N` with its preset; the peer is
`MLPClassifier` with its own defaults on scaled columns (it is not scaled by itself), over as many
stratified folds. Prints means with 95 % intervals over folds (Student's t).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

from scipy import stats
from sklearn import datasets
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

ROOT = Path(__file__).resolve().parent.parent
SETS = {"iris": datasets.load_iris, "wine": datasets.load_wine, "digits": datasets.load_digits,
        "breast-cancer": datasets.load_breast_cancer}


def ours(name: str, folds: int, seed: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", "toolkit", "run", "tabular-classification", "--data", name, "--folds", str(folds),
             "--seed", str(seed), "--out", folder, "--json"],
            capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)})
    if done.returncode:
        raise SystemExit(done.stderr)
    facts = json.loads(done.stdout.strip().split("\n")[-1])["evaluation"]
    return said(facts["accuracy/cv"], facts["accuracy/cv_high"] - facts["accuracy/cv"])


def peers(name: str, folds: int, seed: int) -> str:
    data = SETS[name]()
    model = make_pipeline(StandardScaler(), MLPClassifier(random_state=seed))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # its 200 epochs are what its users get
        scores = cross_val_score(model, data.data, data.target, cv=StratifiedKFold(folds, shuffle=True, random_state=seed))
    return said(float(scores.mean()), float(stats.t.ppf(0.975, folds - 1) * scores.std(ddof=1) / folds**0.5))


def said(mean: float, half: float) -> str:
    return f"{100 * mean:.2f} ± {100 * half:.2f} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", nargs="*", choices=[[], *SETS], default=[])
    parser.add_argument("--folds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for name in options.data or SETS:
        print(f"{name:14}  toolkit {ours(name, options.folds, options.seed)}   "
              f"MLPClassifier {peers(name, options.folds, options.seed)}", flush=True)


if __name__ == "__main__":
    main()
