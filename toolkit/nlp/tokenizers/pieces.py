"""Tokenizers that cut by rule and learn a vocabulary of what they cut: words, characters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from toolkit.nlp.base import BEGIN, END, MASK, PAD, UNKNOWN
from toolkit.nlp.configs import BasicEnglishConfig, CharConfig, VocabularyConfig, WordConfig
from toolkit.nlp.vocabulary import Vocabulary


class RuleTokenizer:
    """Cuts by `pieces`, and gives each piece its id in the vocabulary."""

    pad_id, unknown_id, begin_id, end_id, mask_id = PAD, UNKNOWN, BEGIN, END, MASK
    glue = " "  # what `decode` puts between pieces

    def __init__(self, config: VocabularyConfig) -> None:
        self.config = config
        self.vocabulary = Vocabulary(())

    @property
    def size(self) -> int:
        return len(self.vocabulary)

    def pieces(self, text: str) -> list[str]:
        raise NotImplementedError

    def train(self, texts: Iterable[str]) -> None:
        pieces = (piece for text in texts for piece in self.pieces(text))
        self.vocabulary = Vocabulary.of(pieces, self.config.min_frequency, self.config.max_size)

    def encode(self, text: str) -> list[int]:
        return self.vocabulary.ids(self.pieces(text))

    def decode(self, ids: Iterable[int]) -> str:
        return self.glue.join(self.vocabulary.ordinary(ids))

    def facts(self) -> dict[str, Any]:
        return {"tokens": self.vocabulary.tokens[len(Vocabulary(())):]}

    def restore(self, facts: Mapping[str, Any]) -> None:
        self.vocabulary = Vocabulary(facts["tokens"])


class BasicEnglish(RuleTokenizer):
    """Small letters, punctuation apart: the rules of torchtext's ``basic_english``.

    Quotes, periods, commas, brackets, exclamation and question marks become tokens of their own;
    semicolons, colons and ``<br />`` become spaces; double quotes vanish.

    >>> BasicEnglish(BasicEnglishConfig()).pieces("It's GREAT, really!")
    ['it', "'", 's', 'great', ',', 'really', '!']
    """

    RULES = tuple((re.compile(pattern), put) for pattern, put in (
        (r"'", " '  "), (r'"', ""), (r"\.", " . "), (r"<br \/>", " "), (r",", " , "), (r"\(", " ( "), (r"\)", " ) "),
        (r"\!", " ! "), (r"\?", " ? "), (r"[;:]", " ")))

    def __init__(self, config: BasicEnglishConfig) -> None:
        super().__init__(config)

    def pieces(self, text: str) -> list[str]:
        text = text.lower()
        for pattern, put in self.RULES:
            text = pattern.sub(put, text)
        return text.split()


class Words(RuleTokenizer):
    """What stands between spaces.

    >>> Words(WordConfig()).pieces("( a  [ ] )")
    ['(', 'a', '[', ']', ')']
    """

    def __init__(self, config: WordConfig) -> None:
        super().__init__(config)
        self.lower = config.lower

    def pieces(self, text: str) -> list[str]:
        return (text.lower() if self.lower else text).split()


class Characters(RuleTokenizer):
    """Each character, spaces and line ends included; `decode` gives the text back exactly.

    >>> Characters(CharConfig()).pieces("a b")
    ['a', ' ', 'b']
    """

    glue = ""

    def __init__(self, config: CharConfig) -> None:
        super().__init__(config)
        self.lower = config.lower

    def pieces(self, text: str) -> list[str]:
        return list(text.lower() if self.lower else text)
