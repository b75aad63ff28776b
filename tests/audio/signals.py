"""Sounds that the tests share."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def noise(samples: int, seed: int = 0, level: float = 0.1) -> Tensor:
    return torch.from_numpy((np.random.default_rng(seed).standard_normal(samples) * level).astype(np.float32))


def tone(frequency: float, seconds: float, rate: int, amplitude: float = 0.5) -> Tensor:
    time = np.arange(round(seconds * rate)) / rate
    return torch.from_numpy((amplitude * np.sin(2 * np.pi * frequency * time)).astype(np.float32))


def speech_like(seconds: float, rate: int = 16000, seed: int = 0) -> Tensor:
    """A harmonic voice with a gliding pitch, two syllables a second, pauses between them, and a recording's faint noise."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    pitch = 120 * (1 + 0.2 * np.sin(2 * np.pi * 0.7 * time + random.uniform(0, 6)))
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    voice = sum(np.sin(number * phase) / number for number in range(1, 25))
    syllables = np.clip(np.sin(2 * np.pi * 2 * time), 0, None) ** 0.5
    floor = 1e-3 * random.standard_normal(len(time))
    return torch.from_numpy((0.2 * voice * syllables + floor).astype(np.float32))
