"""The body of an agent's networks, made by name and held to what every network promises."""

from __future__ import annotations

import copy
import numbers
from typing import Any

import gymnasium
import torch
from numpy.typing import NDArray
from torch import nn

from toolkit.config import Part
from toolkit.envs import packing
from toolkit.envs.base import zeros
from toolkit.errors import UsageError
from toolkit.registry import registry


def make_body(network: Part, observation_space: gymnasium.Space[Any]) -> nn.Module:
    """A network that gives features [B, features] of observations [B, ...], in evaluation mode: see `fast.learning`.

    Raises UsageError for one that gives something else: what is put on top of it would fail with torch's words.
    """
    body: nn.Module = registry.make("network", network, observation_space=observation_space)
    features = getattr(body, "features", None)
    if not isinstance(features, numbers.Integral):
        raise broken(network, f"features is {features!r}, promised: how many numbers it gives of an observation")
    with torch.no_grad():
        found = body.eval()(torch.from_numpy(one_of(observation_space)))
    if not isinstance(found, torch.Tensor) or tuple(found.shape) != (1, features) or found.dtype != torch.float32:
        given = f"{found.dtype} {list(found.shape)}" if isinstance(found, torch.Tensor) else type(found).__name__
        raise broken(network, f"it gives {given} of one observation, promised: torch.float32 [1, {features}]")
    return body


def one_of(space: gymnasium.Space[Any]) -> NDArray[Any]:
    """Some element of ``space``, as stored [1, ...]; the space's own random numbers are left alone."""
    drawn, rows = copy.deepcopy(space), zeros(space, 1)
    drawn.seed(0)
    rows[0] = packing.pack(space, drawn.sample())
    return rows


def broken(network: Part, what: str) -> UsageError:
    return UsageError(f"the network {network.name} does not keep what networks promise: {what}. "
                      f"What else is wrong: toolkit check network {network.name}")
