"""Tokenizers that learn their pieces, trained and run by Hugging Face's ``tokenizers``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from toolkit.errors import ToolkitError, UsageError
from toolkit.nlp.base import BEGIN, END, MASK, PAD, SPECIALS, UNKNOWN
from toolkit.nlp.configs import FolderConfig, SubwordConfig

HALF = re.compile(r"[\ud800-\udfff]")  # of a pair; JSON may hold one alone, and the library takes UTF-8, which may not


def whole(text: str) -> str:
    """The text as UTF-8 can hold it: the replacement character is in the place of half a pair.

    >>> whole("a\\ud83d") == "a\\ufffd"
    True
    """
    return HALF.sub("\ufffd", text)


class Subwords:
    """A ``tokenizers.Tokenizer`` behind the room's interface; its facts are its own JSON text."""

    pad_id, unknown_id, begin_id, end_id, mask_id = PAD, UNKNOWN, BEGIN, END, MASK

    def __init__(self, config: SubwordConfig) -> None:
        self.config = config
        self.tokenizer: Any = self.fresh()

    def fresh(self) -> Any:
        raise NotImplementedError

    @property
    def size(self) -> int:
        return int(self.tokenizer.get_vocab_size())

    def train(self, texts: Iterable[str]) -> None:
        raise NotImplementedError

    def encode(self, text: str) -> list[int]:
        # A special spelling in the text is unknown, not special.
        return [place if place >= len(SPECIALS) else UNKNOWN
                for place in self.tokenizer.encode(whole(text), add_special_tokens=False).ids]

    def decode(self, ids: Iterable[int]) -> str:
        kept = [place for place in ids if place >= len(SPECIALS) or place == UNKNOWN]
        return str(self.tokenizer.decode(kept, skip_special_tokens=False))

    def facts(self) -> dict[str, Any]:
        return {"json": self.tokenizer.to_str()}

    def restore(self, facts: Mapping[str, Any]) -> None:
        self.tokenizer = Tokenizer.from_str(facts["json"])


class BPE(Subwords):
    """Byte pairs: the most frequent pair of pieces is merged, again and again; bytes are the first pieces.

    No text is unknown but a special spelling such as ``<pad>``, and `decode` gives all others back exactly.
    Source: Sennrich et al. (2016), algorithm 1; over bytes as in Radford et al. (2019), section 2.2.
    """

    def fresh(self) -> Any:
        tokenizer = Tokenizer(models.BPE(unk_token=SPECIALS[UNKNOWN]))
        if self.config.lower:
            tokenizer.normalizer = normalizers.Lowercase()
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        return tokenizer

    def train(self, texts: Iterable[str]) -> None:
        # All first pieces are numbered before training, so that ties between pairs fall alike each time.
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        if self.config.max_size < len(alphabet) + len(SPECIALS):
            raise UsageError(f"max_size {self.config.max_size} is too small for bpe: {len(alphabet)} bytes and {len(SPECIALS)} "
                             f"special tokens come first; allowed: at least {len(alphabet) + len(SPECIALS)}")
        self.tokenizer = self.fresh()
        self.tokenizer.train_from_iterator(sorted(map(whole, texts)), trainers.BpeTrainer(
            vocab_size=self.config.max_size, min_frequency=self.config.min_frequency, special_tokens=list(SPECIALS),
            initial_alphabet=alphabet, show_progress=False))


