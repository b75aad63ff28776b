"""Batches by seconds: clips of like length together, as many as fit.

buckets             clips sorted into ranges of duration with about as much sound in each
batches_by_seconds  batches whose padded length is at most so many seconds
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from toolkit.errors import UsageError


def buckets(durations: Sequence[float], count: int) -> list[float]:
    """Upper bounds (seconds, ascending) of at most ``count`` ranges that hold about equal total duration.

    The last bound is the longest duration. Raises UsageError without durations.
    """
    if not durations or count < 1:
        raise UsageError(f"buckets need at least one duration and one bucket; got {len(durations)} and {count}")
    ordered = sorted(durations)
    share, total = sum(ordered) / count, 0.0
    bounds: list[float] = []
    for duration in ordered:
        total += duration
        if total >= share * (len(bounds) + 1) - 1e-9:
            bounds.append(duration)
    bounds.append(ordered[-1])
    return sorted(set(bounds))[-count:]


def batches_by_seconds(durations: Sequence[float], seconds: float, *, max_clips: int | None = None, n_buckets: int = 20,
                       seed: int | None = None, epoch: int = 0) -> list[list[int]]:
    """Indices in batches whose padded size, the longest clip times their number, is at most ``seconds``.

    Every clip is in exactly one batch; one longer than ``seconds`` is alone in its batch. With a ``seed``
    the clips are shuffled within their bucket of like durations and the batches among each other,
    differently each ``epoch`` and reproducibly; without one the order is by duration.
    """
    if seconds <= 0 or (max_clips is not None and max_clips < 1):
        raise UsageError(f"seconds must be above 0 and max_clips at least 1; got {seconds} and {max_clips}")
    if not durations:
        return []
    bounds = buckets(durations, n_buckets)
    chosen = random.Random(f"{seed}/{epoch}") if seed is not None else None
    order = sorted(range(len(durations)), key=lambda index: (durations[index], index))
    groups: list[list[int]] = [[] for _ in bounds]
    place = 0
    for index in order:
        while durations[index] > bounds[place]:
            place += 1
        groups[place].append(index)
    batches = []
    for group in groups:
        if chosen is not None:
            chosen.shuffle(group)
        batches += packed(group, durations, seconds, max_clips)
    if chosen is not None:
        chosen.shuffle(batches)
    return batches


def packed(group: Sequence[int], durations: Sequence[float], seconds: float, max_clips: int | None) -> list[list[int]]:
    """``group`` cut, in its order, into batches that fit."""
    batches: list[list[int]] = []
    longest = 0.0
    for index in group:
        size = len(batches[-1]) + 1 if batches else 0
        if not batches or size > (max_clips or size) or max(longest, durations[index]) * size > seconds:
            batches.append([])
            longest = 0.0
        batches[-1].append(index)
        longest = max(longest, durations[index])
    return batches
