"""Tokens and their ids: pad 0, unknown 1, the other special ones, then by falling frequency."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from toolkit.errors import ToolkitError
from toolkit.nlp.base import PAD, SPECIALS, UNKNOWN


class Vocabulary:
    """The order is by falling frequency, then by the token itself, so that the same texts give the same ids.

    >>> words = Vocabulary.of(["b", "a", "b"])
    >>> words.ids(["a", "b", "c"]), words.token(5)
    ([6, 5, 1], 'b')
    """

    def __init__(self, tokens: Iterable[str]) -> None:
        self.tokens = [*SPECIALS, *tokens]
        self._places = {token: place for place, token in enumerate(self.tokens)}
        if len(self._places) < len(self.tokens):
            raise ValueError("a vocabulary holds each token once, and no special one as an ordinary token")

    @classmethod
    def of(cls, tokens: Iterable[str], min_frequency: int = 1, max_size: int | None = None) -> Vocabulary:
        """The vocabulary of ``tokens`` as they occur, special spellings in the text left out."""
        counts = Counter(tokens)
        for special in SPECIALS:
            counts.pop(special, None)
        chosen = sorted((token for token, count in counts.items() if count >= min_frequency),
                        key=lambda token: (-counts[token], token))
        return cls(chosen if max_size is None else chosen[:max(0, max_size - len(SPECIALS))])

    def __len__(self) -> int:
        return len(self.tokens)

    def ids(self, tokens: Iterable[str]) -> list[int]:
        """The id of each token; a special spelling in the text is unknown, not special."""
        places = self._places
        return [place if (place := places.get(token, UNKNOWN)) >= len(SPECIALS) else UNKNOWN for token in tokens]

    def token(self, place: int) -> str:
        return self.tokens[place]

    def ordinary(self, ids: Iterable[int]) -> list[str]:
        """The tokens of ``ids`` without special ones but the unknown."""
        return [self.tokens[place] for place in ids if place >= len(SPECIALS) or place == UNKNOWN]

    def save(self, path: Path) -> None:
        """Write the ordinary tokens as a JSON list; the special ones are fixed."""
        path.write_text(json.dumps(self.tokens[len(SPECIALS):], ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Vocabulary:
        """The inverse of `save`. Raises ToolkitError for a file that holds anything else."""
        try:
            tokens = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ToolkitError(f"{path}: it is not a vocabulary: {error}") from error
        if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
            raise ToolkitError(f"{path}: it is not a vocabulary; allowed: a JSON list of tokens")
        return cls(tokens)


assert SPECIALS[PAD] == "<pad>" and SPECIALS[UNKNOWN] == "<unk>"
