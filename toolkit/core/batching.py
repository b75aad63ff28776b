"""Which examples go into which batch: a pure function of sizes, generator and limits.

An order is computed anew for each epoch from the run's seed and the epoch's number, so a resumed
run needs to remember nothing but the epoch and how many batches of it are done.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

POOL = 50  # batches' worth of examples that are sorted by size together


def epoch_batches(sizes: Array, batch_size: int, generator: np.random.Generator, *, bucket: bool = True,
                  batch_length: int | None = None, full: bool = False) -> list[Array]:
    """The batches of one epoch, as indices; every example is in exactly one.

    With ``full`` the last one is filled up with the epoch's first examples again, as often as it takes.

    With ``bucket`` the examples of one batch are of like size: the shuffled examples are sorted within
    pools of 50 batches, so that little is padded and the order still differs each epoch.
    ``batch_length`` limits a batch's padded size (its longest example times its number).
    """
    order = generator.permutation(len(sizes))
    if full:
        order = np.resize(order, -(-len(order) // batch_size) * batch_size)
    if not bucket or len(sizes) == 0 or (sizes == sizes[0]).all():
        return packed(order, sizes, batch_size, batch_length)
    batches: list[Array] = []
    pool = POOL * batch_size
    for start in range(0, len(order), pool):
        chosen = order[start:start + pool]
        batches += packed(chosen[np.argsort(sizes[chosen], kind="stable")], sizes, batch_size, batch_length)
    return [batches[index] for index in generator.permutation(len(batches))]


def packed(order: Array, sizes: Array, batch_size: int, batch_length: int | None = None) -> list[Array]:
    """``order`` cut into batches that hold at most so many examples and so much padded size."""
    if batch_length is None:
        return [order[start:start + batch_size] for start in range(0, len(order), batch_size)]
    batches, begin, longest = [], 0, 0
    for place, index in enumerate(order):
        longest = max(longest, int(sizes[index]))
        count = place - begin + 1
        if count > 1 and (count > batch_size or longest * count > batch_length):
            batches.append(order[begin:place])
            begin, longest = place, int(sizes[index])
    return [*batches, order[begin:]] if len(order) else []


def plain_batches(sizes: Array, batch_size: int, batch_length: int | None = None) -> list[Array]:
    """Batches in order of size, for evaluation: the same each time, and little padding."""
    return packed(np.argsort(sizes, kind="stable"), sizes, batch_size, batch_length)


def hold_out(count: int, share: float, seed: int, groups: Array | None = None) -> tuple[Array, Array]:
    """Indices kept and held out, both ascending.

    With ``groups`` [N] (classes), each keeps its share on both sides as nearly as can be, and a group
    of two or more is on both sides.
    """
    generator = np.random.default_rng(seed)
    names = np.zeros(count, np.int64) if groups is None else np.unique(groups, return_inverse=True)[1]
    held = []
    for group in np.split(np.argsort(names, kind="stable"), np.cumsum(np.bincount(names))[:-1]) if count else []:
        members = generator.permutation(group)
        wanted = round(share * len(members))
        held.append(members[:min(max(1, wanted), len(members) - 1)])
    out = np.sort(np.concatenate(held)) if held else np.zeros(0, np.int64)
    return np.setdiff1d(np.arange(count), out), out


def folds(count: int, number: int, seed: int, groups: Array | None = None) -> list[Array]:
    """``number`` disjoint held-out sets that together are everything; classes are spread evenly."""
    generator = np.random.default_rng(seed)
    names = np.zeros(count, np.int64) if groups is None else np.unique(groups, return_inverse=True)[1]
    order = generator.permutation(count)
    order = order[np.argsort(names[order], kind="stable")]
    return [np.sort(order[start::number]) for start in range(number)]
