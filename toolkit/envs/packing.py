"""One array for any observation: Dict and Tuple elements as rows of bytes.

Leaf    an elementary space inside a Dict or Tuple, and where its bytes lie in a row
Layout  all leaves of a space, and the size of a row

Everything between an environment and a network (collector, buffers, shared memory) handles one
array. Box, Discrete, MultiDiscrete and MultiBinary elements are stored as they are; elements of
Dict and Tuple, nested to any depth, become a row of bytes in which every leaf begins at a multiple
of eight, so that it can be read through a view.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Array = NDArray[Any]
Space = gymnasium.Space[Any]
CHOICES = (spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)  # whose numbers name one of so many
ALIGNMENT = 8  # bytes; the largest element that gymnasium's spaces have


@dataclass(frozen=True)
class Leaf:
    """``path`` are the keys that lead to it, joined by ``.``; ``offset`` is in bytes."""

    path: str
    keys: tuple[Any, ...]
    space: Space
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @cached_property
    def size(self) -> int:
        """How many numbers an element has."""
        return int(np.prod(self.shape, dtype=np.int64))

    @cached_property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    @cached_property
    def whole(self) -> bool:
        """Whether its elements are whole numbers, which not every number becomes unchanged."""
        return is_whole(self.space)


@dataclass(frozen=True)
class Layout:
    """The leaves of a space in the order of their bytes, and the bytes of a row."""

    leaves: tuple[Leaf, ...]
    nbytes: int


def is_packed(space: Space) -> bool:
    """Whether elements of ``space`` are stored as rows of bytes."""
    return isinstance(space, (spaces.Dict, spaces.Tuple))


def is_whole(space: Space) -> bool:
    """Whether elements of an elementary ``space`` are whole numbers, or bits."""
    return space.dtype is not None and np.dtype(space.dtype).kind in "iub"


def holds(space: Space, values: Any) -> bool:
    """Whether ``values``, elements of an elementary ``space`` of whole numbers, are stored as they are.

    A picture of bytes given as floats up to one would be stored as a black one. Bounds of a Box are not looked at, which many
    environments exceed; a choice that there is not has no place in a one-hot vector.
    """
    array, dtype = np.asarray(values), np.dtype(space.dtype)
    if array.dtype != dtype:
        if array.dtype.kind not in "iubf":
            return False
        with np.errstate(invalid="ignore", over="ignore"):
            stored = array.astype(dtype)
        if not np.array_equal(stored, array):
            return False
        array = stored
    return not no_choices(space, array).size


def no_choices(space: Space, array: Array) -> Array:
    """The numbers [k] of ``array``, [*shape] or [N, *shape], that are none of the choices which an elementary ``space`` has."""
    if not isinstance(space, CHOICES):
        return array.reshape(-1)[:0]
    if isinstance(space, spaces.MultiBinary):
        return array[(array < 0) | (array > 1)]
    if isinstance(space, spaces.MultiDiscrete) and array.size == space.nvec.size:
        array = array.reshape(space.nvec.shape)
    counts = space.n if isinstance(space, spaces.Discrete) else space.nvec
    return array[(array < space.start) | (array >= space.start + counts)]


def found_in(values: Any) -> str:
    """What ``values`` are, for messages: shape, type, and from where to where they go."""
    array = np.asarray(values)
    numbers = f" from {array.min():g} to {array.max():g}" if array.dtype.kind in "iubf" and array.size else ""
    return f"shape {array.shape}, {array.dtype}{numbers}"


def layout(space: Space) -> Layout:
    """Where the leaves of a Dict or Tuple space lie.

    Raises UsageError for a leaf whose elements are not one array (Text, Sequence, Graph).
    """
    return _layout(_Identity(space))


class _Identity:
    """A space as a dictionary key: by identity, since spaces are equal only after a long comparison."""

    def __init__(self, space: Space) -> None:
        self.space = space

    def __hash__(self) -> int:
        return id(self.space)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and other.space is self.space


@lru_cache(maxsize=64)
def _layout(key: _Identity) -> Layout:
    leaves, offset = [], 0
    for keys, space in _walk(key.space, ()):
        if space.shape is None or space.dtype is None:
            from toolkit.errors import UsageError

            raise UsageError(f"the space {space} has no array form; allowed: Box, Discrete, MultiDiscrete, MultiBinary, "
                             "and Dict or Tuple of them")
        leaf = Leaf(".".join(map(str, keys)), keys, space, offset, space.shape, np.dtype(space.dtype))
        leaves.append(leaf)
        offset += -(-leaf.nbytes // ALIGNMENT) * ALIGNMENT
    return Layout(tuple(leaves), offset)


def _walk(space: Space, keys: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Space]]:
    if isinstance(space, spaces.Dict):
        for key, inner in space.spaces.items():
            yield from _walk(inner, (*keys, key))
    elif isinstance(space, spaces.Tuple):
        for index, inner in enumerate(space.spaces):
            yield from _walk(inner, (*keys, index))
    else:
        yield keys, space


def pack(space: Space, element: Any) -> Array:
    """One element of a Dict or Tuple space as a row of bytes [nbytes]; an elementary one as an array."""
    return _packed(space, element) if is_packed(space) else np.asarray(element)


def pack_batch(space: Space, batch: Any, count: int) -> Array:
    """``count`` elements batched as gymnasium batches them (a Dict of arrays [count, ...]) as rows [count, nbytes]."""
    return _packed(space, batch, count) if is_packed(space) else np.asarray(batch)


def _packed(space: Space, values: Any, *lead: int) -> Array:
    """Rows [*lead, nbytes] of values whose leaves are [*lead, *shape]."""
    rows = np.zeros((*lead, layout(space).nbytes), np.uint8)
    for leaf, value in parts_of(space, values):
        write(leaf, rows, value)
    return rows


def parts_of(space: Space, values: Any) -> Iterator[tuple[Leaf, Any]]:
    """The leaves of a Dict or Tuple space, each with its part of ``values``. Raises ValueError for one that is not the leaf's."""
    for leaf in layout(space).leaves:
        value = values
        for key in leaf.keys:
            value = value[key]
        if leaf.whole and not holds(leaf.space, value):
            raise ValueError(f"{leaf.path}: {found_in(value)}; its space is {leaf.space}")
        yield leaf, value


def unpack(space: Space, rows: Array | Tensor) -> dict[str, Any]:
    """The leaves of rows [..., nbytes] by path, each [..., *shape]; arrays of arrays, tensors of tensors."""
    found = layout(space)
    return {leaf.path: read(leaf, rows) for leaf in found.leaves}


def write(leaf: Leaf, rows: Array, values: Any) -> None:
    """Put elements [..., *shape] of a leaf, or as many numbers in any shape, into rows [..., nbytes]."""
    data = np.ascontiguousarray(values, leaf.dtype).reshape(*rows.shape[:-1], leaf.size)
    rows[..., leaf.offset:leaf.offset + leaf.nbytes] = data.view(np.uint8)


def read(leaf: Leaf, rows: Any) -> Any:
    """The elements [..., *shape] of a leaf in rows [..., nbytes]; an array of an array, a tensor of a tensor."""
    data = rows[..., leaf.offset:leaf.offset + leaf.nbytes]
    lead = tuple(rows.shape[:-1])
    if isinstance(rows, np.ndarray):
        return np.ascontiguousarray(data).view(leaf.dtype).reshape(*lead, *leaf.shape)
    import torch

    dtype = getattr(torch, str(leaf.dtype) if leaf.dtype != np.bool_ else "bool")
    return data.contiguous().view(dtype).reshape(*lead, *leaf.shape)
