"""Sound in blocks, read as often as it must be: what transforms make of a recording that is not held whole.

Sound     blocks that can be read again, and how many samples they hold together
in_units  the same samples in blocks of one size
span      a stretch of the samples, with silence where there are none

Where numbers are added up, convolved or drawn, it is done unit by unit, so that how a recording is read changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

UNIT = 1 << 16  # samples; torch draws the same numbers in parts as at once where parts are multiples of 16


class Sound(NamedTuple):
    """``samples`` samples; ``read`` begins to read them anew, in blocks [T] of any size, none of them empty."""

    read: Callable[[], Iterable[Tensor]]
    samples: int

    def each(self, change: Callable[[Tensor], Tensor]) -> Sound:
        """Every block after ``change``, which looks at samples one by one."""
        return Sound(lambda: map(change, self.read()), self.samples)

    def units(self) -> Iterator[Tensor]:
        """The samples in blocks that do not depend on how they are read."""
        return in_units(self.read())

    def peak(self) -> float:
        """The largest magnitude; this reads the sound once."""
        return max((float(block.abs().max()) for block in self.read()), default=0.0)

    def power(self) -> float:
        """The mean square, in double precision; this reads the sound once."""
        return power_of_units(self.units(), self.samples)


def power_of_units(units: Iterable[Tensor], samples: int) -> float:
    """The mean square of ``samples`` samples."""
    return sum(float(unit.double().square().sum()) for unit in units) / max(1, samples)


def unit_sizes(samples: int) -> Iterator[int]:
    """The sizes of the blocks of `in_units`: `UNIT`, and what is left with the last one."""
    while samples >= 2 * UNIT:
        yield UNIT
        samples -= UNIT
    if samples:
        yield samples


def in_units(blocks: Iterable[Tensor]) -> Iterator[Tensor]:
    """The samples of ``blocks`` in blocks of the sizes `unit_sizes`."""
    waiting: list[Tensor] = []
    samples = 0
    for block in blocks:
        waiting.append(block)
        samples += len(block)
        if samples >= 2 * UNIT:
            kept = torch.cat(waiting)
            whole = samples // UNIT - 1
            yield from kept[:whole * UNIT].split(UNIT)
            waiting = [kept[whole * UNIT:].clone()]
            samples -= whole * UNIT
    if samples:
        yield torch.cat(waiting)


def span(blocks: Iterable[Tensor], first: int, samples: int) -> Iterator[Tensor]:
    """``samples`` samples of ``blocks`` from sample ``first`` on; before the beginning and after the end is silence."""
    left = samples
    if first < 0:
        yield from silence(min(left, -first))
        left -= min(left, -first)
    skipped = max(0, first)
    for block in blocks if left else ():
        part = block[skipped:][:left]
        skipped = max(0, skipped - len(block))
        left -= len(part)
        if len(part):
            yield part
        if not left:
            return
    yield from silence(left)


def silence(samples: int) -> Iterator[Tensor]:
    return (torch.zeros(size) for size in unit_sizes(samples))
