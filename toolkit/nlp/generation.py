"""Writing on: greedy, sampled (temperature, top-k, top-p) and beam search, with a cache or without.

A language model is a module from ids [B, T] to logits [B, T, C]. One that offers ``caches(room)`` and
``step(ids, caches)`` is asked for each new token alone; others read everything again for each token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from toolkit.errors import UsageError

COLDEST, HOTTEST = 1e-6, 1e6  # temperatures
SEEDS = 2**64  # that torch has


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen.

    temperature  0 takes the likeliest; 1 samples as the model says; higher is wilder. No other numbers than
                 10^-6 to 10^6: float32 has no room for logits over them
    top_k        only the k likeliest; 0 is all
    top_p        only the likeliest that together have this probability (Holtzman et al., 2020); 1 is all
    beams        above 1: beam search, which keeps so many continuations and gives the likeliest
    length_penalty  a beam's log-probability is divided by length to this power (Wu et al., 2016, simplified)
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    beams: int = 1
    length_penalty: float = 1.0

    def __post_init__(self) -> None:
        tempered = self.temperature == 0 or COLDEST <= self.temperature <= HOTTEST
        if not tempered or self.top_k < 0 or not 0 < self.top_p <= 1 or self.beams < 1:
            raise UsageError(f"temperature {self.temperature}, top_k {self.top_k}, top_p {self.top_p}, beams {self.beams}; "
                             f"allowed: temperature 0 or from {COLDEST:g} to {HOTTEST:g}, top_k at least 0, top_p above 0 and at "
                             "most 1, beams at least 1")
        drawn = [f"{name} {value:g}" for name, value in (("temperature", self.temperature), ("top_k", self.top_k),
                                                        ("top_p", self.top_p)) if value != getattr(Sampling, name)]
        if self.beams > 1 and drawn:
            raise UsageError(f"beams {self.beams} and {', '.join(drawn)}: a beam search takes the likeliest text and draws "
                             "nothing. Leave out the one or the other")


class Feeder:
    """Gives a model new tokens, through its caches where it has them."""

    def __init__(self, model: nn.Module, room: int, cached: bool = True) -> None:
        self.model: Any = model
        offered: Any = getattr(model, "caches", None)
        self.caches: Any = offered(room) if cached and offered is not None else ()
        self.seen: Tensor | None = None

    def __call__(self, ids: Tensor) -> Tensor:
        """Logits [B, C] after the new ids [B, n]."""
        if self.caches:
            found: Tensor = self.model.step(ids, self.caches)
            return found.float()
        self.seen = ids if self.seen is None else torch.cat([self.seen, ids], 1)
        outputs, _ = self.model(self.seen, None)
        last: Tensor = outputs[:, -1].float()
        return last

    def choose(self, rows: Tensor) -> None:
        """Go on with the sequences ``rows``."""
        for cache in self.caches:
            cache.choose(rows)
        if self.seen is not None:
            self.seen = self.seen[rows]


def filtered(logits: Tensor, sampling: Sampling) -> Tensor:
    """Logits [B, C] over the temperature, with what top-k and top-p leave out at minus infinity."""
    logits = logits / sampling.temperature
    if sampling.top_k and sampling.top_k < logits.shape[-1]:
        least = logits.topk(sampling.top_k, -1).values[:, -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    if sampling.top_p < 1:
        ordered, places = logits.sort(-1, descending=True)
        before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)
        ordered = ordered.masked_fill(before >= sampling.top_p, -torch.inf)
        logits = torch.full_like(logits, -torch.inf).scatter(-1, places, ordered)
    return logits


def chosen(logits: Tensor, sampling: Sampling, generator: torch.Generator | None) -> Tensor:
    """The next ids [B]."""
    if sampling.temperature == 0:
        return logits.argmax(-1)
    shares = filtered(logits, sampling).softmax(-1)
    return torch.multinomial(shares, 1, generator=generator)[:, 0]


@torch.inference_mode()
def write(model: nn.Module, prompt: Tensor, count: int, end_id: int, sampling: Sampling | None = None, *,
          forbidden: Sequence[int] = (), seed: int = 0, cached: bool = True) -> list[list[int]]:
    """Up to ``count`` new ids after each prompt [B, n], without the end.

    The prompts are of one length. ``forbidden`` ids are never chosen. The same seed gives the same text.
    Raises UsageError for a seed that torch has none for.
    """
    sampling = sampling or Sampling()
    if not 0 <= seed < SEEDS:
        raise UsageError(f"seed {seed}; allowed: from 0 to {SEEDS - 1}")
    room = prompt.shape[1] + count
    if sampling.beams > 1:
        return [beam_search(Feeder(model, room, cached), row[None], count, end_id, sampling, forbidden) for row in prompt]
    feeder = Feeder(model, room, cached)
    generator = torch.Generator(prompt.device).manual_seed(seed)
    found: list[list[int]] = [[] for _ in range(prompt.shape[0])]
    running = [True] * len(found)
    ids = prompt
    for _ in range(count):
        logits = feeder(ids)
        if forbidden:
            logits[:, list(forbidden)] = -torch.inf
        following = chosen(logits, sampling, generator)
        for row, token in enumerate(following.tolist()):
            running[row] = running[row] and token != end_id
            if running[row]:
                found[row].append(token)
        if not any(running):
            break
        ids = following[:, None]
    return found


def beam_search(feeder: Feeder, prompt: Tensor, count: int, end_id: int, sampling: Sampling,
                forbidden: Sequence[int] = ()) -> list[int]:
    """The likeliest continuation of prompt [1, n] among those that ``beams`` at a time lead to.

    It stops when as many have ended as there are beams, or at ``count`` tokens. One beam is greedy.
    """
    rows, scores = prompt, [0.0]
    running: list[list[int]] = [[]]
    ended: list[tuple[float, list[int]]] = []
    for _ in range(count):
        logs = feeder(rows).log_softmax(-1)  # [W, C]
        if forbidden:
            logs[:, list(forbidden)] = -torch.inf
        over, going = expand(logs, scores, sampling.beams, end_id)
        ended += [(score / (len(running[parent]) + 1) ** sampling.length_penalty, running[parent]) for parent, score in over]
        running = [[*running[parent], token] for parent, token, _ in going]
        scores = [score for _, _, score in going]
        if len(ended) >= sampling.beams or not going:
            break
        feeder.choose(torch.tensor([parent for parent, _, _ in going], device=rows.device))
        rows = torch.tensor([[token] for _, token, _ in going], device=rows.device)
    else:
        ended += [(score / max(1, len(ids)) ** sampling.length_penalty, ids) for score, ids in zip(scores, running, strict=True)]
    return max(ended, key=lambda item: item[0])[1]


def expand(logs: Tensor, scores: Sequence[float], width: int,
           end_id: int) -> tuple[list[tuple[int, float]], list[tuple[int, int, float]]]:
    """The best continuations of beams by logs [W, C]: those that end as (beam, score), and the best ``width``
    others as (beam, token, score). An end counts where it is itself among the best ``width``."""
    total = torch.tensor(scores, device=logs.device)[:, None] + logs
    best = total.flatten().topk(min(2 * width, total.numel()))
    over: list[tuple[int, float]] = []
    going: list[tuple[int, int, float]] = []
    for rank, (score, place) in enumerate(zip(best.values.tolist(), best.indices.tolist(), strict=True)):
        parent, token = divmod(place, logs.shape[1])
        if score == -float("inf"):
            continue
        if token == end_id:
            over += [(parent, score)] if rank < width else []
        elif len(going) < width:
            going.append((parent, token, score))
    return over, going
