"""Pictures of the scenes and of what is heard, in NumPy alone.

Letters: H height, W width, in pixels; y grows downwards.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SIDE = 240  # pixels, height of every picture
BACKGROUND, INK, ACCENT, TARGET = (245, 245, 240), (60, 60, 70), (30, 110, 200), (215, 80, 50)
FLOOR_DB = 70.0  # what is softer than the loudest by more is black
Picture = NDArray[np.uint8]
Color = tuple[int, int, int]


def canvas() -> Picture:
    """An empty scene [SIDE, SIDE, 3]."""
    return np.full((SIDE, SIDE, 3), BACKGROUND, np.uint8)


def disc(scene: Picture, x: float, y: float, radius: float, color: Color) -> None:
    """Fill a circle; coordinates and radius in pixels."""
    rows, columns = np.ogrid[:scene.shape[0], :scene.shape[1]]
    scene[(columns - x) ** 2 + (rows - y) ** 2 <= radius ** 2] = color


def line(scene: Picture, start: tuple[float, float], end: tuple[float, float], color: Color, width: float = 2.0) -> None:
    """A straight line from ``start`` to ``end`` (x, y)."""
    for share in np.linspace(0.0, 1.0, SIDE):
        disc(scene, start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1]), width / 2, color)


def grid(cells: int, position: tuple[int, int], goal: str) -> Picture:
    """``cells`` squares a side, the agent on one, and the side that is the goal coloured."""
    scene, size = canvas(), SIDE // cells
    edge = {"left": np.s_[:, :size], "right": np.s_[:, (cells - 1) * size:cells * size],
            "up": np.s_[:size, :], "down": np.s_[(cells - 1) * size:cells * size, :]}[goal]
    scene[edge] = (250, 205, 190)
    for index in range(cells + 1):
        at = min(index * size, SIDE - 1)
        scene[at, :], scene[:, at] = INK, INK
    disc(scene, (position[0] + 0.5) * size, (position[1] + 0.5) * size, size * 0.3, ACCENT)
    return scene


def spectrogram(sound: NDArray[np.float32], n_fft: int = 512) -> Picture:
    """The spectrum of each stretch of [T] or [E, T] (ears one below the other), low frequencies below, [SIDE, W, 3]."""
    ears = np.atleast_2d(sound)
    height = SIDE // len(ears)
    bands = [np.concatenate([_spectrogram(ear, height, n_fft), np.zeros((SIDE // len(ears) - height, SIDE))]) for ear in ears]
    levels = np.concatenate(bands)  # [H, W] in [0, 1]
    levels = np.pad(levels, ((0, SIDE - len(levels)), (0, 0)))
    colors = np.stack([levels ** 0.6, levels ** 1.5, 0.3 * levels + 0.25 * np.sin(np.pi * levels)], -1)
    return (255 * np.clip(colors, 0, 1)).astype(np.uint8)


def _spectrogram(sound: NDArray[np.float32], height: int, n_fft: int) -> NDArray[np.float64]:
    """Levels [height, SIDE] between 0 (floor) and 1 (full scale)."""
    starts = np.linspace(0, max(0, len(sound) - n_fft), SIDE).astype(int)
    padded = np.pad(sound, (0, max(0, n_fft - len(sound))))
    frames = padded[starts[:, None] + np.arange(n_fft)] * np.hanning(n_fft)  # [SIDE, n_fft]
    power = np.abs(np.fft.rfft(frames)) ** 2 / (n_fft / 4) ** 2  # [SIDE, bins]; a full-scale sine gives 1
    decibels = 10 * np.log10(power + 1e-12)
    rows = np.linspace(power.shape[1] - 1, 0, height).astype(int)
    return np.clip(1 + decibels.T[rows] / FLOOR_DB, 0, 1)


def beside(left: Picture, right: Picture) -> Picture:
    """Two pictures of one height, side by side."""
    return np.concatenate([left, np.full((left.shape[0], 8, 3), 255, np.uint8), right], 1)
