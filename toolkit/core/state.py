"""Saveable state: nested dictionaries of tensors, arrays and JSON values, without pickle.

Saveable  anything with ``state_dict()`` and ``load_state_dict(state)``
split     a state -> (tensors for a safetensors file, JSON with a placeholder for each)
join      the inverse
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

MARKS = {"__tensor__", "__array__", "__plain__"}


class Saveable(Protocol):
    """A named part of a checkpoint."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def split(state: Any, name: str = "") -> tuple[dict[str, Tensor], Any]:
    """Take the tensors out of ``state``.

    Returns the tensors by dotted name, contiguous and unshared, and the rest as JSON values in
    which ``{"__tensor__": name}`` or ``{"__array__": name}`` stands for each; ``{"__plain__": ...}`` holds a dictionary that
    would be taken for one of these.
    Raises TypeError for a value that neither JSON nor safetensors can hold.
    """
    tensors: dict[str, Tensor] = {}
    return tensors, _split(state, name, tensors)


def _split(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, (Tensor, np.ndarray)) and name in tensors:
        raise TypeError(f"state {name!r} is there twice, once under a name with a dot; rename one of the two")
    if isinstance(value, Tensor):
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {"__tensor__": name}
    if isinstance(value, np.ndarray):
        tensors[name] = torch.from_numpy(np.ascontiguousarray(value)).reshape(value.shape)
        return {"__array__": name}
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError(f"state {name!r} has a key that is not text: {list(value)[:5]!r}")
        found = {key: _split(item, f"{name}.{key}" if name else key, tensors) for key, item in value.items()}
        return {"__plain__": found} if len(found) == 1 and found.keys() <= MARKS else found
    if isinstance(value, (list, tuple)):
        return [_split(item, f"{name}.{index}" if name else str(index), tensors) for index, item in enumerate(value)]
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"state {name!r} holds a {type(value).__name__}, which a checkpoint cannot keep; "
                    "allowed: tensors, arrays, numbers, text, None, lists and dictionaries of them")


def join(tensors: Mapping[str, Tensor], skeleton: Any) -> Any:
    """Put the tensors back into the JSON values that `split` gave."""
    if isinstance(skeleton, dict):
        if len(skeleton) == 1:
            (key, name), = skeleton.items()
            if key == "__tensor__":
                return tensors[name]
            if key == "__array__":
                return tensors[name].numpy()
            if key == "__plain__":
                return {key: join(tensors, item) for key, item in name.items()}
        return {key: join(tensors, item) for key, item in skeleton.items()}
    if isinstance(skeleton, list):
        return [join(tensors, item) for item in skeleton]
    return skeleton
