"""Environments: the factory, vector environments, and the toolkit's own environments."""

from toolkit.registry import Declarer


def declare(registry: Declarer) -> None:
    """The room's components."""
