"""Where a position is: added to it (sinusoidal, learned) or turning queries and keys (rotary)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from toolkit.core.configs import PositionsConfig, RotaryConfig
from toolkit.errors import UsageError


class Sinusoidal(nn.Module):
    """Adds sines and cosines of falling frequency to x [B, T, D]; no parameters, any length up to ``longest``.

    Even numbers are ``sin(t / 10000^(i / D))``, odd ones the cosine. ``start`` is the first position.
    Raises UsageError past ``longest`` and for an odd width. Source: Vaswani et al. (2017), section 3.5.

    >>> Sinusoidal(PositionsConfig(width=2, longest=4))(torch.zeros(1, 2, 2)).mul(100).round().tolist()
    [[[0.0, 100.0], [84.0, 54.0]]]
    """

    table: Tensor

    def __init__(self, config: PositionsConfig) -> None:
        super().__init__()
        if config.width % 2:
            raise UsageError(f"width {config.width} is odd; sines and cosines come in pairs. Allowed: even numbers, such as "
                             f"{config.width + 1}")
        rates = torch.exp(torch.arange(0, config.width, 2) * (-math.log(10_000.0) / config.width))  # [D / 2]
        angles = torch.arange(config.longest)[:, None] * rates  # [T, D / 2]
        table = torch.stack([angles.sin(), angles.cos()], -1).flatten(1)  # [T, D]
        self.register_buffer("table", table, persistent=False)

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        check_room(start + x.shape[1], self.table.shape[0])
        return x + self.table[start:start + x.shape[1]]


class Learned(nn.Module):
    """Adds one learned vector a position to x [B, T, D]. Raises UsageError past ``longest`` positions.

    Source: Gehring et al. (2017), section 3.1; BERT and GPT-2 do so.

    >>> Learned(PositionsConfig(width=4, longest=8))(torch.zeros(2, 3, 4)).shape
    torch.Size([2, 3, 4])
    """

    def __init__(self, config: PositionsConfig) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(config.longest, config.width))
        nn.init.normal_(self.table, std=0.02)

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        check_room(start + x.shape[1], self.table.shape[0])
        return x + self.table[start:start + x.shape[1]]


class Rotary(nn.Module):
    """Turns pairs of numbers of x [..., T, d] by an angle that grows with the position.

    The product of a turned query and a turned key depends on their distance alone. Number i is paired
    with number i + d / 2. Raises UsageError for an odd width. Source: Su et al. (2021), equation 34,
    with GPT-NeoX's pairing.

    >>> rotary = Rotary(RotaryConfig(width=2))
    >>> rotary(torch.tensor([[1.0, 0.0], [1.0, 0.0]])).mul(100).round().tolist()
    [[100.0, 0.0], [54.0, 84.0]]
    """

    rates: Tensor

    def __init__(self, config: RotaryConfig) -> None:
        super().__init__()
        if config.width % 2:
            raise UsageError(f"width {config.width} is odd; numbers are turned in pairs")
        rates = config.base ** (-torch.arange(0, config.width, 2) / config.width)
        self.register_buffer("rates", rates, persistent=False)
        self._made: tuple[Tensor, Tensor] | None = None  # what `turned` takes, [T, d], for the positions met so far

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        cosines, sines = self._tables(start + x.shape[-2], x)
        end = start + x.shape[-2]
        return turned(x, cosines[start:end], sines[start:end])

    def at(self, position: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines [d] of one position: what `turned` takes."""
        cosines, sines = self._tables(position + 1, like)
        return cosines[position], sines[position]

    def _tables(self, length: int, like: Tensor) -> tuple[Tensor, Tensor]:
        if self._made is None or self._made[0].shape[0] < length or self._made[0].device != like.device:
            room = max(64, 1 << (length - 1).bit_length())
            with torch.inference_mode(False):  # they outlive the call, and training may need them next
                angles = torch.arange(room, device=like.device)[:, None] * self.rates.to(like.device)  # [T, d / 2]
                cosines, sines = angles.cos(), angles.sin()
                self._made = torch.cat([cosines, cosines], -1), torch.cat([-sines, sines], -1)
        return self._made


def turned(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """x [..., d] with number i and number i + d / 2 turned as a pair; the first half of ``sines`` is negative."""
    return torch.addcmul(x * cosines, x.roll(x.shape[-1] // 2, -1), sines)


def check_room(length: int, longest: int) -> None:
    if length > longest:
        raise UsageError(f"a sequence has {length} positions, and there are positions for {longest}. "
                         "Make it shorter, or the model longer")
