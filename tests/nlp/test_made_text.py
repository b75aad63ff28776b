"""Text that is made on the machine: what is held out is unseen, and no length of it is foreign."""

from __future__ import annotations

from collections import Counter

import pytest

import toolkit


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
