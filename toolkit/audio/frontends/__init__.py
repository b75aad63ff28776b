"""Front ends: from waveforms to features."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from toolkit.config import Part
from toolkit.errors import UsageError
from toolkit.registry import registry

DRAWN_WITH = 0  # the seed of what a front end draws when it is made


def make_frontend(part: Part | str, options: Mapping[str, Any] | None = None) -> Any:
    """A front end, the same wherever it is made from the same settings: no checkpoint holds it.

    What it draws from torch's default generator while it is made, such as a random projection, is that of one seed.
    """
    import torch

    before = torch.get_rng_state()
    torch.default_generator.manual_seed(DRAWN_WITH)
    try:
        return registry.make("frontend", part, **dict(options or {}))
    finally:
        torch.set_rng_state(before)


def heard_through(part: Part) -> Any:
    """The front end that something learns through; one that is declared slow (``cannot["speed"]``) is warned of, once."""
    entry = registry.get("frontend", part.name)
    if "speed" in entry.cannot:
        warnings.warn(f"the front end {entry.name} is slow: {entry.cannot['speed']}", stacklevel=2)
    return make_frontend(part)


def learned(frontend: Any) -> dict[str, Any]:
    """The parameters of a front end that learn, by name."""
    named = getattr(frontend, "named_parameters", None)  # what is no module has none
    return {} if named is None else {name: value for name, value in named() if value.requires_grad}


def fixed(part: Part) -> Any:
    """`heard_through` for what measures features before it learns. Raises UsageError for a front end that learns itself."""
    made = heard_through(part)
    if names := learned(made):
        raise UsageError(
            f"the front end {part.name} has parameters that learn ({', '.join(names)}), and a task on sound trains its model "
            "alone, on features that it has scaled before. Allowed: front ends without such parameters; freeze them "
            "(requires_grad_(False)), let an agent learn them (--network hearing), or make them the first layers of a model "
            "that hears samples (--frontend waveform). Begin one: toolkit new-plugin DIR --kind model")
    return made
