"""Text that is made on the machine: what is held out is unseen, and no length of it is foreign."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest

import toolkit
from toolkit.errors import ToolkitError
from toolkit.nlp.datasets import python_docs
from toolkit.nlp.datasets.python_docs import prose


@pytest.mark.parametrize("name", ["reverse", "copy", "sort"])
def test_held_out_strings_are_unseen_and_of_every_length_alike(name: str) -> None:
    splits = toolkit.make("dataset", name, count=4000, held_out=200, longest=6).splits()
    texts = {split: [row["text"] for row in rows] for split, rows in splits.items()}
    assert {split: len(rows) for split, rows in texts.items()} == {"train": 4000, "validation": 200, "test": 200}
    assert len({text for rows in texts.values() for text in rows}) == 4400
    lengths = {split: Counter(map(len, rows)) for split, rows in texts.items()}
    for length in range(1, 7):
        everywhere = sum(counts[length] for counts in lengths.values())
        for split in ("validation", "test"):  # 200 of 4400 are one in 22, to within one string at either end
            assert abs(lengths[split][length] - everywhere / 22) <= 2


def test_more_held_out_than_trained() -> None:
    splits = toolkit.make("dataset", "reverse", count=10, held_out=30).splits()
    assert {split: len(rows) for split, rows in splits.items()} == {"train": 10, "validation": 30, "test": 30}


def test_prose_is_english_alone_and_said_once() -> None:
    first = "A mapping of names.\n\n>>> names[1]\n'one'\n\nSee also the index."
    second = "A mapping\nof names.\n\n+---+---+\n| 1 | 2 |\n\nAn index of names."
    third = "See also  the index."
    assert list(prose([first, second, third])) == ["A mapping of names.\n\nSee also the index.\n\n", "An index of names.\n\n"]


def test_documentation_is_of_the_size_asked_for_and_a_tenth_is_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    splits = toolkit.make("dataset", "python-docs", size=20_000).splits()
    assert {split: len(rows[0]["text"]) for split, rows in splits.items()} == {"train": 18_000, "validation": 2_000}
    few = list(islice(python_docs.documents(), 20))  # to read all takes five seconds
    monkeypatch.setattr(python_docs, "documents", lambda: few)
    with pytest.raises(ToolkitError, match=r"characters, and 50,000,000 are asked for; ask for fewer with --data.size"):
        toolkit.make("dataset", "python-docs", size=50_000_000).splits()