class WordPiece(Subwords):
    """Words and pieces of words (``##ing``), as BERT uses them; text with a piece never seen is unknown.

    Source: Schuster and Nakajima (2012); cutting longest first as in Devlin et al. (2019).
    """

    def fresh(self, vocabulary: dict[str, int] | None = None) -> Any:
        tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=SPECIALS[UNKNOWN]))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=self.config.lower, strip_accents=False)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.WordPiece()
        return tokenizer

    def train(self, texts: Iterable[str]) -> None:
        # The library numbers letters inside words (##a) as it meets them, in an order that differs each time, and
        # those numbers decide which of two equally frequent pairs is merged. Naming them first, as special tokens
        # of the training alone, fixes their numbers; the tokenizer kept is made afresh with the real special ones.
        texts = sorted(map(whole, texts))
        letters = self._letters(texts)
        self._check_room(len(letters))
        inside = sorted(letter for letter in letters if letter.startswith("##"))
        learner = self.fresh()
        learner.train_from_iterator(texts, trainers.WordPieceTrainer(
            vocab_size=self.config.max_size, min_frequency=self.config.min_frequency, special_tokens=[*SPECIALS, *inside],
            show_progress=False))
        self.tokenizer = self.fresh(learner.get_vocab())
        self.tokenizer.add_special_tokens(list(SPECIALS))

    def _letters(self, texts: Iterable[str]) -> set[str]:
        """The smallest pieces: letters that begin a word, and letters inside one after ``##``."""
        words = {word for text in texts for word, _ in self.tokenizer.pre_tokenizer.pre_tokenize_str(
            self.tokenizer.normalizer.normalize_str(text))}
        return {letter if place == 0 else f"##{letter}" for word in words for place, letter in enumerate(word)}

    def _check_room(self, letters: int) -> None:
        if self.config.max_size < letters + len(SPECIALS):
            raise UsageError(f"max_size {self.config.max_size} is too small for wordpiece: the texts have {letters} different "
                             f"letters at the start of a word and inside one, and {len(SPECIALS)} special tokens come first; "
                             f"allowed: at least {letters + len(SPECIALS)}")


class FolderTokenizer:
    """The tokenizer of a pretrained model, with that model's own ids; nothing is learned.

    From a local folder that holds ``tokenizer.json``, or from the hub by name.
    """

    NAMES = {"pad_id": ("[PAD]", "<pad>", "<|endoftext|>"), "unknown_id": ("[UNK]", "<unk>", "<|endoftext|>"),
             "begin_id": ("[CLS]", "<s>", "<|endoftext|>"), "end_id": ("[SEP]", "</s>", "<|endoftext|>"),
             "mask_id": ("[MASK]", "<mask>", "<|endoftext|>")}
    pad_id = unknown_id = begin_id = end_id = mask_id = 0

    def __init__(self, config: FolderConfig) -> None:
        self.path = config.path
        self.tokenizer: Any = None

    @property
    def size(self) -> int:
        return int(self.tokenizer.get_vocab_size())

    def train(self, texts: Iterable[str]) -> None:
        """Read the tokenizer's file; the texts are not looked at."""
        from pathlib import Path

        if not self.path:
            raise UsageError("the tokenizer pretrained needs its folder: --tokenizer.path FOLDER")
        file = Path(self.path) / "tokenizer.json"
        try:
            found = Tokenizer.from_file(str(file)) if Path(self.path).is_dir() else Tokenizer.from_pretrained(self.path)
        except Exception as error:  # the library raises bare Exception
            raise ToolkitError(f"no tokenizer could be read from {file if Path(self.path).is_dir() else self.path}: {error}. "
                               "Name a folder that holds tokenizer.json, or a model on the hub that can be reached") from error
        self._take(found)

    def _take(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        tokenizer.no_padding()
        tokenizer.no_truncation()
        for name, spellings in self.NAMES.items():
            known = [place for word in spellings if (place := tokenizer.token_to_id(word)) is not None]
            if not known:
                raise ToolkitError(f"the tokenizer of {self.path} has none of the tokens {', '.join(spellings)}")
            setattr(self, name, known[0])

    def encode(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(whole(text), add_special_tokens=False).ids)

    def decode(self, ids: Iterable[int]) -> str:
        special = {self.pad_id, self.begin_id, self.end_id, self.mask_id}  # of which the unknown one is one in GPT-2's
        return str(self.tokenizer.decode([place for place in ids if place not in special], skip_special_tokens=False))

    def facts(self) -> dict[str, Any]:
        return {"json": self.tokenizer.to_str()}

    def restore(self, facts: Mapping[str, Any]) -> None:
        self._take(Tokenizer.from_str(facts["json"]))
