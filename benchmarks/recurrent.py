"""One forward and backward pass of recurrent layers, ours beside torch's packed sequences, on one thread.

    python benchmarks/recurrent.py [--rounds 7]

Both read the same padded batch with the same parameters, in turns; ratios are medians over rounds, with the smallest and largest.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from toolkit.core.layers.recurrent import CELLS

# clips or texts, steps, inputs, units of each direction, layers
SIZES = ((16, 150, 240, 96, 2), (32, 40, 64, 128, 1), (32, 25, 240, 64, 1))


def seconds(read: Callable[..., Any], inputs: Tensor, lengths: Tensor) -> float:
    begin = time.perf_counter()
    read(inputs, lengths)[0].square().sum().backward()
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    for cell in CELLS:
        for count, steps, width, units, layers in SIZES:
            layer = CELLS[cell](width, units, layers, batch_first=True, bidirectional=True)
            inputs = torch.randn(count, steps, width, requires_grad=True)
            lengths = torch.linspace(steps // 2, steps, count).long()
            ratios = [seconds(layer.read_packed, inputs, lengths) / seconds(layer.read, inputs, lengths)
                      for _ in range(rounds + 1)][1:]  # the first is not counted
            print(f"{cell} {count} x {steps} x {width}, {units} units, {layers} layers: "
                  f"{statistics.median(ratios):.2f} times as fast ({min(ratios):.2f} to {max(ratios):.2f})", flush=True)


if __name__ == "__main__":
    main()
