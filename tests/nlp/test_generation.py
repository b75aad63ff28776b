"""Writing on: greedy, sampled, by beams, with a cache and without."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from small_text import SMALL
from torch import nn

from toolkit.errors import UsageError
from toolkit.nlp.generation import Sampling, filtered, write
from toolkit.registry import registry

END = 3


def model(seed: int = 0, size: int = 9, name: str = "transformer-lm") -> nn.Module:
    torch.manual_seed(seed)
    made: nn.Module = registry.make("model", name, inputs=size, outputs=size, **SMALL[name])
    for parameter in made.parameters():
        parameter.data *= 3  # far from uniform
    return made.eval()


PROMPT = torch.tensor([[2, 5, 6]])


@pytest.mark.parametrize("name", ["transformer-lm", "lstm-lm"])
@pytest.mark.parametrize("sampling", [Sampling(0.0), Sampling(1.0), Sampling(0.7, top_k=3), Sampling(1.3, top_p=0.8),
                                      Sampling(beams=4)])
def test_a_cache_changes_nothing_but_the_time(sampling: Sampling, name: str) -> None:
    for seed in range(3):
        one, other = (write(model(seed, name=name), PROMPT, 12, END, sampling, seed=5, cached=cached) for cached in (True, False))
        assert one == other


def test_one_beam_is_greedy_and_the_same_seed_is_the_same_text() -> None:
    from toolkit.nlp.generation import Feeder, beam_search

    for seed in range(5):
        greedy = write(model(seed), PROMPT, 10, END, Sampling(0.0))[0]
        with torch.no_grad():
            assert beam_search(Feeder(model(seed), 20), PROMPT, 10, END, Sampling(beams=1)) == greedy
    first, again, other = (write(model(), PROMPT, 20, END, seed=seed) for seed in (1, 1, 2))
    assert first == again != other


@torch.no_grad()
def logprob(made: Any, ids: list[int], count: int) -> float:
    row = [*ids, END] if len(ids) < count else ids
    whole = torch.tensor([[*PROMPT[0].tolist(), *row]])
    logs = made(whole)[0].log_softmax(-1)[0, PROMPT.shape[1] - 1:-1]
    return float(logs.gather(1, torch.tensor(row)[:, None]).sum())


def test_as_many_beams_as_texts_find_the_likeliest_of_all() -> None:
    made, count = model(3, size=7), 3
    sampling = Sampling(beams=7 ** count, length_penalty=0.0)
    found = write(made, PROMPT, count, END, sampling)[0]
    texts = [list(ids) for length in range(count + 1) for ids in itertools.product([0, 1, 2, 4, 5, 6], repeat=length)]
    best = max(texts, key=lambda ids: logprob(made, ids, count))
    assert logprob(made, found, count) == pytest.approx(logprob(made, best, count), abs=1e-4)


def test_filters_by_hand() -> None:
    logits = torch.tensor([[0.5, 0.25, 0.15, 0.1]]).log()
    assert torch.isinf(filtered(logits, Sampling(top_k=2))).tolist() == [[False, False, True, True]]
    assert torch.isinf(filtered(logits, Sampling(top_p=0.7))).tolist() == [[False, False, True, True]]
    assert torch.isinf(filtered(logits, Sampling(top_p=0.4))).tolist() == [[False, True, True, True]]
    assert torch.allclose(filtered(logits, Sampling(2.0)), logits / 2)


def test_forbidden_ids_never_come_and_the_end_ends() -> None:
    texts = write(model(), PROMPT.expand(8, -1), 30, END, Sampling(2.0), forbidden=(0, 1, 2))
    assert len({tuple(ids) for ids in texts}) > 1
    assert all(not {0, 1, 2, END} & set(ids) for ids in texts)


def test_impossible_sampling_is_refused() -> None:
    with pytest.raises(UsageError, match="top_p above 0 and at most 1"):
        Sampling(top_p=1.5)
    for seed in (-1, 2**64):
        with pytest.raises(UsageError, match=f"seed {seed}; allowed: from 0 to {2**64 - 1}"):
            write(model(), PROMPT, 1, END, seed=seed)
    for temperature in (1e-6, 1e6):  # the ends of what is allowed draw tokens
        assert len(write(model(), PROMPT, 3, END, Sampling(temperature), forbidden=(0, END))[0]) == 3
    with pytest.raises(UsageError, match="beams 4 and temperature 0.5, top_k 3: a beam search .* draws nothing. Leave out"):
        Sampling(0.5, top_k=3, beams=4)
