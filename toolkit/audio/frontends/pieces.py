"""The pieces that front ends are composed of.

Constants      arrays kept once for each dtype and device
BandedProduct  features times a mostly empty matrix, as a few small dense products
LogScale       the logarithm with its floor
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

GROUP_COST = 700  # multiplications a row that starting one more product is worth, with many rows
FEW_ROWS = 256  # up to which starting a product costs more than most of them would save
FEW_GROUP_COST = 2000
SIMD = 8  # a product narrower than this costs as much as one this wide


class Constants:
    """Float64 arrays, handed out as tensors like another tensor; converted once for each dtype and device."""

    def __init__(self, **arrays: np.ndarray) -> None:
        self._arrays = arrays
        self._tensors: dict[tuple[str, torch.dtype, torch.device], Tensor] = {}

    def get(self, name: str, like: Tensor) -> Tensor:
        key = (name, like.dtype if not like.is_complex() else like.real.dtype, like.device)
        if key not in self._tensors:
            with torch.inference_mode(False):
                self._tensors[key] = torch.tensor(self._arrays[name], dtype=key[1], device=key[2])
        return self._tensors[key]

    def array(self, name: str) -> np.ndarray:
        return self._arrays[name]

    def __deepcopy__(self, memo: Mapping[int, object]) -> Constants:
        return Constants(**self._arrays)


class BandedProduct:
    """``x [..., rows] @ matrix [rows, columns]`` where each column is zero but for a band.

    Neighbouring columns are grouped so that the dense products over the groups' bands cost least.
    """

    def __init__(self, matrix: np.ndarray) -> None:
        self.matrix = matrix
        self.groups = plan_groups(*bands_of(matrix), GROUP_COST)
        self.few_groups = plan_groups(*bands_of(matrix), FEW_GROUP_COST)
        self._constants = Constants(whole=matrix)
        self._parts: dict[tuple[bool, torch.dtype, torch.device], list[tuple[int, int, int, int, Tensor]]] = {}

    def __call__(self, values: Tensor) -> Tensor:
        flat = values.dim() == 2
        few = flat and values.shape[0] <= FEW_ROWS
        parts = self.parts(few, values.dtype, values.device)
        if len(parts) == 1 or values.device.type != "cpu":
            return values @ self._constants.get("whole", values)
        if not flat or values.requires_grad or few:
            return torch.cat([values.narrow(-1, low, high - low) @ part for _, _, low, high, part in parts], dim=-1)
        product = values.new_empty(values.shape[0], self.matrix.shape[1])
        for first, last, low, high, part in parts:
            torch.mm(values[:, low:high], part, out=product[:, first:last])
        return product

    def parts(self, few: bool, dtype: torch.dtype, device: torch.device) -> list[tuple[int, int, int, int, Tensor]]:
        """The groups, for few rows or for many, each with its part of the matrix; looked up once a product, for speed."""
        found = self._parts.get((few, dtype, device))
        if found is None:
            groups = self.few_groups if few else self.groups
            with torch.inference_mode(False):
                found = [(first, last, low, high, torch.tensor(self.matrix[low:high, first:last], dtype=dtype, device=device))
                         for first, last, low, high in groups]
            self._parts[few, dtype, device] = found
        return found

    def __deepcopy__(self, memo: Mapping[int, object]) -> BandedProduct:
        return BandedProduct(self.matrix)


def bands_of(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First row and end row of each column's non-zero band; an empty column has row 0 alone."""
    filled = matrix != 0
    low = filled.argmax(axis=0)
    high = np.where(filled.any(axis=0), matrix.shape[0] - filled[::-1].argmax(axis=0), low + 1)
    return low, high


def plan_groups(low: np.ndarray, high: np.ndarray, group_cost: int) -> list[tuple[int, int, int, int]]:
    """Groups (first column, end column, first row, end row) of least total cost, by dynamic programming."""
    columns = len(low)
    step = max(1, columns // 64)
    marks = [*range(0, columns, step), columns]
    lows, highs = np.minimum.reduceat(low, marks[:-1]).tolist(), np.maximum.reduceat(high, marks[:-1]).tolist()
    best: list[tuple[float, int]] = [(0.0, 0)] + [(math.inf, 0)] * (len(marks) - 1)
    for end in range(1, len(marks)):
        bottom, top = lows[end - 1], highs[end - 1]
        for start in range(end - 1, -1, -1):
            bottom, top = min(bottom, lows[start]), max(top, highs[start])
            cost = best[start][0] + (top - bottom) * max(SIMD, marks[end] - marks[start]) + group_cost
            if cost < best[end][0]:
                best[end] = (cost, start)
    groups = []
    end = len(marks) - 1
    while end > 0:
        start = best[end][1]
        groups.append((marks[start], marks[end], min(lows[start:end]), max(highs[start:end])))
        end = start
    return groups[::-1]


class LogScale:
    """The logarithm of non-negative values in the unit named by ``log``: natural, log10 or db.

    Decibels are 20 / power times log10, so that they do not depend on the exponent of the magnitude.
    """

    def __init__(self, log: str, floor: float, floor_mode: str = "clamp", power: float = 2.0) -> None:
        self.log, self.floor, self.adds = log, floor, floor_mode == "add"
        self.multiplier = 20.0 / power if log == "db" else 1.0
        # what one decibel is in this unit
        self.per_db = 1.0 if log == "db" else power / 20.0 * (math.log(10.0) if log == "natural" else 1.0)

    def __call__(self, values: Tensor) -> Tensor:
        if values.requires_grad:
            values = values + self.floor if self.adds else values.clamp(min=self.floor)
            scaled = values.log() if self.log == "natural" else values.log10()
            return scaled * self.multiplier if self.multiplier != 1.0 else scaled
        values = values.add_(self.floor) if self.adds else values.clamp_(min=self.floor)
        values = values.log_() if self.log == "natural" else values.log10_()
        return values.mul_(self.multiplier) if self.multiplier != 1.0 else values


def magnitudes(spectrum: Tensor, power: float, added: float = 0.0) -> Tensor:
    """|spectrum| ** power, or sqrt(|spectrum|² + added) ** power; its gradient at 0 is finite."""
    if power == 2.0 and not added:
        return squares(spectrum).unflatten(-1, (-1, 2)).sum(-1)
    magnitude = (squares(spectrum).unflatten(-1, (-1, 2)).sum(-1) + added).sqrt() if added else spectrum.abs()
    return magnitude if power == 1.0 else magnitude ** power


def powers(spectrum: Tensor) -> Tensor:
    """|spectrum|² of a complex tensor without gradient, which is overwritten."""
    parts = torch.view_as_real(spectrum)
    return torch.add(*parts.mul_(parts).unbind(-1))


def squares(spectrum: Tensor) -> Tensor:
    """Squared real and imaginary parts side by side: complex [..., bins] to real [..., 2 bins]."""
    parts = torch.view_as_real(spectrum).flatten(-2)  # [..., 2 bins]
    return parts * parts if parts.requires_grad else parts.mul_(parts)
