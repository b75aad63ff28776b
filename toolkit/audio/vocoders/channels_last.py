"""Convolutions over time without gradients on a CPU: the channels of a sample side by side in memory.

A convolution of [B, C, T] is first copied to such a layout by torch and its result copied back. One of [B, C, 1, T] in
`torch.channels_last` is not: hardly any copies are left of what takes a third of a generator's time.

lay_out    keep weights in the order that products read them in; shapes and values stay
convolve   what a layer does to [B, C, 1, T]
columns    rows [B, T, C] as [B, C, 1, T]; `rows` is the way back
in_blocks  work over time, in blocks that stay in the cache, each on one thread

B clips, C channels, T steps of time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from toolkit.audio.threads import in_threads

BLOCK = 2 ** 20  # bytes of a block at most: half of a common second-level cache
LEAST = 32  # how many times longer than its margin a block must be; the margins are computed twice


def lay_out(module: nn.Module) -> None:
    """Keep the weights [O, I, K] of all convolutions over time in the order O, K, I, and those [O, I] of linear layers as I, O.

    With the second a product of a hundred rows or so is a tenth faster: torch need not turn the weights around at each call.
    """
    with torch.inference_mode(False), torch.no_grad():  # weights made in inference mode could give no gradient later
        for part in module.modules():
            if isinstance(part, (nn.Conv1d, nn.ConvTranspose1d)):
                weight = part.weight.transpose(1, 2).clone(memory_format=torch.contiguous_format).transpose(1, 2)
                part.weight = nn.Parameter(weight, requires_grad=part.weight.requires_grad)
            elif isinstance(part, nn.Linear):
                turned = part.weight.t().clone(memory_format=torch.contiguous_format).t()
                part.weight = nn.Parameter(turned, requires_grad=part.weight.requires_grad)


def convolve(layer: nn.Module, x: Tensor) -> Tensor:
    """``layer``, an ``nn.Conv1d`` or ``nn.ConvTranspose1d`` that pads with zeros, on [B, C, 1, T]; of the weights' type."""
    assert isinstance(layer, (nn.Conv1d, nn.ConvTranspose1d)) and not isinstance(layer.padding, str)
    weight, stride, padding, dilation = layer.weight[:, :, None], (1, *layer.stride), (0, *layer.padding), (1, *layer.dilation)
    x = x.to(weight.dtype)
    if isinstance(layer, nn.Conv1d):
        return functional.conv2d(x, weight, layer.bias, stride, padding, dilation, layer.groups)
    return functional.conv_transpose2d(x, weight, layer.bias, stride, padding, (0, *layer.output_padding), layer.groups, dilation)


def columns(x: Tensor) -> Tensor:
    """[B, C, 1, T] of rows [B, T, C]; a copy where these are not contiguous."""
    return x.contiguous().transpose(1, 2)[:, :, None]


def rows(x: Tensor) -> Tensor:
    """Rows [B, T, C] of [B, C, 1, T]."""
    return x[:, :, 0].transpose(1, 2)


def in_blocks(work: Callable[[Tensor], Tensor], x: Tensor, radius: int) -> Tensor:
    """``work(x)`` of [B, C, 1, T], whose values depend on ``radius`` steps on both sides and whose shape is that of ``x``."""
    length, threads = x.shape[-1], torch.get_num_threads()
    largest = BLOCK // (x.shape[0] * x.shape[1] * x.element_size())
    if length <= largest or largest < LEAST * radius:
        return work(x)
    size = -(-length // (-(-length // (largest * threads)) * threads))  # as many blocks for each thread
    result = torch.empty_like(x)

    def fill(begin: int) -> None:
        end, first = min(length, begin + size), max(0, begin - radius)
        result[..., begin:end] = work(x[..., first:end + radius])[..., begin - first:end - first]

    in_threads([partial(fill, begin) for begin in range(0, length, size)])
    return result
