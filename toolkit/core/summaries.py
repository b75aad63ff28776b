"""What an evaluation says, by name: ``accuracy``, its interval ``accuracy_low`` and ``accuracy_high``, ``accuracy/accent``.

A metric of another split is ``name/split``; the interval of one stands under ``name_low/split`` or ``name/split_low``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def interval_of(name: str, summary: Mapping[str, Any]) -> tuple[float, float] | None:
    """Both ends of the metric's interval, where it has one.

    >>> interval_of("f1/cv", {"f1/cv": 0.5, "f1/cv_low": 0.4, "f1/cv_high": 0.6})
    (0.4, 0.6)
    """
    return next(((summary[low], summary[high]) for low, high in bounds_of(name) if low in summary and high in summary), None)


def numbers_of(summary: Mapping[str, Any]) -> dict[str, float]:
    """The metrics that are numbers, in their order, without the ends of intervals.

    >>> numbers_of({"f1": 0.5, "f1_low": 0.4, "f1_high": 0.6, "returns": [1.0]})
    {'f1': 0.5}
    """
    ends = {end for name in summary for pair in bounds_of(name) if pair[0] in summary and pair[1] in summary for end in pair}
    return {name: value for name, value in summary.items()
            if isinstance(value, (int, float)) and not isinstance(value, bool) and name not in ends}


def finite(value: Any) -> Any:
    """``value`` as JSON can hold it: infinities and NaN become None, and complex numbers text.

    >>> finite({"r2": float("nan"), "returns": (1.0, float("inf"))})
    {'r2': None, 'returns': [1.0, None]}
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, complex):
        return str(value)
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


def bounds_of(name: str) -> list[tuple[str, str]]:
    metric, slash, split = name.partition("/")
    return [(f"{metric}_low{slash}{split}", f"{metric}_high{slash}{split}"), (f"{name}_low", f"{name}_high")]
