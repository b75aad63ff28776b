"""Observations that a person gives, as a policy takes them: one or a batch, checked against the space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from toolkit.envs import packing
from toolkit.errors import UsageError

Array = NDArray[Any]
Space = gymnasium.Space[Any]


def rows_of(given: Any, space: Space) -> tuple[Array, bool]:
    """``given`` as stored observations [N, ...], and whether it was one alone; a batch is stacked in every part, as gymnasium
    stacks them, or, of a Dict or Tuple space, a list of its elements.

    Raises UsageError for what does not fit ``space``.
    """
    if isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], Mapping) and not isinstance(space, spaces.Tuple):
        raise UsageError("predict: got an observation and its info, as reset() gives them, allowed: the observation alone: "
                         "observation, info = env.reset()")
    if packing.is_packed(space) and is_list_of_elements(given, space):
        return np.concatenate([rows_of(item, space)[0] for item in given]), False
    parts = [(leaf, part_of(given, leaf, space)) for leaf in packing.layout(space).leaves]
    counts = {leaf.path: 1 if array.shape == leaf.shape else len(array) for leaf, array in parts}
    if len(set(counts.values())) > 1:
        found = ", ".join(f"{count} at {path!r}" for path, count in counts.items())
        raise UsageError(f"predict: got observations with {found}, allowed: one, or a batch of equally many in every part; "
                         f"this policy sees {space}")
    count, single = next(iter(counts.values())), any(array.shape == leaf.shape for leaf, array in parts)
    if not packing.is_packed(space):
        return parts[0][1].reshape(count, *space.shape or ()), single
    rows = np.zeros((count, packing.layout(space).nbytes), np.uint8)
    for leaf, array in parts:
        packing.write(leaf, rows, array)
    return rows, single


def is_list_of_elements(given: Any, space: Space) -> bool:
    """Whether ``given`` lists elements of a Dict or Tuple space: an element of Tuple is a tuple, not a list."""
    element = Mapping if isinstance(space, spaces.Dict) else tuple
    return isinstance(given, list) and bool(given) and all(isinstance(item, element) for item in given)


def part_of(given: Any, leaf: packing.Leaf, space: Space) -> Array:
    """What ``given`` holds for a leaf of ``space``, of its type: [*shape] or [N, *shape]."""
    where = f" at {leaf.path!r}" if leaf.path else ""
    value = given
    for key in leaf.keys:
        try:
            value = value[key]
        except (LookupError, TypeError, ValueError):
            raise UsageError(f"predict: got {form(given)}, which has nothing{where}, allowed: an observation as the environment "
                             f"gives it, or a batch of them; this policy sees {space}") from None
    array = unchanged(value, leaf.space, where)
    if leaf.shape not in (array.shape, array.shape[1:]):
        raise UsageError(f"predict: got an observation{where} of shape {array.shape}, allowed: {leaf.shape}, or a batch "
                         f"[N, ...] of such; this policy sees {space}")
    outside = packing.no_choices(leaf.space, array)
    if outside.size:
        raise UsageError(f"predict: got an observation{where} with {outside[0]} in it, allowed: what {leaf.space} holds; "
                         f"this policy sees {space}")
    return array


def form(given: Any) -> str:
    """What ``given`` is, in a few words."""
    if isinstance(given, Mapping):
        return f"a {type(given).__name__} with {', '.join(map(repr, given)) or 'nothing in it'}"
    if hasattr(given, "shape"):
        return f"an array of shape {tuple(given.shape)}"
    return f"a {type(given).__name__} of {len(given)}" if isinstance(given, (list, tuple)) else repr(given)


def unchanged(given: Any, space: Space, where: str = "") -> Array:
    """``given`` as an array of ``space``'s type; floats may be rounded to it, whole numbers must be whole and within its range.

    Raises UsageError, also for what is not finite: no policy has an answer to that, but would give one.
    """
    dtype = np.dtype(space.dtype)
    try:
        array = np.asarray(given)
    except ValueError:  # nested unevenly
        array = np.asarray(None)
    numbers = array.dtype.kind in "biuf"
    with np.errstate(invalid="ignore", over="ignore"):
        converted = array.astype(dtype) if numbers else array
    if numbers and (np.isfinite(converted).all() if dtype.kind == "f" else np.array_equal(array, converted)):
        return converted
    found = f"of {array.dtype} from {array.min():g} to {array.max():g}" if numbers and array.size else f"of {array.dtype}"
    allowed = f"whole numbers from {np.iinfo(dtype).min} to {np.iinfo(dtype).max}" if dtype.kind in "iu" else "finite numbers"
    raise UsageError(f"predict: got an observation{where} {found}, allowed: {allowed} ({dtype}), as the environment gives them; "
                     f"this policy sees {space}")
