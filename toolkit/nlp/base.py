"""What the room's components promise.

Tokenizer  text to ids and back; learned from texts, saved as JSON values
TextSpec   what a model must know about the ids and the task
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

PAD, UNKNOWN, BEGIN, END, MASK = 0, 1, 2, 3, 4
SPECIALS = ("<pad>", "<unk>", "<s>", "</s>", "<mask>")


@runtime_checkable
class Tokenizer(Protocol):
    """Text to ids and back. ``pad_id`` is 0 and ``unknown_id`` 1; the other special ids follow."""

    pad_id: int
    unknown_id: int
    begin_id: int
    end_id: int
    mask_id: int

    @property
    def size(self) -> int:
        """How many different ids there are."""

    def train(self, texts: Iterable[str]) -> None:
        """Learn the vocabulary. The same texts give the same ids, whatever their order."""

    def encode(self, text: str) -> list[int]:
        """The ids of ``text``, without special ones."""

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ``ids``; special ones but the unknown are left out."""

    def facts(self) -> dict[str, Any]:
        """What was learned, as JSON values."""

    def restore(self, facts: Mapping[str, Any]) -> None:
        """The inverse of `facts`."""


@dataclass(frozen=True)
class TextSpec:
    """What a text model is told beside the number of ids and outputs.

    ``level`` says what is predicted: one answer a text, one a position, the next id at
    each position without a look ahead, or the hidden ids from both sides.
    ``facts`` are what a model from a folder kept in the checkpoint (see `pretrained`).
    """

    pad_id: int = PAD
    level: Literal["text", "position", "next", "masked"] = "text"
    facts: Mapping[str, Any] = field(default_factory=dict)
