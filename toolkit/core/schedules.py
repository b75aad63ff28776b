"""Schedules: pure functions from the share of the budget that is done to a factor.

A learning rate at fraction ``f`` is ``learning_rate * schedule(f)``. They hold no state, so there
is nothing to restore when a run is resumed. Their settings are checked where they are read, by their
configs' bounds; the functions themselves raise nothing but what arithmetic raises.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol


class Schedule(Protocol):
    """``schedule(fraction)`` is the factor at ``fraction`` of the budget, both in [0, 1]."""

    def __call__(self, fraction: float) -> float: ...


def constant(fraction: float) -> float:
    """The factor 1, always. Raises nothing. Source: the fixed step of Kingma and Ba (2015), algorithm 1.

    >>> constant(0.3)
    1.0
    """
    return 1.0


def linear(fraction: float) -> float:
    """``1 - fraction``: a factor from 1 at the start to 0 at the end. Raises nothing.

    Source: Schulman et al. (2017), table 5.

    >>> linear(0.25)
    0.75
    """
    return 1.0 - fraction


def warmup(fraction: float, warmup: float = 0.1) -> float:
    """A straight line from 0 to 1 over the first ``warmup`` (a share) of the budget, then 1.

    Raises nothing. Source: Goyal et al. (2017), section 2.2.

    >>> warmup(0.05), warmup(0.6)
    (0.5, 1.0)
    """
    return min(1.0, fraction / warmup) if warmup else 1.0


def cosine(fraction: float, warmup: float = 0.05, final: float = 0.0) -> float:
    """A line up over ``warmup`` of the budget, then half a cosine from 1 down to ``final``.

    ``warmup`` is a share of the budget, below 1; raises ZeroDivisionError past it at 1.
    Source: Loshchilov and Hutter (2017), equation 5, without restarts.

    >>> [round(cosine(fraction), 6) for fraction in (0.025, 0.05, 0.525, 1.0)]
    [0.5, 1.0, 0.5, 0.0]
    """
    if fraction < warmup:
        return fraction / warmup
    progress = min(1.0, (fraction - warmup) / (1 - warmup))
    return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2


def warmup_linear(fraction: float, warmup: float = 0.1) -> float:
    """A line up over ``warmup`` of the budget, then a line down to 0: BERT's schedule.

    ``warmup`` is a share of the budget, below 1; raises ZeroDivisionError past it at 1.
    Source: Devlin et al. (2019), appendix A.2.

    >>> [round(warmup_linear(fraction), 6) for fraction in (0.05, 0.1, 0.55, 1.0)]
    [0.5, 1.0, 0.5, 0.0]
    """
    return fraction / warmup if fraction < warmup else max(0.0, (1 - fraction) / (1 - warmup))


def step(fraction: float, every: float = 0.3, gamma: float = 0.1) -> float:
    """``gamma ** n`` after n drops, one each ``every`` (a share) of the budget.

    Raises ZeroDivisionError for ``every`` 0. Source: He et al. (2016), section 4.2.

    >>> step(0.29), step(0.3), round(step(0.7), 6)
    (1.0, 0.1, 0.01)
    """
    # A position a rounding error before a drop is at the drop.
    return float(gamma ** math.floor(fraction / every + 1e-9))


def exponential(fraction: float, final: float = 0.1) -> float:
    """``final ** fraction``: the same share is lost in each stretch of the budget.

    ``fraction`` is a share of the budget. Raises ValueError (math) for a negative ``final``.
    Source: the decay of Kong et al. (2020), HiFi-GAN.
    A decay of 0.999 an epoch over n epochs is ``final = 0.999 ** n``.

    >>> exponential(0.0), round(exponential(0.5, final=0.01), 6), exponential(1.0)
    (1.0, 0.1, 0.1)
    """
    return math.pow(final, fraction)


def one_cycle(fraction: float, warmup: float = 0.3, start: float = 0.04, final: float = 0.000004) -> float:
    """Half a cosine up from ``start`` to 1 over ``warmup`` of the budget, then half a cosine down to ``final``.

    ``warmup`` is a share of the budget, below 1; raises ZeroDivisionError past it at 1.
    Source: Smith and Topin (2018), with the cosine that torch's ``OneCycleLR`` anneals by.

    >>> [round(one_cycle(fraction), 6) for fraction in (0.0, 0.3, 1.0)]
    [0.04, 1.0, 4e-06]
    """
    if fraction < warmup:
        return 1 + (start - 1) * (1 + math.cos(math.pi * fraction / warmup)) / 2
    return final + (1 - final) * (1 + math.cos(math.pi * (fraction - warmup) / (1 - warmup))) / 2


def plateau(fraction: float, patience: int = 2, gamma: float = 0.5, scores: Sequence[float] = ()) -> float:
    """``gamma ** n``, where n counts how often ``patience`` evaluations in a row brought no better score.

    ``scores`` are all evaluations so far, higher is better; whoever evaluates passes them. Where none
    are passed, as for agents, the factor stays 1. ``patience`` counts evaluations.
    Raises nothing. Source: torch's ``ReduceLROnPlateau``, which waits for one evaluation more.

    >>> plateau(0.5, scores=[1.0, 2.0, 2.0, 1.5]), plateau(0.5, scores=[1.0, 2.0, 2.5])
    (0.5, 1.0)
    """
    best, waited, drops = -math.inf, 0, 0
    for score in scores:
        waited = 0 if score > best else waited + 1
        best = max(best, score)
        if waited == patience:
            drops, waited = drops + 1, 0
    return float(gamma ** drops)


def interpolate(start: float, end: float, fraction: float) -> float:
    """From ``start`` at fraction 0 in a straight line to ``end`` at fraction 1, then ``end``.

    >>> interpolate(1.0, 0.1, 0.5)
    0.55
    """
    return start + (end - start) * min(1.0, max(0.0, fraction))
