"""Every tokenizer: fixed special ids, the same ids for the same texts, there and back, safe to save."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_text import tiny_folder

from toolkit.errors import ToolkitError, UsageError
from toolkit.nlp.base import SPECIALS, Tokenizer
from toolkit.nlp.vocabulary import Vocabulary
from toolkit.registry import registry

TEXTS = ["The film was good.", "the plot was not good, (really) bad!", "a film, a plot; a story", "the the the film"]
NAMES = [entry.name for entry in registry.entries("tokenizer", plugins=False)]
LEARNED = [name for name in NAMES if name != "pretrained"]


def trained(name: str, **options: object) -> Tokenizer:
    if name in ("bpe", "wordpiece"):
        options.setdefault("max_size", 300)
    if name == "pretrained":
        options["path"] = tiny_folder()
    tokenizer: Tokenizer = registry.make("tokenizer", name, **options)
    tokenizer.train(TEXTS)
    return tokenizer


@pytest.mark.parametrize("name", NAMES)
def test_special_ids_are_fixed_and_never_come_from_text(name: str) -> None:
    tokenizer = trained(name)
    assert (tokenizer.pad_id, tokenizer.unknown_id) == (0, 1)
    ids = tokenizer.encode("the film <pad> </s> was <mask> zzzqqq é")
    assert ids and all(0 <= place < tokenizer.size for place in ids)
    if name != "pretrained":
        assert not {0, 2, 3, 4} & set(ids)


@pytest.mark.parametrize("name", LEARNED)
def test_the_order_of_the_texts_does_not_matter(name: str) -> None:
    forwards, backwards = trained(name), trained(name)
    backwards.train(TEXTS[::-1])
    assert forwards.facts() == backwards.facts()


@pytest.mark.parametrize("name", ["bpe", "wordpiece"])
@given(st.permutations(["aab bba", "abab baba", "bcbc cbcb", "caca acac", "ddd abcd dcba"]))
@settings(max_examples=25)
def test_equally_frequent_pairs_fall_alike_each_time(name: str, texts: list[str]) -> None:
    facts = []
    for order in (texts, sorted(texts)):
        tokenizer = registry.make("tokenizer", name, max_size=290 if name == "bpe" else 30)
        tokenizer.train(order)
        facts.append(tokenizer.facts())
    assert facts[0] == facts[1]


@pytest.mark.parametrize("name", NAMES)
def test_facts_are_json_and_restore_everything(name: str) -> None:
    tokenizer = trained(name)
    again = registry.make("tokenizer", name, **({"path": "gone"} if name == "pretrained" else {}))
    again.restore(json.loads(json.dumps(tokenizer.facts())))
    assert again.size == tokenizer.size
    assert [again.encode(text) for text in TEXTS] == [tokenizer.encode(text) for text in TEXTS]


@given(st.text(max_size=30))
@settings(max_examples=60)
def test_bytes_and_known_characters_come_back_exactly(text: str) -> None:
    assert BPE.decode(BPE.encode(text)) == text or any(special in text for special in SPECIALS)
    known = "".join(letter for letter in text if CHAR.encode(letter) != [1])
    assert CHAR.decode(CHAR.encode(known)) == known


CHAR = trained("char")
BPE = trained("bpe", max_size=280) if not registry.get("tokenizer", "bpe").missing else CHAR


def test_rules_of_basic_english() -> None:
    tokenizer = trained("basic-english")
    assert tokenizer.decode(tokenizer.encode('The "PLOT": was (good), a STORY!')) == "the plot was ( good ) , a story !"


def test_rare_words_and_a_full_vocabulary_become_unknown() -> None:
    tokenizer = trained("word", min_frequency=2)
    assert tokenizer.encode("the really film") [1] == 1
    assert trained("word", max_size=7).size == 7
    with pytest.raises(UsageError, match="too small for bpe"):
        trained("bpe", max_size=100)
    with pytest.raises(UsageError, match=r"too small for wordpiece: .* allowed: at least \d+"):
        trained("wordpiece", max_size=10)


@given(st.lists(st.text(max_size=5), max_size=30))
@settings(max_examples=60)
def test_a_vocabulary_is_a_bijection_in_a_fixed_order(tokens: list[str]) -> None:
    words = Vocabulary.of(tokens)
    assert words.tokens[:5] == list(SPECIALS) and len(set(words.tokens)) == len(words)
    ordinary = words.tokens[5:]
    assert words.ids(ordinary) == list(range(5, len(words)))
    assert words.tokens == Vocabulary.of(sorted(tokens)).tokens
    counts = [tokens.count(token) for token in ordinary]
    assert counts == sorted(counts, reverse=True)


def test_a_vocabulary_is_saved_as_plain_json(tmp_path: Path) -> None:
    path = tmp_path / "words.json"
    Vocabulary(["ä", "b"]).save(path)
    assert path.read_text(encoding="utf-8") == '["ä", "b"]' and Vocabulary.load(path).tokens[5:] == ["ä", "b"]
    path.write_text('{"a": 1}')
    with pytest.raises(ToolkitError, match="not a vocabulary"):
        Vocabulary.load(path)


def test_a_folder_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    tokenizer = registry.make("tokenizer", "pretrained", path=str(tmp_path))
    with pytest.raises(ToolkitError, match="no tokenizer could be read"):
        tokenizer.train([])


def test_where_one_token_has_every_part_it_is_not_shown() -> None:
    tokenizer = registry.make("tokenizer", "pretrained", path=tiny_folder("gpt2"))
    tokenizer.train([])
    film = tokenizer.encode("film")
    assert tokenizer.unknown_id == tokenizer.end_id and tokenizer.decode([tokenizer.begin_id, *film, tokenizer.end_id]) == "film"
    assert "[UNK]" in trained("pretrained").decode([1])


@pytest.mark.parametrize("name", NAMES)
def test_half_a_pair_is_text_like_any_other(name: str) -> None:
    options = {"max_size": 300} if name in ("bpe", "wordpiece") else {"path": tiny_folder()} if name == "pretrained" else {}
    tokenizer: Tokenizer = registry.make("tokenizer", name, **options)
    tokenizer.train(["good \ud83d film", "\udc00 plot"])
    assert all(0 <= place < tokenizer.size for place in tokenizer.encode("film \ud83d"))
    if name == "bpe":
        assert tokenizer.decode(tokenizer.encode("a\ud83db 😀")) == "a\ufffdb 😀"


def test_small_letters_keep_their_accents() -> None:
    tokenizer = registry.make("tokenizer", "wordpiece", lower=True)
    tokenizer.train(["Ein Schönes CAFÉ"] * 3)
    assert tokenizer.decode(tokenizer.encode("SCHÖNES Café")) == "schönes café"
    earlier = tokenizer.facts()["json"].replace('"strip_accents":false', '"strip_accents":null')  # an older run's
    assert earlier != tokenizer.facts()["json"]
    tokenizer.restore({"json": earlier})
    assert tokenizer.encode("é") == tokenizer.encode("e")
