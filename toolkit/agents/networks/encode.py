"""From stored observations to float inputs, for every kind of observation space.

Letters: B batch, D inputs.

A Discrete element becomes one-hot, MultiDiscrete several one-hots, MultiBinary floats, a Box its
flattened numbers (bytes of an image divided by 255). Dict and Tuple observations are stored packed
(`toolkit.envs.packing`); their leaves are encoded one by one and joined.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor
from torch.nn.functional import one_hot

from toolkit.envs import packing
from toolkit.errors import UsageError

Space = gymnasium.Space[Any]
BYTE = 255.0


def is_image(space: Space) -> bool:
    """Whether ``space`` holds bytes up to 255 in three dimensions (or two, for one grey picture; four, for several in colour).

    Bytes with other bounds are a board or its like: numbers as any.
    """
    return (isinstance(space, spaces.Box) and space.dtype == np.uint8 and len(space.shape) in (2, 3, 4)
            and bool((space.high == BYTE).any()))


def leaves(space: Space, observations: Tensor) -> list[tuple[Space, Tensor]]:
    """The elements of packed observations [B, bytes], each with its space; the observations themselves otherwise."""
    if not packing.is_packed(space):
        return [(space, observations)]
    parts = packing.unpack(space, observations)
    return [(leaf.space, parts[leaf.path]) for leaf in packing.layout(space).leaves]


def leaf_spaces(space: Space) -> list[Space]:
    """The elementary spaces inside ``space``."""
    if not packing.is_packed(space):
        return [space]
    return [leaf.space for leaf in packing.layout(space).leaves]


class Flattened(spaces.Box):
    """Encoded observations beside other numbers, [D]; ``parts`` are the spaces side by side in it, in order.

    Networks that tell their inputs apart, as those that hear, look at the parts; others see a vector.
    """

    def __init__(self, observation_space: Space, others: int) -> None:
        vectors = [leaf if isinstance(leaf, spaces.Box) and leaf.dtype == np.float32
                   else spaces.Box(-np.inf, np.inf, (width(leaf),), np.float32) for leaf in leaf_spaces(observation_space)]
        self.parts: list[Space] = [*vectors, spaces.Box(-np.inf, np.inf, (others,), np.float32)]
        super().__init__(-np.inf, np.inf, (sum(width(part) for part in self.parts),), np.float32)

    def split(self, values: Tensor) -> list[tuple[Space, Tensor]]:
        """Values [B, D] as the parts' own, each [B, ...]."""
        pieces = values.split([width(part) for part in self.parts], -1)
        return [(part, piece.reshape(len(values), *(part.shape or ()))) for part, piece in zip(self.parts, pieces, strict=True)]


def width(space: Space) -> int:
    """How many inputs D an elementary space gives."""
    if isinstance(space, spaces.Discrete):
        return int(space.n)
    if isinstance(space, spaces.MultiDiscrete):
        return int(space.nvec.sum())
    if isinstance(space, (spaces.Box, spaces.MultiBinary)):
        return int(np.prod(space.shape or (1,)))
    raise UsageError(f"observations of the space {space} cannot be encoded; allowed: Box, Discrete, MultiDiscrete, "
                     "MultiBinary, and Dict or Tuple of them")


def encode_leaf(space: Space, values: Tensor) -> Tensor:
    """Elements [B, ...] of an elementary space as inputs [B, D]."""
    if isinstance(space, spaces.Discrete):
        return one_hot(values.reshape(-1).long() - int(space.start), int(space.n)).float()  # [B, n]
    if isinstance(space, spaces.MultiDiscrete):
        flat = values.reshape(len(values), -1).long() - torch.as_tensor(space.start.reshape(-1), device=values.device)
        sizes = space.nvec.reshape(-1).tolist()
        return torch.cat([one_hot(flat[:, i], size).float() for i, size in enumerate(sizes)], -1)  # [B, sum of sizes]
    flat = values.reshape(len(values), -1).float()  # [B, D]
    return flat / BYTE if is_image(space) else flat


class Encoder:
    """Stored observations [B, ...] to inputs [B, D]; ``size`` is D.

    ``plain`` says that observations are inputs already: float vectors.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self.size = sum(width(leaf) for leaf in leaf_spaces(space))
        self.plain = isinstance(space, spaces.Box) and space.dtype == np.float32 and space.shape == (self.size,)

    def __call__(self, observations: Tensor) -> Tensor:
        if self.plain:
            return observations
        encoded = [encode_leaf(leaf, values) for leaf, values in leaves(self.space, observations)]
        return encoded[0] if len(encoded) == 1 else torch.cat(encoded, -1)  # [B, D]
