"""Decoding by hand, error rates over the corpus, and speech recognition in a real run."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from conftest import Toolkit
from hypothesis import given
from hypothesis import strategies as st

from toolkit.audio.decoding import distance, error_rate, greedy, prefix_beam
from toolkit.audio.tasks.recognition import repeats
from toolkit.config import Part
from toolkit.core.problem import Batch
from toolkit.registry import registry


def logs_of(rows: list[list[float]]) -> np.ndarray:
    return np.log(np.array(rows))


def test_a_text_of_many_paths_beats_the_likeliest_path() -> None:
    """Two positions: blank 0.6, a 0.4. The likeliest path is blank-blank (0.36), yet "a" has 0.16 + 2 x 0.24 = 0.64."""
    logs = logs_of([[0.6, 0.4], [0.6, 0.4]])
    assert greedy(logs) == [] and prefix_beam(logs, 1) == []
    assert prefix_beam(logs, 4) == [1]


def test_a_letter_twice_needs_a_blank_between() -> None:
    path = np.full((5, 3), 0.01)
    path[range(5), [1, 1, 0, 1, 2]] = 0.98
    assert greedy(np.log(path)) == prefix_beam(np.log(path), 5) == [1, 1, 2]


@given(st.integers(1, 4), st.integers(0, 1000))
def test_a_wide_beam_finds_the_likeliest_text(length: int, seed: int) -> None:
    """Beside the sum over every path, which three classes and four positions allow."""
    shares = np.random.default_rng(seed).dirichlet(np.ones(3), length)
    sums: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(3), repeat=length):
        text = tuple(letter for letter, _ in itertools.groupby(path) if letter)
        sums[text] = sums.get(text, 0.0) + float(np.prod([shares[place, letter] for place, letter in enumerate(path)]))
    found = tuple(prefix_beam(np.log(shares), 200))
    assert sums[found] == pytest.approx(max(sums.values()))


def test_rates_are_over_the_corpus() -> None:
    """One error in four words, and none in one word: 1 / 5, not the mean of 1 / 4 and 0."""
    assert error_rate([(["a", "b", "c", "x"], ["a", "b", "c", "d"]), (["e"], ["e"])]) == pytest.approx(0.2)
    assert error_rate([([], [])]) == 0.0 and error_rate([(["a"], [])]) == float("inf")


@given(st.text("ab", max_size=6), st.text("ab", max_size=6), st.text("ab", max_size=6))
def test_distance_is_a_metric(one: str, two: str, three: str) -> None:
    assert distance(one, two) == distance(two, one) and (distance(one, two) == 0) == (one == two)
    assert distance(one, three) <= distance(one, two) + distance(two, three)


def test_repeats_are_counted_without_padding() -> None:
    assert repeats(torch.tensor([[5, 5, 6, 0, 0], [7, 8, 8, 8, 0]])).tolist() == [1, 2]


def test_speech_is_trained_judged_and_asked(toolkit: Toolkit) -> None:
    pytest.importorskip("espeakng_loader")
    small = ("--data.count", "40", "--data.held-out", "8", "--model.channels", "4,6", "--model.time-strides", "2,1",
             "--model.hidden-size", "12", "--model.layers", "1", "--epochs", "1")
    done = toolkit.json("run", "speech-recognition", "--data", "spoken-digit-strings", *small, "--out", "said")
    assert {"wer", "cer", "wer/accent", "cer/noise_5db"} <= set(done["evaluation"])
    assert toolkit.json("evaluate", "said")["wer"] == done["evaluation"]["wer"]
    short = toolkit("run", "speech-recognition", "--data", "spoken-digit-strings", *small, "--model.time-strides", "4,4")
    assert short.returncode == 2 and "positions and its sound gives" in short.stderr and "--model.subsampling 1" in short.stderr


def test_what_the_tokenizer_does_not_know_is_an_error() -> None:
    """A word that is unknown in the reference is not found by answering "unknown": 1 of 2 words is wrong."""
    problem = registry.make("task", "speech-recognition", tokenizer=Part("word", {}))
    problem.tokenizer.train(["red door"])
    red, unknown = problem.tokenizer.encode("red zebra")
    batch = Batch(torch.zeros(1, 3, 40), torch.tensor([3]), torch.tensor([[red, unknown]]), torch.tensor([2]), [0])
    outputs = torch.nn.functional.one_hot(torch.tensor([[red, 0, unknown]]), problem.tokenizer.size) * 20.0
    tally = problem.tally()
    tally.add(outputs, torch.tensor([3]), batch)
    assert tally.result().metrics["wer"] == 0.5 and tally.result().metrics["exact"] == 0.0
