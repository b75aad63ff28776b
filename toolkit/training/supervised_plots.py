"""Pictures of an evaluation of classes: the confusion matrix and the ROC curves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.core.metrics import area, roc
from toolkit.entries import installed
from toolkit.errors import MissingExtra, UsageError
from toolkit.training.evaluation import Evaluation

MOST_CURVES = 12


def draw(evaluation: Evaluation, folder: str) -> list[Path]:
    """Write ``confusion-SPLIT.png`` and ``roc-SPLIT.png`` for every split; returns the paths.

    Raises UsageError for an evaluation without classes, MissingExtra without matplotlib.
    """
    if not installed("matplotlib"):
        raise MissingExtra("plots need 'matplotlib', which is not installed. Install it: pip install matplotlib")
    splits = {name: item for name, item in evaluation.details["splits"].items() if "confusion" in item}
    if not splits:
        raise UsageError("--plots is for tasks with classes; this one predicts something else")
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    written = []
    for name, item in splits.items():
        written.append(draw_confusion(item, path / f"confusion-{name}.png"))
        if "probabilities" in item:
            written.append(draw_roc(item, path / f"roc-{name}.png"))
    return written


def draw_confusion(item: Mapping[str, Any], path: Path) -> Path:
    figure, axes = new_figure()
    table, classes = np.array(item["confusion"]), item["classes"]
    axes.imshow(table / np.maximum(table.sum(1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(classes)), classes, rotation=90)
    axes.set_yticks(range(len(classes)), classes)
    axes.set(xlabel="predicted", ylabel="target", title=f"{int(np.trace(table))} of {int(table.sum())} right")
    if len(classes) <= 20:
        for row, column in np.ndindex(table.shape):
            axes.text(column, row, str(table[row, column]), ha="center", va="center",
                      color="white" if table[row, column] > table[row].sum() / 2 else "black")
    figure.savefig(path, dpi=120, bbox_inches="tight")
    return path


def draw_roc(item: Mapping[str, Any], path: Path) -> Path:
    figure, axes = new_figure()
    scores, targets = np.array(item["probabilities"]), np.array(item["targets"])
    chosen = range(1, 2) if scores.shape[1] == 2 else range(min(scores.shape[1], MOST_CURVES))
    for index in chosen:
        if 0 < (targets == index).sum() < len(targets):
            false, true = roc(scores[:, index], targets == index)
            size = area(scores[:, index], targets == index)
            axes.plot(false, true, label=f"{item['classes'][index]} ({size:.3f})")
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.5)
    axes.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC, area in brackets")
    axes.legend()
    figure.savefig(path, dpi=120, bbox_inches="tight")
    return path


def new_figure(width: float = 6, height: float = 6) -> tuple[Any, Any]:
    """A figure of so many inches that needs no display and no global state, and its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    return figure, figure.add_subplot()
