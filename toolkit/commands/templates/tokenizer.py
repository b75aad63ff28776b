"""Text in pairs of letters: a vocabulary between letters and words, learned from the texts."""

from __future__ import annotations

from typing import Any

from toolkit.nlp.tokenizers.pieces import RuleTokenizer


class Component(RuleTokenizer):
    """Cuts by `pieces`; ids, special tokens, saving and loading come with `RuleTokenizer`."""

    config: Any
    glue = ""  # what stands between two pieces in the text

    def __init__(self, config: Any) -> None:
        super().__init__(config)

    def pieces(self, text: str) -> list[str]:
        size = self.config.letters
        return [text[place:place + size] for place in range(0, len(text), size)]
