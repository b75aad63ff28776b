"""Text: tokenizers, vocabulary, datasets, models."""

from toolkit.registry import Declarer


def declare(registry: Declarer) -> None:
    """The room's components."""
