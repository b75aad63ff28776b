"""Metrics: predictions and targets to numbers for people, with intervals.

All take arrays (or anything NumPy makes one of). Classes are integers from 0. A share is in [0, 1].
``wilson`` gives the interval of a share of right answers, ``bootstrap`` that of any metric.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from toolkit.errors import UsageError

Array = Any


def accuracy(predictions: Array, targets: Array) -> float:
    """The share of predictions [N] that equal their target [N].

    Raises UsageError for unequal shapes or none at all. Source: the definition.

    >>> accuracy([0, 1, 1, 2], [0, 1, 2, 2])
    0.75
    """
    predicted, wanted = pair(predictions, targets)
    return float((predicted == wanted).mean())


def confusion(predictions: Array, targets: Array, classes: int = 0) -> np.ndarray[Any, Any]:
    """Counts [C, C]: row = target, column = prediction; ``classes`` is how many there are, or more where larger ones are seen.

    Raises UsageError for unequal shapes or none at all. Source: the definition.

    >>> confusion([0, 1, 1], [0, 1, 0]).tolist()
    [[1, 1], [0, 1]]
    """
    predicted, wanted = pair(predictions, targets)
    size = max(classes, int(max(predicted.max(), wanted.max())) + 1)
    counts = np.bincount(wanted.astype(np.int64) * size + predicted.astype(np.int64), minlength=size * size)
    return np.asarray(counts.reshape(size, size))


def precision(predictions: Array, targets: Array) -> float:
    """Of what was predicted as a class, the share that is; the plain mean over classes (macro).

    A class that is never predicted counts 0. Classes seen neither as prediction nor as target are left
    out. Raises UsageError as `accuracy` does. Source: van Rijsbergen (1979), chapter 7.

    >>> precision([0, 0, 1], [0, 1, 1])  # (1/2 + 1) / 2
    0.75
    """
    table = seen(confusion(predictions, targets))
    return float(share(np.diag(table), table.sum(0)).mean())


def recall(predictions: Array, targets: Array) -> float:
    """Of what is a class, the share that was predicted so; the plain mean over classes (macro).

    A class without targets counts 0, as in scikit-learn. Raises UsageError as `accuracy` does.
    Source: van Rijsbergen (1979), chapter 7.

    >>> recall([0, 0, 1], [0, 1, 1])  # (1 + 1/2) / 2
    0.75
    """
    table = seen(confusion(predictions, targets))
    return float(share(np.diag(table), table.sum(1)).mean())


def f1(predictions: Array, targets: Array) -> float:
    """The harmonic mean of precision and recall of each class; the plain mean over classes (macro), a share in [0, 1].

    Predictions and targets [N]. Raises UsageError as `accuracy` does. Source: van Rijsbergen (1979), chapter 7.

    >>> round(f1([0, 0, 1], [0, 1, 1]), 4)  # both classes: 2 / 3
    0.6667
    """
    table = seen(confusion(predictions, targets))
    return float(share(2 * np.diag(table), table.sum(0) + table.sum(1)).mean())


def auc(scores: Array, targets: Array) -> float:
    """The chance that a random example of a class scores higher for it than one of another class.

    scores [N] of class 1, or [N, C]: then each class against the rest, plain mean over the classes that
    have both. Ties count half. Raises UsageError when no class has both, for as many scores as there are not targets, and for a
    score that is NaN. Source: Fawcett (2006), section 7.

    >>> auc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    0.75
    """
    values, wanted = np.asarray(scores, np.float64), np.asarray(targets)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim not in (1, 2) or wanted.shape != values.shape[:1] or np.isnan(values).any():
        raise UsageError(f"auc needs a score, or a row of scores, for each target, none of them NaN; got shapes "
                         f"{list(values.shape)} and {list(wanted.shape)}")
    columns = values[:, None] if values.ndim == 1 else values  # [N, C]
    first = 1 if values.ndim == 1 or columns.shape[1] == 2 else 0
    columns = columns[:, -1:] if columns.shape[1] == 2 else columns
    areas = [area(columns[:, index], wanted == index + first) for index in range(columns.shape[1])]
    known = [item for item in areas if not math.isnan(item)]
    if not known:
        raise UsageError("auc needs examples of at least two classes")
    return float(np.mean(known))


def area(scores: np.ndarray[Any, Any], positive: np.ndarray[Any, Any]) -> float:
    """The area of one class by the rank sum; NaN when all or none are positive."""
    count = int(positive.sum())
    if count in (0, len(positive)):
        return math.nan
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * (len(positive) - count)))


def roc(scores: Array, positive: Array) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """False and true positive rates at every threshold, both from 0 to 1."""
    values, truth = np.asarray(scores, np.float64), np.asarray(positive, bool)
    order = np.argsort(-values, kind="stable")
    last = np.flatnonzero(np.append(np.diff(values[order]) != 0, True))
    hits, misses = np.cumsum(truth[order])[last], np.cumsum(~truth[order])[last]
    return np.append(0, misses / max(1, (~truth).sum())), np.append(0, hits / max(1, truth.sum()))


def perplexity(losses: Array, counts: Array) -> float:
    """``exp`` of the mean loss: how many equally likely tokens the model is as unsure as.

    losses [N] summed over the tokens of each text, nats; counts [N] tokens.
    Raises UsageError as `accuracy` does. Source: Jelinek et al. (1977).

    >>> round(perplexity([2 * math.log(8)], [2]), 6)
    8.0
    """
    summed, tokens = pair(losses, counts)
    return float(np.exp(summed.sum() / tokens.sum()))


def mse(predictions: Array, targets: Array) -> float:
    """Mean squared error, in the target's unit squared. Raises UsageError as `accuracy` does. Source: the definition.

    >>> mse([1.0, 3.0], [1.0, 1.0])
    2.0
    """
    predicted, wanted = numbers(predictions, targets)
    return float(((predicted - wanted) ** 2).mean())


def mae(predictions: Array, targets: Array) -> float:
    """Mean absolute error, in the target's unit. Raises UsageError as `accuracy` does. Source: the definition.

    >>> mae([1.0, 3.0], [1.0, 1.0])
    1.0
    """
    predicted, wanted = numbers(predictions, targets)
    return float(np.abs(predicted - wanted).mean())


def r2(predictions: Array, targets: Array) -> float:
    """One less the squared error over that of always answering the mean; 1 is perfect, 0 is the mean.

    Predictions and targets [N], in any unit. NaN when all targets are equal. Raises UsageError as `accuracy` does.
    Source: Draper and Smith (1998), section 1.5.

    >>> r2([1.0, 2.0, 2.0], [1.0, 2.0, 3.0])
    0.5
    """
    predicted, wanted = numbers(predictions, targets)
    spread = float(((wanted - wanted.mean()) ** 2).sum()) if wanted.min() < wanted.max() else 0.0  # a mean may be rounded
    return 1 - float(((wanted - predicted) ** 2).sum()) / spread if spread else math.nan


# -- intervals


def wilson(right: float, total: float, confidence: float = 0.95) -> tuple[float, float]:
    """The interval of a share of ``right`` out of ``total``. Source: Wilson (1927).

    >>> [round(value, 4) for value in wilson(9, 10)]
    [0.5958, 0.9821]
    """
    from statistics import NormalDist

    if not total:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    rate, scale = right / total, 1 + z * z / total
    middle = (rate + z * z / (2 * total)) / scale
    half = z * math.sqrt(rate * (1 - rate) / total + z * z / (4 * total * total)) / scale
    # Rounding must not put the share itself outside, as at 0 of 5.
    return max(0.0, min(rate, middle - half)), min(1.0, max(rate, middle + half))


def bootstrap(metric: Callable[[Array, Array], float], predictions: Array, targets: Array, confidence: float = 0.95,
              resamples: int = 1000, seed: int = 0) -> tuple[float, float]:
    """The interval of any metric by resampling its examples. Source: Efron (1979), percentile method."""
    predicted, wanted = pair(predictions, targets)
    generator = np.random.default_rng(seed)
    values = []
    for _ in range(resamples):
        chosen = generator.integers(0, len(wanted), len(wanted))
        values.append(metric(predicted[chosen], wanted[chosen]))
    low, high = np.nanquantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def pair(predictions: Array, targets: Array) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    predicted, wanted = np.asarray(predictions), np.asarray(targets)
    if predicted.shape != wanted.shape or not predicted.size:
        raise UsageError(f"a metric needs as many predictions as targets, and at least one; got shapes "
                         f"{list(predicted.shape)} and {list(wanted.shape)}")
    return predicted, wanted


def numbers(predictions: Array, targets: Array) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """A `pair` in double precision: differences of small integers wrap around, those of short floats overflow."""
    predicted, wanted = pair(predictions, targets)
    return predicted.astype(np.float64), wanted.astype(np.float64)


def seen(table: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A confusion matrix without the classes that were neither predicted nor wanted."""
    kept = np.flatnonzero(table.sum(0) + table.sum(1))
    return np.asarray(table[np.ix_(kept, kept)])


def share(part: np.ndarray[Any, Any], whole: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.asarray(np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0))
