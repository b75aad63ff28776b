"""Gymnasium spaces as JSON values and back, so that a policy can be loaded without its environment."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
from gymnasium import Space, spaces

from toolkit.errors import UsageError


def to_json(space: Space[Any]) -> dict[str, Any]:
    """A description of ``space``; raises UsageError for a kind of space that it cannot describe."""
    if isinstance(space, spaces.Box):
        return {"type": "Box", "low": _bound(space.low), "high": _bound(space.high), "shape": list(space.shape),
                "dtype": str(space.dtype)}
    if isinstance(space, spaces.Discrete):
        return {"type": "Discrete", "n": int(space.n), "start": int(space.start), "dtype": str(space.dtype)}
    if isinstance(space, spaces.MultiDiscrete):
        return {"type": "MultiDiscrete", "nvec": space.nvec.tolist(), "start": space.start.tolist(), "dtype": str(space.dtype)}
    if isinstance(space, spaces.MultiBinary):
        return {"type": "MultiBinary", "n": space.n if isinstance(space.n, int) else list(space.n)}
    if isinstance(space, spaces.Dict):
        return {"type": "Dict", "spaces": {key: to_json(item) for key, item in space.spaces.items()}}
    if isinstance(space, spaces.Tuple):
        return {"type": "Tuple", "spaces": [to_json(item) for item in space.spaces]}
    raise UsageError(f"the space {space} is not supported; allowed: Box, Discrete, MultiDiscrete, MultiBinary, Dict, Tuple")


def _bound(bound: Any) -> Any:
    # JSON has no infinity, so bounds are text; one value stands for an array of equal ones.
    flat = np.unique(bound)
    return repr(flat[0].item()) if len(flat) == 1 else [repr(item.item()) for item in bound.reshape(-1)]


def from_json(row: dict[str, Any]) -> Space[Any]:
    """The inverse of `to_json`."""
    kind = row["type"]
    if kind == "Box":
        dtype, shape = np.dtype(row["dtype"]), tuple(row["shape"])
        low, high = (_array(row[side], shape, dtype) for side in ("low", "high"))
        return spaces.Box(low, high, shape, dtype.type)
    if kind == "Discrete":
        # The usual type goes without saying: older gymnasiums have no other, and take no such argument.
        unusual = {"dtype": row["dtype"]} if row.get("dtype", "int64") != "int64" else {}
        return spaces.Discrete(row["n"], start=row["start"], **unusual)
    if kind == "MultiDiscrete":
        return spaces.MultiDiscrete(row["nvec"], row.get("dtype", "int64"), start=row.get("start"))  # older runs have neither
    if kind == "MultiBinary":
        return spaces.MultiBinary(row["n"])
    if kind == "Dict":
        # Of a plain dict gymnasium sorts the keys, and packed observations lie in the order of the keys.
        return spaces.Dict(OrderedDict((key, from_json(item)) for key, item in row["spaces"].items()))
    if kind == "Tuple":
        return spaces.Tuple([from_json(item) for item in row["spaces"]])
    raise UsageError(f"unknown space type {kind!r} in run.json")


def _array(bound: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    number: Any = {"f": float, "b": "True".__eq__}.get(np.dtype(dtype).kind, int)
    if isinstance(bound, list):
        return np.array([number(item) for item in bound], dtype).reshape(shape)
    return np.full(shape, number(bound), dtype)
