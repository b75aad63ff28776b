"""One root seed, many independent random streams.

Every consumer of randomness (each environment, acting, sampling, shuffling, evaluation) gets a
stream of its own, derived from the root seed and the consumer's name by NumPy's SeedSequence, so
that adding one consumer never changes what another draws. Python's and NumPy's global generators
are never read.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

TORCH_SEED_BITS = 63


class Streams:
    """The named random streams of one root seed.

    >>> Streams(1).seed("env", 0) == Streams(1).seed("env", 0) != Streams(1).seed("env", 1)
    True
    """

    def __init__(self, seed: int) -> None:
        self.root = seed

    def sequence(self, name: str, index: int = 0) -> np.random.SeedSequence:
        return np.random.SeedSequence(self.root, spawn_key=(zlib.crc32(name.encode()), index))

    def generator(self, name: str, index: int = 0) -> np.random.Generator:
        """A NumPy generator for the consumer called ``name``."""
        return np.random.default_rng(self.sequence(name, index))

    def seed(self, name: str, index: int = 0) -> int:
        """A non-negative 31-bit seed, for consumers that take an integer (gymnasium, torch)."""
        return int(self.sequence(name, index).generate_state(1)[0] >> 1)


class GeneratorState:
    """Saves and restores a NumPy generator as JSON values (a named part of a checkpoint)."""

    def __init__(self, generator: np.random.Generator) -> None:
        self.generator = generator

    def state_dict(self) -> dict[str, Any]:
        return dict(self.generator.bit_generator.state)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.bit_generator.state = state


class TorchGenerator:
    """Torch's default generators (dropout and weight initialisation read them), as saveable state."""

    def state_dict(self) -> dict[str, Any]:
        import torch

        state: dict[str, Any] = {"cpu": torch.get_rng_state()}
        if torch.cuda.is_available() and torch.cuda._initialized:
            state["cuda"] = torch.cuda.get_rng_state()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        import torch

        torch.set_rng_state(state["cpu"])
        if "cuda" in state and torch.cuda.is_available():
            torch.cuda.set_rng_state(state["cuda"])
