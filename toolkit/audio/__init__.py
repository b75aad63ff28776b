"""Audio: io, front ends, features, transforms, datasets, models, vocoders."""

from toolkit.registry import Declarer


def declare(registry: Declarer) -> None:
    """The room's components."""
