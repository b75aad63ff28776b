"""The loop over samples of WaveNet's generation, compiled when it is first used and kept on the disk.

A step is some fifty products of small matrices and vectors; called from Python one by one they cost five times as much.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Whole = NDArray[np.int64]


@numba.njit(cache=True, error_model="numpy")
def draw(levels: Whole, drawn: Whole, sample: int, rings: Array, offsets: Whole, dilations: Whole, embed: Array, gates: Array,
         told: Array, outputs: Array, output_bias: Array, first: Array, first_bias: Array, last: Array, last_bias: Array,
         noise: Array, sharpness: float) -> None:
    """Fill ``drawn`` [B, N] with the next N levels of each clip, given the last one, ``levels`` [B], which is moved on.

    rings [sum of dilations, B, C], layer l's from offsets[l] on; embed [Q, C]; gates [L, 2 C, 2 C], told [L, B, 2 C],
    outputs [L, C + S, C] and output_bias [L, C + S]; first [S, S], last [Q, S]; noise [N, Q].
    """
    layers, channels = len(dilations), embed.shape[1]
    skip = len(first_bias)
    both, hidden = np.zeros(2 * channels, np.float32), np.zeros(channels, np.float32)
    for clip in range(len(levels)):
        level = levels[clip]
        for step in range(drawn.shape[1]):
            states = embed[level].copy()
            total = np.zeros(skip, np.float32)
            for layer in range(layers):
                place = offsets[layer] + (sample + step) % dilations[layer]
                both[:channels] = rings[place, clip]
                both[channels:] = states
                rings[place, clip] = states
                gated = np.dot(gates[layer], both)
                for channel in range(channels):
                    filtered = np.tanh(gated[channel] + told[layer, clip, channel])
                    gate = gated[channels + channel] + told[layer, clip, channels + channel]
                    hidden[channel] = filtered / (np.float32(1) + np.exp(-gate))
                out = np.dot(outputs[layer], hidden) + output_bias[layer]
                states += out[:channels]
                total += out[channels:]
            seen = np.maximum(np.dot(first, np.maximum(total, np.float32(0))) + first_bias, np.float32(0))
            logits = np.dot(last, seen) + last_bias
            level = np.argmax(logits * np.float32(sharpness) + noise[step])
            drawn[clip, step] = level
        levels[clip] = level
