"""Reinforcement-learning and audio agents behind one registry, one trainer and one command line."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from toolkit.registry import registry as _registry
    from toolkit.training.api import load as load
    from toolkit.training.api import train as train

    make = _registry.make
    register = _registry.register

_HOMES = {
    "train": "toolkit.training.api:train",
    "load": "toolkit.training.api:load",
}
_METHODS = ("make", "register")

__all__ = ["load", "make", "register", "train"]


def __getattr__(name: str) -> Any:
    # Names first, imports later: `import toolkit` costs nothing until something is used.
    if name in _METHODS:
        return getattr(importlib.import_module("toolkit.registry").registry, name)
    if name in _HOMES:
        module, attribute = _HOMES[name].split(":")
        return getattr(importlib.import_module(module), attribute)
    raise AttributeError(f"module 'toolkit' has no attribute {name!r}")
