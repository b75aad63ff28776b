"""Schedules: pure functions from the share of the budget that is done to a factor.

A learning rate at fraction ``f`` is ``learning_rate * schedule(f)``. They hold no state, so there
is nothing to restore when a run is resumed.
"""

from __future__ import annotations

from typing import Protocol


class Schedule(Protocol):
    """``schedule(fraction)`` is the factor at ``fraction`` of the budget, both in [0, 1]."""

    def __call__(self, fraction: float) -> float: ...


def constant(fraction: float) -> float:
    """1, always."""
    return 1.0


def linear(fraction: float) -> float:
    """``1 - fraction``: from 1 at the start to 0 at the end."""
    return 1.0 - fraction


def interpolate(start: float, end: float, fraction: float) -> float:
    """From ``start`` at fraction 0 in a straight line to ``end`` at fraction 1, then ``end``.

    >>> interpolate(1.0, 0.1, 0.5)
    0.55
    """
    return start + (end - start) * min(1.0, max(0.0, fraction))
