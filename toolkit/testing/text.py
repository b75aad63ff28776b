"""What a tokenizer promises (`toolkit.nlp.base.Tokenizer`)."""

from __future__ import annotations

import json
from collections.abc import Sequence

from toolkit.nlp.base import Tokenizer
from toolkit.testing.suite import NotPromised, Suite, require

TEXTS = ("the quick brown fox jumps over the lazy dog", "a bird in the hand is worth two in the bush",
         "all that glitters is not gold", "the early bird catches the worm", "two birds of a feather")
CAPITALS = ("Maria told Ada", "the END of 1984")
STRANGE = ("", " ", "\n\t", "Ünïcödé ß 漢字 🙂", "x" * 300, "a\u0000b", "...!?", "e\u0301")


class TokenizerSuite(Suite):
    """A tokenizer's promises. ``texts`` are what it learns from, and what must come back."""

    kind = "tokenizer"
    texts: Sequence[str] = TEXTS

    def trained(self, texts: Sequence[str] | None = None) -> Tokenizer:
        tokenizer: Tokenizer = self.make()
        tokenizer.train(list(self.texts if texts is None else texts))
        return tokenizer

    def test_what_it_learned_from_comes_back(self) -> None:
        """decode(encode(text)) is the text, for texts of the alphabet that it learned from."""
        if "decode" in self.entry.cannot:
            raise NotPromised(f"decode: {self.entry.cannot['decode']}")
        tokenizer = self.trained()
        for text in self.texts:
            back = tokenizer.decode(tokenizer.encode(text))
            require(back == text, f"decode(encode({text!r})) is {back!r}")

    def test_no_letter_is_changed(self) -> None:
        """Capital letters and digits that it learned from come back as they were."""
        lost = {name: self.entry.cannot[name] for name in ("decode", "capitals") if name in self.entry.cannot}
        if lost:
            raise NotPromised("; ".join(f"{name}: {how}" for name, how in lost.items()))
        tokenizer = self.trained([*self.texts, *CAPITALS])
        for text in CAPITALS:
            back = tokenizer.decode(tokenizer.encode(text))
            require(back == text, f"decode(encode({text!r})) is {back!r}: it loses letters that it learned from. Where that is "
                                  'meant, say cannot={"capitals": "made small"} in its declaration')

    def test_ids_are_in_range(self) -> None:
        """Ids of any text, however strange, are whole numbers from 0 to size - 1, without special ones but the unknown."""
        tokenizer = self.trained()
        special = {tokenizer.pad_id, tokenizer.begin_id, tokenizer.end_id, tokenizer.mask_id}
        for text in (*self.texts, *STRANGE):
            ids = tokenizer.encode(text)
            require(all(isinstance(one, int) and 0 <= one < tokenizer.size for one in ids),
                    f"encode({text[:40]!r}) gives ids outside of 0 to {tokenizer.size - 1}: {ids[:20]}")
            require(not special & set(ids), f"encode({text[:40]!r}) gives a special id: {ids[:20]}")
            require(isinstance(tokenizer.decode(ids), str), f"decode of the ids of {text[:40]!r} is no text")

    def test_special_ids_differ(self) -> None:
        """Padding, unknown, begin, end and mask have ids of their own, and decode leaves them out but the unknown."""
        tokenizer = self.trained()
        ids = [tokenizer.pad_id, tokenizer.unknown_id, tokenizer.begin_id, tokenizer.end_id, tokenizer.mask_id]
        require(len(set(ids)) == len(ids), f"two special tokens share an id: {ids}")
        text = self.texts[0]
        plain = tokenizer.encode(text)
        framed = [tokenizer.begin_id, *plain, tokenizer.end_id, tokenizer.pad_id]
        require(tokenizer.decode(framed) == tokenizer.decode(plain), "decode does not leave out begin, end and padding")

    def test_the_order_of_texts_does_not_matter(self) -> None:
        """The same texts in another order give the same ids."""
        one, other = self.trained(), self.trained(list(reversed(self.texts)))
        for text in self.texts:
            require(one.encode(text) == other.encode(text), f"learned from the same texts in another order, {text!r} gets other "
                                                            "ids")

    def test_what_was_learned_is_restored(self) -> None:
        """facts() are JSON values from which restore() makes an equal tokenizer."""
        saved = self.trained()
        restored: Tokenizer = self.make()
        restored.restore(json.loads(json.dumps(saved.facts())))
        require(restored.size == saved.size, f"restored, it has {restored.size} ids and had {saved.size}")
        for text in (*self.texts, *STRANGE):
            require(restored.encode(text) == saved.encode(text), f"restored, {text[:40]!r} gets other ids")
