"""Totals of an evaluation that many tasks share: classes, and numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from toolkit.core import metrics
from toolkit.core.problem import Batch, Judged


class ClassTally:
    """One class an example: accuracy with its 95 % interval, macro F1, AUC, log loss, confusion."""

    KEPT, KEPT_SCORES = 100_000, 1_000_000  # above so many examples, or scores, the details hold counts only

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = list(classes)
        self._logits: list[Tensor] = []
        self._targets: list[Tensor] = []
        self._indices: list[int] = []

    def add(self, outputs: Tensor, lengths: Tensor | None, batch: Batch) -> None:
        assert batch.targets is not None
        self._logits.append(outputs.detach().float().cpu())
        self._targets.append(batch.targets.cpu())
        self._indices += [int(index) for index in batch.indices]

    def result(self) -> Judged:
        logits, targets = torch.cat(self._logits), torch.cat(self._targets)  # [N, C], [N]
        predicted, wanted = logits.argmax(-1).numpy(), targets.numpy()
        probabilities = logits.softmax(-1)
        scores = probabilities.double().numpy()
        found = metrics.accuracy(predicted, wanted)
        low, high = metrics.wilson(float((predicted == wanted).sum()), len(wanted))
        loss = float(F.cross_entropy(logits, targets))
        values = {"accuracy": found, "accuracy_low": low, "accuracy_high": high, "f1": metrics.f1(predicted, wanted),
                  "loss": loss}
        if len(np.unique(wanted)) > 1:
            values["auc"] = metrics.auc(scores, wanted)
        table = metrics.confusion(predicted, wanted, len(self.classes))
        details: dict[str, Any] = {"classes": self.classes, "confusion": table.tolist(), "count": len(wanted)}
        if len(wanted) <= self.KEPT and logits.numel() <= self.KEPT_SCORES:
            order = np.argsort(self._indices, kind="stable")
            details |= {"predictions": predicted[order].tolist(), "targets": wanted[order].tolist(),
                        "probabilities": np.round(probabilities.numpy()[order], 5).tolist()}
        # Where accuracy ties, the smaller loss is the better checkpoint.
        return Judged(found - 1e-6 * min(loss, 1e3), values, details,
                      pairs={"classes": (predicted, wanted), "scores": (scores, wanted)})


class NumberTally:
    """One number an example, in the target's own unit: mse, rmse, mae, r2 with its bootstrap interval."""

    def __init__(self, mean: float, scale: float) -> None:
        self.mean, self.scale = mean, scale
        self._pairs: list[tuple[Tensor, Tensor]] = []
        self._indices: list[int] = []

    def add(self, outputs: Tensor, lengths: Tensor | None, batch: Batch) -> None:
        assert batch.targets is not None
        self._pairs.append((outputs.detach().double().cpu(), batch.targets.double().cpu()))
        self._indices += [int(index) for index in batch.indices]

    def result(self) -> Judged:
        predicted, wanted = (torch.cat(column).numpy() * self.scale + self.mean for column in zip(*self._pairs, strict=True))
        error = metrics.mse(predicted, wanted)
        values = {"mse": error, "rmse": math.sqrt(error), "mae": metrics.mae(predicted, wanted)}
        if len(np.unique(wanted)) > 1:
            values["r2"] = metrics.r2(predicted, wanted)
            values["r2_low"], values["r2_high"] = metrics.bootstrap(metrics.r2, predicted, wanted, resamples=200)
        order = np.argsort(self._indices, kind="stable")
        details: dict[str, Any] = {"count": len(wanted)}
        if len(wanted) <= ClassTally.KEPT:
            details |= {"predictions": predicted[order].tolist(), "targets": wanted[order].tolist()}
        return Judged(-error, values, details, pairs={"numbers": (predicted, wanted)})


class FirstOutputTally(NumberTally):
    """`NumberTally` of a model's one output [B, 1]."""

    def add(self, outputs: Tensor, lengths: Tensor | None, batch: Batch) -> None:
        super().add(outputs[:, 0], lengths, batch)
