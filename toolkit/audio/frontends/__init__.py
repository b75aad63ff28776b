"""Front ends: from waveforms to features."""

from __future__ import annotations

import warnings
from typing import Any

from toolkit.config import Part
from toolkit.registry import registry


def heard_through(part: Part) -> Any:
    """The front end that something learns through; one that is declared slow (``cannot["speed"]``) is warned of, once."""
    entry = registry.get("frontend", part.name)
    if "speed" in entry.cannot:
        warnings.warn(f"the front end {entry.name} is slow: {entry.cannot['speed']}", stacklevel=2)
    return registry.make("frontend", part)
