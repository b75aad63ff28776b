"""N-gram models estimated from texts: by hand, as distributions, through a file, and from the command line."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from conftest import Toolkit
from hypothesis import given
from hypothesis import strategies as st

from toolkit.audio.language_model import estimated, read_arpa, write_arpa
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
    assert done["order"] == 2
    model = read_arpa(tmp_path / "texts.arpa")
    assert model.order == 2 and model.score(["the"], "door") > model.score(["the"], "open")
    again = toolkit("audio", "language-model", "texts.txt", "--out", "texts.arpa")
    assert again.returncode == 2 and "texts.arpa exists" in again.stderr
    none = toolkit("audio", "language-model", "iris", "--out", "none.arpa")
    assert none.returncode == 2 and "holds no texts" in none.stderr
    wrong = toolkit("audio", "language-model", "nothing", "--out", "none.arpa")
    assert wrong.returncode == 2 and "nothing" in wrong.stderr
