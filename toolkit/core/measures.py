"""Metrics by name on what an evaluation found: predictions against targets."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from toolkit.config import Part
from toolkit.core.base import Metric
from toolkit.registry import registry

Pairs = Mapping[str, tuple[Any, Any]]  # by the sort of prediction (classes, scores, numbers, texts): predictions and targets


class Measure(NamedTuple):
    """A metric, the name that its values go by, and the sorts of predictions that it takes; none is any."""

    name: str
    metric: Metric
    takes: tuple[str, ...]

    def of(self, pairs: Pairs) -> Any:
        """The metric's number, or array, for the finest predictions that it takes; NaN, with a warning, where it fails.

        A run is not lost for a number beside it.
        """
        fitting = [pair for sort, pair in pairs.items() if sort in self.takes or not self.takes]
        predictions, targets = fitting[-1 if self.takes else 0]
        try:
            return np.asarray(self.metric(predictions, targets), dtype=float)
        except Exception as error:  # whatever a metric raises that does not suit these predictions
            warnings.warn(f"the metric {self.name!r} gives nothing here: {type(error).__name__}: {error}. "
                          f"See: toolkit check metric {self.name}", stacklevel=2)
            return np.asarray(np.nan)


def measures_of(chosen: Sequence[Part]) -> list[Measure]:
    """The metrics ``chosen``. Raises UnknownComponent or MissingExtra."""
    entries = [registry.get("metric", part.name) for part in chosen]
    return [Measure(entry.written, registry.make("metric", part), entry.places)
            for entry, part in zip(entries, chosen, strict=True)]


def measured(measures: Sequence[Measure], pairs: Pairs) -> tuple[dict[str, float], dict[str, Any]]:
    """What ``measures`` say of ``pairs``: their numbers, and their arrays as lists."""
    found = {measure.name: measure.of(pairs) for measure in measures}
    return ({name: float(value) for name, value in found.items() if value.size == 1},
            {name: value.tolist() for name, value in found.items() if value.size != 1})
