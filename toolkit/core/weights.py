"""Weights of others: tensors by name from a file, and whether they are a module's.

read_weights   what a file holds; nothing in it is executed
require_fit    raises unless names and shapes are the module's
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from toolkit.errors import UsageError

ALLOWED = "allowed: a .safetensors file, or one that torch.save wrote, of tensors alone"


def read_weights(path: str, inside: str = "") -> Mapping[str, Tensor]:
    """Tensors by name from a .safetensors file or one that torch.save wrote; those under ``inside`` where the file has that.

    Raises UsageError.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not Path(path).is_file():
        raise UsageError(f"weights: got {path!r}, and there is no such file")
    try:
        found: Any = load_file(path) if path.endswith(".safetensors") else torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, RuntimeError, ValueError, EOFError, KeyError) as error:
        raise UsageError(f"{path}: it could not be read as weights: {str(error).splitlines()[0]}; {ALLOWED}") from error
    except Exception as error:  # pickle's own errors, which are of many kinds
        raise UsageError(f"{path}: it could not be read as weights: it holds more than tensors, or none at all "
                         f"({type(error).__name__}); {ALLOWED}") from error
    if inside and isinstance(found, Mapping):
        found = found.get(inside, found)
    if not isinstance(found, Mapping) or not found or not all(isinstance(value, Tensor) for value in found.values()):
        raise UsageError(f"{path}: it holds no tensors by name{f' under {inside!r}' if inside else ''}; {ALLOWED}")
    return found


def require_fit(own: Mapping[str, Tensor], theirs: Mapping[str, Tensor], path: str, what: str, advice: str) -> None:
    """Raise UsageError, naming the first that is missing, unknown or of another shape, unless ``theirs`` are ``own``'s."""
    wrong = sorted(set(own) ^ set(theirs)) or sorted(name for name in own if own[name].shape != theirs[name].shape)
    if wrong:
        raise UsageError(f"{path}: these weights are of another {what}; {len(wrong)} differ, the first is {wrong[0]}. {advice}")
