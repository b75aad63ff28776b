"""N-gram models estimated from texts: by hand, as distributions, through a file, and from the command line."""

from __future__ import annotations

import gzip
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from conftest import Toolkit
from hypothesis import given
from hypothesis import strategies as st

from toolkit.audio.decoding import prefix_beam
from toolkit.audio.language_model import REMEMBERED, Fusion, estimated, read_arpa, write_arpa
from toolkit.errors import UsageError

TEXTS = st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map(" ".join), min_size=1, max_size=6)


def test_shares_by_hand() -> None:
    """Two texts "a" and "a b": words a a b </s> </s>, three kinds, so P(a) = (2 + 3 / 4) / 8 with <unk> the fourth word.

    After <s> came a, a, one kind: P(a | <s>) = (2 + P(a)) / 3 and the backoff of <s> is 1 / 3.
    """
    model = estimated(["a", "a b"], 2)
    alone = (2 + 3 / 4) / 8
    assert math.exp(model.score([], "a")) == pytest.approx(alone)
    assert math.exp(model.score(["<s>"], "a")) == pytest.approx((2 + alone) / 3)
    assert math.exp(model.score(["<s>"], "b")) == pytest.approx((1 + 3 / 4) / 8 / 3)
    assert math.exp(model.score(["<s>"], "zebra")) == pytest.approx(3 / 4 / 8 / 3)


@given(TEXTS, st.integers(1, 3), st.lists(st.sampled_from("abc"), max_size=3))
def test_what_may_follow_adds_up_to_one(texts: list[str], order: int, history: list[str]) -> None:
    model = estimated(texts, order)
    words = {word for (word,) in (key for key in model.probabilities if len(key) == 1)} - {"<s>"}
    assert sum(math.exp(model.score(["<s>", *history], word)) for word in words) == pytest.approx(1.0)


@given(texts=TEXTS)
def test_a_file_keeps_the_model(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    model, path = estimated(texts, 3), tmp_path_factory.mktemp("models") / "texts.arpa"
    write_arpa(path, model)
    for text in ("a", "b c", "a a zebra c"):
        assert read_arpa(path).sentence(text.split()) == pytest.approx(model.sentence(text.split()), abs=1e-4)
    with pytest.raises(UsageError, match="exists"):
        write_arpa(path, model)


def test_texts_become_a_model(toolkit: Toolkit, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("Open the door\nopen the window\n\n")
    done = toolkit.json("audio", "language-model", "texts.txt", "--order", "2", "--out", "texts.arpa")
    assert done["order"] == 2 and done["texts"] == 2
    model = read_arpa(tmp_path / "texts.arpa")
    assert model.order == 2 and model.score(["the"], "door") > model.score(["the"], "open")
    again = toolkit("audio", "language-model", "texts.txt", "--out", "texts.arpa")
    assert again.returncode == 2 and "--out texts.arpa: it exists, and nothing is overwritten" in again.stderr
    none = toolkit("audio", "language-model", "iris", "--out", "none.arpa")
    assert none.returncode == 2 and "holds no texts" in none.stderr
    (tmp_path / "silent.csv").write_text("path\na.wav\n")
    silent = toolkit("audio", "language-model", "silent.csv", "--out", "none.arpa")
    assert silent.returncode == 2 and "silent.csv: it holds no text, in the column text. A language model ne" in silent.stderr
    wrong = toolkit("audio", "language-model", "nothing", "--out", "none.arpa")
    assert wrong.returncode == 2 and "nothing" in wrong.stderr


def test_what_cannot_be_read_or_written_is_explained(toolkit: Toolkit, tmp_path: Path) -> None:
    write_arpa(tmp_path / "a.arpa", estimated(["a b"], 2))
    (tmp_path / "a.arpa.gz").write_bytes(gzip.compress((tmp_path / "a.arpa").read_bytes())[:40])
    with pytest.raises(UsageError, match="the language model cannot be read"):
        read_arpa(tmp_path / "a.arpa.gz")
    (tmp_path / "texts.txt").write_text("\ufeffred door\n", encoding="utf-8")
    refused = toolkit("audio", "language-model", "texts.txt", "--out", "nowhere/a.arpa")
    assert refused.returncode == 2 and "nowhere is not a folder: make it, or name another --out" in refused.stderr
    toolkit.json("audio", "language-model", "texts.txt", "--out", "b.arpa")
    assert ("red",) in read_arpa(tmp_path / "b.arpa").probabilities


def test_a_fusion_does_not_grow_with_what_it_hears() -> None:
    fusion = Fusion(estimated(["a b"], 2), lambda ids: "".join("ab "[place] for place in ids), 0.5, 1.0)
    logs = np.log(np.random.default_rng(0).dirichlet(np.ones(3), 40))
    once = [fusion.score(text) for text in itertools.product(range(3), repeat=8)]  # 6,561 texts
    assert once[5] == fusion.score((0, 0, 0, 0, 0, 0, 1, 2)) and len(fusion._scores) <= REMEMBERED
    assert prefix_beam(logs, 4, lambda ids, over: fusion.score(tuple(place - 1 for place in ids), over))
